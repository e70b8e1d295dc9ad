"""Labelled answers made by rules, without a model: the training data of the embedded judge.

Each question gives one right and one wrong answer. A right one is a gold, another gold of its
question or another form of one (`right_answers`). A wrong one is near the gold (`near_misses`), a
slip, or the gold of another question (`wrong_answers`). Both are phrased and reformed in the same
ways, so that only the value tells them apart. Everything follows from the seed and the question's
id.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from msgspec import Struct

from autocoa_bench.judge.synthesis.answer_types import (
    PHRASES,
    answer_type,
    content_words,
    meaning,
)
from autocoa_bench.judge.synthesis.near_misses import NEAR_MISSES
from autocoa_bench.judge.synthesis.right_answers import FORMS, Form
from autocoa_bench.judge.synthesis.wrong_answers import SLIPS, Pool, differs
from autocoa_bench.scoring.text import exact_match
from autocoa_bench.types import Question

MAX_WORDS = 12
"""Questions whose gold has this many words or more are left out: it is a sentence."""

# Shares of the answers. Of real right answers 0.81 were exact, from which a judge learns little.
_EXACT = 0.25
_NEAR_MISS = 0.55
_FRAMED = 0.15
_WITH_QUESTION = 0.15
_ORDERED = {True: 0.01, False: 0.06}
_CONTRASTED = 0.03
_REFORMED = 0.35
_OTHER_GOLD = 0.2
_TRIES = 8
_ALIASES = ("date", "nation", "synonym", "place", "person", "number", "described", "titled")
"""Forms that datasets have as golds, beside or instead of the plain one."""

_FULLER = ("described", "titled", "place", "person")
"""Those among them that replace a gold only where they have all of its words."""

_VALUES = ("sibling", "similar", "look-alike", "other choice")
"""Wrong answers that are values like a gold, and so have its other forms."""

_FORM_DRAWS = 16
"""Draws of each form by which a wrong answer is compared with the right ones."""


class LabelledAnswer(Struct, frozen=True):
    """An answer with its verdict; `method` names the rule that made it right or wrong."""

    question: Question
    golds: tuple[str, ...]
    answer: str
    verdict: bool
    method: str


def labelled_answers(
    questions: Sequence[Question], sampled: Sequence[Question], seed: int, *, near: bool = False
) -> Iterator[LabelledAnswer]:
    """A right and a wrong answer for every sampled question that has short golds, in order.

    Wrong answers may be the golds of any of the `questions`. With `near` the wrong answer is a near
    miss and the right one not exact, where the question has such ones. Of the rules that apply, the
    one that was used least is taken, so that an audit has enough of each kind.
    """
    pool = Pool(
        (question.text, gold)
        for question in questions
        if _is_short(question)
        for gold in question.golden_answers
    )
    counts: Counter[str] | None = Counter() if near else None
    # The shipped judge was trained on this data: a change in the number or order of random draws,
    # here or in the rules, gives other data for the same seed.
    for question in filter(_is_short, sampled):
        rng = Random(f"{seed}:{question.task}:{question.id}")
        golds, hidden = _golds(question, rng)
        yield _right_answer(question, golds, hidden, pool, rng, counts)
        if wrong := _wrong_answer(question, golds, pool, rng, counts):
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


def _golds(question: Question, rng: Random) -> tuple[tuple[str, ...], str]:
    """The golds in random order, and one that is left out of them: another name for the others.

    Sometimes another form of a gold stands beside it or in its place.
    """
    golds, hidden = list(question.golden_answers), ""
    if len(golds) > 1 and rng.random() < 0.5:
        others = [gold for gold in golds[1:] if content_words(gold) & content_words(golds[0])]
        if others:
            hidden = rng.choice(others)
            golds = [gold for gold in golds if gold != hidden]
    elif rng.random() < _OTHER_GOLD and answer_type(question.text, golds[0]) != "yes-no":
        forms = {name: FORMS[name] for name in _ALIASES}
        if options := _options(forms, question.text, golds[0], rng):
            name, value = _choose(options, rng)
            is_fuller = content_words(golds[0]) <= content_words(value)
            if rng.random() < 0.5 and (is_fuller or name not in _FULLER):
                golds = golds[1:]
            golds.append(value)
    rng.shuffle(golds)
    return tuple(dict.fromkeys(golds)), hidden


def _right_answer(
    question: Question,
    golds: tuple[str, ...],
    hidden: str,
    pool: Pool,
    rng: Random,
    counts: Counter[str] | None,
) -> LabelledAnswer:
    """`counts` of the rules used so far are those of an audit."""
    gold = rng.choice(question.golden_answers)
    method, value = "exact", gold
    if hidden:
        method, value = "alias", hidden
    elif counts is not None or rng.random() >= _EXACT:
        method, value = _form(question.text, gold, rng, counts)
    if rng.random() < _CONTRASTED and (wrong := pool.sibling(question.text, gold, rng)):
        method, value = "contrast", rng.choice(PHRASES["contrasts"]).format(x=value, y=wrong)
    method, answer = _phrase(question, method, value, rng, right=True, near=counts is not None)
    return LabelledAnswer(question, golds, answer, True, method)


def _wrong_answer(
    question: Question,
    golds: tuple[str, ...],
    pool: Pool,
    rng: Random,
    counts: Counter[str] | None,
) -> LabelledAnswer | None:
    """`counts` of the rules used so far are those of an audit; None makes training data."""
    near = counts is not None
    gold = rng.choice(question.golden_answers)
    right = _meanings(question, golds)
    rules = {
        **NEAR_MISSES,
        "exchanged": (pool.exchanged, 2.5),
        "listed": (pool.listed, 0.4),
        "hedged": (pool.hedged, 0.4),
    }
    slips = {**SLIPS, "sibling": (pool.sibling, 5.0), "similar": (pool.similar, 5.0)}
    if near:
        # Of the other slips those that share words with the gold are near as well.
        rules |= {name: slips[name] for name in ("similar", "other year", "other number")}
        rules |= {name: slips[name] for name in ("other person", "opposite", "denied")}
        rules["asked about"] = (SLIPS["asked about"][0], 0.5)
    slip = None
    if near or rng.random() < _NEAR_MISS:
        slip = _slip(question.text, golds, right, gold, rules, rng, counts)
    if not near:
        slip = slip or _slip(question.text, golds, right, gold, slips, rng)
    if slip is None:
        return None
    method, value = slip
    # Reformed wrong answers keep the judge from taking any unusual form for a right answer.
    if rng.random() < _REFORMED and method in _VALUES:
        _, reformed = _form(question.text, value, rng)
        value = reformed if differs(reformed, gold) else value
    if rng.random() < _CONTRASTED and value.strip() and differs(value, gold):
        method, value = "contrast", rng.choice(PHRASES["contrasts"]).format(x=value, y=gold)
    method, answer = _phrase(question, method, value, rng, right=False, near=near)
    # Framing or reforming may have turned the value into one of the golds.
    if _is_right(answer, golds, right):
        return None
    return LabelledAnswer(question, golds, answer, False, method)


def _meanings(question: Question, golds: Sequence[str]) -> frozenset[str]:
    """The meanings of right answers: the golds and, drawn many times, each of their forms."""
    rng = Random(question.text)
    every = dict.fromkeys((*golds, *question.golden_answers))
    forms = {
        rule(question.text, gold, rng)
        for gold in every
        for rule, _ in FORMS.values()
        for _ in range(_FORM_DRAWS)
    }
    return frozenset(meaning(text) for text in (*every, *forms) if text)


def _phrase(
    question: Question, method: str, value: str, rng: Random, *, right: bool, near: bool
) -> tuple[str, str]:
    """The method and the answer's wording, which most often is the value alone."""
    if rng.random() < _FRAMED and method not in ("nothing", "echo"):
        value = framed(question.text, value, rng)
    if not near and rng.random() < _ORDERED[right]:
        return f"{method}, with an order", ordered(value, rng)
    return method, value


def _form(
    question: str, gold: str, rng: Random, counts: Counter[str] | None = None
) -> tuple[str, str]:
    """Another form of a gold with its name; the gold itself if it has none."""
    options = [option for option in _options(FORMS, question, gold, rng) if option[1] != gold]
    return _choose(options or [("exact", gold, 1.0)], rng, counts)


def _slip(
    question: str,
    golds: Sequence[str],
    right: frozenset[str],
    gold: str,
    rules: Mapping[str, tuple[Form, float]],
    rng: Random,
    counts: Counter[str] | None = None,
) -> tuple[str, str] | None:
    """A wrong value with the name of its rule; None if no rule gives one."""
    for _ in range(_TRIES):
        options = _options(rules, question, gold, rng)
        if wrong := [option for option in options if not _is_right(option[1], golds, right)]:
            return _choose(wrong, rng, counts)
    return None


def _options(
    rules: Mapping[str, tuple[Form, float]], question: str, gold: str, rng: Random
) -> list[tuple[str, str, float]]:
    """The name, value and weight of each rule that applies to a gold."""
    values = ((name, rule(question, gold, rng), weight) for name, (rule, weight) in rules.items())
    return [(name, value, weight) for name, value, weight in values if value is not None]


def _choose(
    options: Sequence[tuple[str, str, float]], rng: Random, counts: Counter[str] | None = None
) -> tuple[str, str]:
    """An option by weight or, with `counts`, the one that was chosen least before."""
    name, value, _ = rng.choices(options, [weight for *_, weight in options])[0]
    if counts is not None:
        name, value, _ = min(options, key=lambda option: counts[option[0]])
        counts[name] += 1
    return name, value


def _is_right(value: str, golds: Sequence[str], right: frozenset[str]) -> bool:
    """Whether a value is a gold after all, in words or in meaning."""
    return meaning(value) in right or exact_match(value, golds) == 1.0
