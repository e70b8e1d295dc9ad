"""Labelled answers made without a model: what the embedded judge is trained on.

Each question gives one right answer and one wrong one. Right ones are a gold or another form of
it (`autocoa_bench.judge.synthesis.right_answers`), wrong ones another question's gold or a slip beside the gold (`autocoa_bench.judge.synthesis.wrong_answers`);
both are said in the same ways (`autocoa_bench.judge.synthesis.phrasing`), so that only the value tells them apart. All of it
follows from the seed and the question's id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from msgspec import Struct

from autocoa_bench.judge.synthesis.answer_types import kind_of, meaning
from autocoa_bench.judge.synthesis.phrasing import framed, ordered
from autocoa_bench.judge.synthesis.right_answers import FORMS, Form
from autocoa_bench.judge.synthesis.wrong_answers import SLIPS, Pool, differs
from autocoa_bench.scoring.text import exact_match
from autocoa_bench.types import Question

LONGEST = 12
"""Words of a gold from which on a question is left out: such golds are sentences, not answers."""

_EXACT = 0.35  # of the right ones; in the field it was 0.81, from which little more is learned
_FRAMED = 0.15
_ORDERED = {True: 0.01, False: 0.06}
_CONTRASTED = 0.03
_HEDGED = 0.05
_REFORMED = 0.2
_ANOTHER_GOLD = 0.15
_TRIES = 8
_ALIASES = ("date", "nation", "synonym", "place", "person", "number", "name")
"""Forms that stand beside a gold as datasets' aliases do."""

_HEDGES = (
    *("{x} or {y}", "either {y} or {x}", "{x} and {y}", "{y} / {x}", "possibly {x}, possibly {y}"),
    *("I am not sure whether it is {y} or {x}.", "{x}, or maybe {y}", "{y}; {x}"),
)
_CONTRASTS = (
    *("not {y} but {x}", "{x}, not {y}", "It is {x} rather than {y}.", "{x} (and not {y})"),
    *("Some say {y}, but it is {x}.", "It was not {y}; it was {x}."),
)


class LabelledAnswer(Struct, frozen=True):
    """An answer with its verdict; `made` says by what it was made right or wrong."""

    question: Question
    golds: tuple[str, ...]
    answer: str
    verdict: bool
    made: str


def labelled_answers(
    questions: Sequence[Question], drawn: Sequence[Question], seed: int
) -> Iterator[LabelledAnswer]:
    """A right and a wrong answer for every question of `drawn` that has a short gold, in order.

    Wrong answers are taken from the golds of all `questions`.
    """
    pool = Pool(
        (question.text, gold)
        for question in questions
        if _is_short(question)
        for gold in question.golden_answers
    )
    for question in filter(_is_short, drawn):
        rng = Random(f"{seed}:{question.task}:{question.id}")
        golds = _golds(question, rng)
        yield _right(question, golds, pool, rng)
        if wrong := _wrong(question, golds, pool, rng):
            yield wrong


def _is_short(question: Question) -> bool:
    golds = question.golden_answers
    return bool(golds) and all(gold.strip() and len(gold.split()) < LONGEST for gold in golds)


def _golds(question: Question, rng: Random) -> tuple[str, ...]:
    """The golds in any order; now and then with another form of one beside them."""
    golds = list(question.golden_answers)
    if rng.random() < _ANOTHER_GOLD and kind_of(question.text, golds[0]) != "yes-no":
        forms = {name: FORMS[name] for name in _ALIASES}
        golds += [value for _, value, _ in _options(forms, question.text, golds[0], rng)][:1]
    rng.shuffle(golds)
    return tuple(dict.fromkeys(golds))


def _right(question: Question, golds: tuple[str, ...], pool: Pool, rng: Random) -> LabelledAnswer:
    gold = rng.choice(question.golden_answers)
    made, answer = "exact", gold
    if rng.random() >= _EXACT:
        made, answer = _form(question.text, gold, rng)
    if rng.random() < _CONTRASTED and (other := pool.sibling(question.text, gold, rng)):
        made, answer = "contrast", rng.choice(_CONTRASTS).format(x=answer, y=other)
    made, answer = _said(question, made, answer, rng, right=True)
    return LabelledAnswer(question, golds, answer, True, made)


def _wrong(
    question: Question, golds: tuple[str, ...], pool: Pool, rng: Random
) -> LabelledAnswer | None:
    gold = rng.choice(question.golden_answers)
    made, value = _slip(question.text, golds, gold, pool, rng)
    if value is None:
        return None
    if rng.random() < _REFORMED and made in ("sibling", "similar"):
        _, value = _form(question.text, value, rng)
    if rng.random() < _HEDGED and value.strip() and differs(value, gold):
        made, value = "hedge", rng.choice(_HEDGES).format(x=gold, y=value)
    elif rng.random() < _CONTRASTED and value.strip() and differs(value, gold):
        made, value = "contrast", rng.choice(_CONTRASTS).format(x=value, y=gold)
    made, value = _said(question, made, value, rng, right=False)
    return None if _is_right(value, golds) else LabelledAnswer(question, golds, value, False, made)


def _said(
    question: Question, made: str, value: str, rng: Random, *, right: bool
) -> tuple[str, str]:
    """The value as it is said: most often plainly."""
    if rng.random() < _FRAMED and made not in ("nothing", "echo"):
        value = framed(question.text, value, rng)
    if rng.random() < _ORDERED[right]:
        return f"{made}, with an order", ordered(value, rng)
    return made, value


def _form(question: str, gold: str, rng: Random) -> tuple[str, str]:
    """Another form of a gold, with its name; the gold where it has none."""
    options = _options(FORMS, question, gold, rng)
    found = [each for each in options if each[1] != gold] or [("exact", gold, 1.0)]
    name, value, _ = rng.choices(found, [weight for *_, weight in found])[0]
    return name, value


def _slip(
    question: str, golds: tuple[str, ...], gold: str, pool: Pool, rng: Random
) -> tuple[str, str | None]:
    """A wrong value with the name of what made it."""
    ways = {**SLIPS, "sibling": (pool.sibling, 5.0), "similar": (pool.similar, 3.0)}
    for _ in range(_TRIES):
        found = [
            each for each in _options(ways, question, gold, rng) if not _is_right(each[1], golds)
        ]
        if found:
            name, value, _ = rng.choices(found, [weight for *_, weight in found])[0]
            return name, value
    return "", None


def _options(
    ways: Mapping[str, tuple[Form, float]], question: str, gold: str, rng: Random
) -> list[tuple[str, str, float]]:
    """What each way makes of a gold, where it applies: name, value and weight."""
    made = ((name, way(question, gold, rng), weight) for name, (way, weight) in ways.items())
    return [(name, value, weight) for name, value, weight in made if value is not None]


def _is_right(value: str, golds: Sequence[str]) -> bool:
    """Whether a value is a gold after all, in words or in meaning."""
    same = meaning(value) in {meaning(gold) for gold in golds}
    return same or exact_match(value, golds) == 1.0
