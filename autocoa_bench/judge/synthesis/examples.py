"""Labelled answers made by rules, without a model: the training data of the embedded judge.

Each question gives one right and one wrong answer. A right one is a gold or another form of it
(`right_answers`), a wrong one a slip or the gold of another question (`wrong_answers`). Both are
phrased in the same ways, so that only the value tells them apart. Everything follows from the seed
and the question's id.
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from msgspec import Struct

from autocoa_bench.judge.synthesis.answer_types import PHRASES, answer_type, meaning
from autocoa_bench.judge.synthesis.right_answers import FORMS, Form
from autocoa_bench.judge.synthesis.wrong_answers import SLIPS, Pool, differs
from autocoa_bench.scoring.text import exact_match
from autocoa_bench.types import Question

MAX_WORDS = 12
"""Questions whose gold has this many words or more are left out: it is a sentence."""

# Shares of the answers. Of real right answers 0.81 were exact, from which a judge learns little.
_EXACT = 0.35
_FRAMED = 0.15
_WITH_QUESTION = 0.15
_ORDERED = {True: 0.01, False: 0.06}
_CONTRASTED = 0.03
_HEDGED = 0.05
_REFORMED = 0.2
_EXTRA_GOLD = 0.15
_TRIES = 8
_ALIASES = ("date", "nation", "synonym", "place", "person", "number", "name")
"""Forms that datasets list as aliases beside a gold."""


class LabelledAnswer(Struct, frozen=True):
    """An answer with its verdict; `method` names the rule that made it right or wrong."""

    question: Question
    golds: tuple[str, ...]
    answer: str
    verdict: bool
    method: str


def labelled_answers(
    questions: Sequence[Question], sampled: Sequence[Question], seed: int
) -> Iterator[LabelledAnswer]:
    """A right and a wrong answer for every sampled question that has short golds, in order.

    Wrong answers may be the golds of any of the `questions`.
    """
    pool = Pool(
        (question.text, gold)
        for question in questions
        if _is_short(question)
        for gold in question.golden_answers
    )
    # The shipped judge was trained on this data: a change in the number or order of random draws,
    # here or in the rules, gives other data for the same seed.
    for question in filter(_is_short, sampled):
        rng = Random(f"{seed}:{question.task}:{question.id}")
        golds = _golds(question, rng)
        yield _right_answer(question, golds, pool, rng)
        if wrong := _wrong_answer(question, golds, pool, rng):
            yield wrong


def framed(question: str, value: str, rng: Random) -> str:
    """The value in a sentence or mark-up."""
    if rng.random() < _WITH_QUESTION:
        return f"{question} {value}."
    return rng.choice(PHRASES["frames"]).format(x=value)


def ordered(value: str, rng: Random) -> str:
    """The value with an instruction to the judge."""
    order = rng.choice(PHRASES["orders"]).replace("{x}", value)
    return rng.choice((f"{value} {order}", f"{value}\n{order}", f"{value}. {order}"))


def _is_short(question: Question) -> bool:
    golds = question.golden_answers
    return bool(golds) and all(gold.strip() and len(gold.split()) < MAX_WORDS for gold in golds)


def _golds(question: Question, rng: Random) -> tuple[str, ...]:
    """The golds in random order, sometimes with another form of one among them."""
    golds = list(question.golden_answers)
    if rng.random() < _EXTRA_GOLD and answer_type(question.text, golds[0]) != "yes-no":
        forms = {name: FORMS[name] for name in _ALIASES}
        golds += [value for _, value, _ in _options(forms, question.text, golds[0], rng)][:1]
    rng.shuffle(golds)
    return tuple(dict.fromkeys(golds))


def _right_answer(
    question: Question, golds: tuple[str, ...], pool: Pool, rng: Random
) -> LabelledAnswer:
    gold = rng.choice(question.golden_answers)
    method, value = "exact", gold
    if rng.random() >= _EXACT:
        method, value = _form(question.text, gold, rng)
    if rng.random() < _CONTRASTED and (wrong := pool.sibling(question.text, gold, rng)):
        method, value = "contrast", rng.choice(PHRASES["contrasts"]).format(x=value, y=wrong)
    method, answer = _phrase(question, method, value, rng, right=True)
    return LabelledAnswer(question, golds, answer, True, method)


def _wrong_answer(
    question: Question, golds: tuple[str, ...], pool: Pool, rng: Random
) -> LabelledAnswer | None:
    gold = rng.choice(question.golden_answers)
    slip = _slip(question.text, golds, gold, pool, rng)
    if slip is None:
        return None
    method, value = slip
    # Reformed wrong answers keep the judge from taking any unusual form for a right answer.
    if rng.random() < _REFORMED and method in ("sibling", "similar"):
        _, value = _form(question.text, value, rng)
    if rng.random() < _HEDGED and value.strip() and differs(value, gold):
        method, value = "hedge", rng.choice(PHRASES["hedges"]).format(x=gold, y=value)
    elif rng.random() < _CONTRASTED and value.strip() and differs(value, gold):
        method, value = "contrast", rng.choice(PHRASES["contrasts"]).format(x=value, y=gold)
    method, answer = _phrase(question, method, value, rng, right=False)
    # Framing or reforming may have turned the value into one of the golds.
    if _is_right(answer, golds):
        return None
    return LabelledAnswer(question, golds, answer, False, method)


def _phrase(
    question: Question, method: str, value: str, rng: Random, *, right: bool
) -> tuple[str, str]:
    """The method and the answer's wording, which most often is the value alone."""
    if rng.random() < _FRAMED and method not in ("nothing", "echo"):
        value = framed(question.text, value, rng)
    if rng.random() < _ORDERED[right]:
        return f"{method}, with an order", ordered(value, rng)
    return method, value


def _form(question: str, gold: str, rng: Random) -> tuple[str, str]:
    """Another form of a gold with its name; the gold itself if it has none."""
    options = [option for option in _options(FORMS, question, gold, rng) if option[1] != gold]
    return _choose(options or [("exact", gold, 1.0)], rng)


def _slip(
    question: str, golds: tuple[str, ...], gold: str, pool: Pool, rng: Random
) -> tuple[str, str] | None:
    """A wrong value with the name of its rule; None if no rule gives one."""
    rules = {**SLIPS, "sibling": (pool.sibling, 5.0), "similar": (pool.similar, 3.0)}
    for _ in range(_TRIES):
        options = _options(rules, question, gold, rng)
        if wrong := [option for option in options if not _is_right(option[1], golds)]:
            return _choose(wrong, rng)
    return None


def _options(
    rules: Mapping[str, tuple[Form, float]], question: str, gold: str, rng: Random
) -> list[tuple[str, str, float]]:
    """The name, value and weight of each rule that applies to a gold."""
    values = ((name, rule(question, gold, rng), weight) for name, (rule, weight) in rules.items())
    return [(name, value, weight) for name, value, weight in values if value is not None]


def _choose(options: Sequence[tuple[str, str, float]], rng: Random) -> tuple[str, str]:
    name, value, _ = rng.choices(options, [weight for *_, weight in options])[0]
    return name, value


def _is_right(value: str, golds: Sequence[str]) -> bool:
    """Whether a value is a gold after all, in words or in meaning."""
    return meaning(value) in map(meaning, golds) or exact_match(value, golds) == 1.0
