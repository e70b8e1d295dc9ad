"""Evidence: when a search brought what answers a question, and where a wrong answer comes from.

Two traces, both over the passages that the model was shown. Of questions with gold passages (a
gold chain, or the titles of gold pages): the action at which each of them first appeared. Of all
others: the action at which a gold answer, in words, first stood in a passage, which is no proof of
evidence, only its outer bound. All here are pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from msgspec import Struct

from autocoa_bench.scoring.text import normalise
from autocoa_bench.types import Passage, Question, Trajectory

Cause = Literal["under-search", "retrieval miss", "over-search", "reading miss"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

Mark = Literal["gold passage", "gold page", "answer words"]
"""Why a passage is evidence: by its id, by its title, by a gold answer that stands in it."""

_BARE = ("yes", "no")
"""Answers whose words stand in passages without saying anything."""


class Evidence(Struct, frozen=True):
    """Where evidence came up in an episode of `actions` searches.

    Actions count from 1; None: never. `passages` has each gold passage once, by id or title, in
    the question's order, and is empty where the question names none. `answer` is None too where
    the golds cannot be traced by their words (`by_answer` says so).
    """

    actions: int
    passages: tuple[tuple[str, int | None], ...]
    answer: int | None
    by_answer: bool

    @property
    def traced(self) -> bool:
        """Whether anything can be said of this question."""
        return bool(self.passages) or self.by_answer

    @property
    def needed(self) -> tuple[int | None, ...]:
        """When each piece that the question needs came up: its gold passages, else its answer."""
        return tuple(at for _, at in self.passages) or (self.answer,)

    def recall(self, actions: int | None = None) -> float:
        """The share of the gold passages shown in the first `actions` searches (default: all)."""
        last = self.actions if actions is None else actions
        return sum(at is not None and at <= last for _, at in self.passages) / len(self.passages)


def trace(question: Question, trajectory: Trajectory) -> Evidence:
    """What an episode's searches brought of what its question needs.

    Gold passages are told by the ids of the question's hops; without those, by its gold titles:
    any passage of that title counts, titles compared as answers are (`normalise`).
    """
    shown = [step.passages for step in trajectory.steps if step.kind == "search"]
    golds = _golds(question)
    words = _telling(golds)
    return Evidence(
        actions=len(shown),
        passages=_by_id(question, shown) if _has_passages(question) else _by_title(question, shown),
        answer=_first(any(_states(one, words) for one in each) for each in shown),
        by_answer=bool(words) and len(words) == len(golds),
    )


def cause(evidence: Evidence) -> Cause | None:
    """Where a wrong answer comes from; None where the question cannot be traced.

    With everything that was needed shown: `over-search` if searches followed that were needed
    neither for that nor by the number of pieces, else `reading miss`. With something never shown:
    `under-search` if fewer searches were made than there are pieces, else `retrieval miss`.
    """
    if not evidence.traced:
        return None
    needed = evidence.needed
    found = [at for at in needed if at is not None]
    if len(found) < len(needed):
        return "under-search" if evidence.actions < len(needed) else "retrieval miss"
    return "over-search" if evidence.actions > max(*found, len(needed)) else "reading miss"


def mark(question: Question, passage: Passage) -> Mark | None:
    """Why a passage is evidence for a question, by the first that holds; None where it is not."""
    if _has_passages(question):
        if passage.id in {hop.passage_id for hop in question.hops}:
            return "gold passage"
    elif _same(passage.title) in {_same(title) for title in question.gold_titles}:
        return "gold page"
    return "answer words" if _states(passage, _telling(_golds(question))) else None


def _golds(question: Question) -> list[str]:
    """The gold answers as they are compared, those without words left out."""
    return [words for words in map(normalise, question.golden_answers) if words]


def _telling(golds: Sequence[str]) -> list[str]:
    """The answers whose words say something by standing in a passage."""
    return [each for each in golds if each not in _BARE]


def _has_passages(question: Question) -> bool:
    return any(hop.passage_id for hop in question.hops)


def _by_id(
    question: Question, shown: Sequence[Sequence[Passage]]
) -> tuple[tuple[str, int | None], ...]:
    """When each gold passage was first shown."""
    gold = dict.fromkeys(hop.passage_id for hop in question.hops)
    ids = [{passage.id for passage in each} for each in shown]
    return tuple((wanted, _first(wanted in each for each in ids)) for wanted in gold)


def _by_title(
    question: Question, shown: Sequence[Sequence[Passage]]
) -> tuple[tuple[str, int | None], ...]:
    """When a passage of each gold title was first shown."""
    gold: dict[str, str] = {}
    for title in question.gold_titles:
        gold.setdefault(_same(title), title)
    titles = [{_same(passage.title) for passage in each} for each in shown]
    return tuple((title, _first(key in each for each in titles)) for key, title in gold.items())


def _same(title: str) -> str:
    """A title as it is compared; one of nothing but articles and punctuation stays itself."""
    return normalise(title) or title


def _first(hits: Iterable[bool]) -> int | None:
    """The number, from 1, of the first hit."""
    return next((number for number, hit in enumerate(hits, 1) if hit), None)


def _states(passage: Passage, golds: Sequence[str]) -> bool:
    """Whether a passage has one of the normalised answers as whole words."""
    text = f" {normalise(f'{passage.title} {passage.text}')} "
    return any(f" {gold} " in text for gold in golds)
