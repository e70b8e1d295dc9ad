"""Evidence: the search that found the answer to a question, and the cause of a wrong answer.

There are two traces over the passages that the model saw. For questions with gold passages (a gold
chain, or the titles of gold pages), it is the action at which each of them first appeared. For all
others, it is the action at which the words of a gold answer first appeared in a passage: no proof
of evidence, but an upper bound. All functions are pure.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from msgspec import Struct

from autocoa_bench.scoring.folding import fold, title_key
from autocoa_bench.scoring.text import normalise
from autocoa_bench.types import Passage, Question, Trajectory

Cause = Literal["under-search", "retrieval miss", "over-search", "reading miss"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

Mark = Literal["gold passage", "gold page", "answer words"]
"""The reason that a passage is evidence: its id, its title, or a gold answer in its text."""

_UNINFORMATIVE = ("yes", "no")
"""Answers whose words in a passage are no sign of evidence."""


SUPPORTED = 0.4
"""The least support of an answer that is no chance.

Of twelve answers each to HotpotQA's training questions over part of Wikipedia, passages with a
support of 0.2 to 0.4 state 5 in answer to the question, of 0.4 to 0.5 8, and of more 10.
"""

_BESIDE = 25
"""The words before and after an answer that count as beside it."""

_COMMON_WORDS = frozenset(
    (
        *("of", "in", "on", "at", "by", "to", "for", "from", "with", "and", "or", "as", "also"),
        *("is", "was", "are", "were", "been", "be", "did", "does", "do", "has", "have", "had"),
        *("what", "which", "who", "whom", "whose", "when", "where", "how", "that", "this"),
        *("it", "its", "he", "she", "his", "her", "their", "many", "much", "one", "name"),
        *("known", "most"),
    )
)


class Evidence(Struct, frozen=True):
    """The actions at which evidence appeared, in an episode of `actions` searches.

    Actions count from 1; None means never. `passages` has each gold passage once, by id or title,
    in the question's order, and is empty where the question names none. `answer` is also None where
    the golds cannot be traced by their words, and `by_answer` is then false.
    """

    actions: int
    passages: tuple[tuple[str, int | None], ...]
    answer: int | None
    by_answer: bool

    @property
    def traced(self) -> bool:
        """True where the question can be traced."""
        return bool(self.passages) or self.by_answer

    @property
    def needed(self) -> tuple[int | None, ...]:
        """The action of each piece that the question needs: its gold passages, else its answer."""
        return tuple(action for _, action in self.passages) or (self.answer,)

    def recall(self, actions: int | None = None) -> float:
        """The share of the gold passages in the first `actions` searches (default: all)."""
        last = self.actions if actions is None else actions
        retrieved = [action is not None and action <= last for _, action in self.passages]
        return sum(retrieved) / len(retrieved)


def trace(question: Question, trajectory: Trajectory) -> Evidence:
    """Trace what a question needs through the searches of an episode.

    Gold passages are identified by the ids of the question's hops; without those, by its gold
    titles: any passage with that title counts (`folding.title_key`).
    """
    retrieved = [step.passages for step in trajectory.steps if step.kind == "search"]
    golds = _golds(question)
    answers = _informative(golds)
    return Evidence(
        actions=len(retrieved),
        passages=_passages(question, retrieved),
        answer=_first_action(
            any(_contains(passage, answers) for passage in passages) for passages in retrieved
        ),
        by_answer=bool(answers) and len(answers) == len(golds),
    )


def cause(evidence: Evidence) -> Cause | None:
    """The cause of a wrong answer; None where the question cannot be traced.

    If every needed piece was retrieved: `over-search` where more searches were made than the pieces
    required, and after the last of them was found; else `reading miss`. If a piece is missing:
    `under-search` where there were fewer searches than pieces, else `retrieval miss`.
    """
    if not evidence.traced:
        return None
    pieces = evidence.needed
    actions = [action for action in pieces if action is not None]
    if len(actions) < len(pieces):
        return "under-search" if evidence.actions < len(pieces) else "retrieval miss"
    return "over-search" if evidence.actions > max(*actions, len(pieces)) else "reading miss"


def mark(question: Question, passage: Passage) -> Mark | None:
    """The first reason that makes a passage evidence for a question; None where it is not."""
    if _has_passages(question):
        if passage.id in {hop.passage_id for hop in question.hops}:
            return "gold passage"
    elif title_key(passage.title) in map(title_key, question.gold_titles):
        return "gold page"
    return "answer words" if _contains(passage, _informative(_golds(question))) else None


def support(question: str, gold: str, passage: Passage) -> float:
    """How much of a question a passage has beside a gold answer: no proof, but more than the words
    of the answer alone.

    The share, from 0 to 1, of the question's words that its title has, or its text within
    `_BESIDE` words of the answer; common words and those of the answer are left out. 0 where the
    passage lacks the answer.
    """
    answer = _words(gold).split()
    terms = set(_words(question).split()) - _COMMON_WORDS - set(answer)
    if not answer or not terms:
        return 0.0
    title, text = _words(passage.title).split(), _words(passage.text).split()
    words = [*title, *text]
    best = 0
    for at in range(len(words) - len(answer) + 1):
        if words[at : at + len(answer)] == answer:
            beside = words[max(0, at - _BESIDE) : at + len(answer) + _BESIDE]
            best = max(best, len(terms & {*beside, *title}))
    return best / len(terms)


def _golds(question: Question) -> list[str]:
    """The gold answers, folded and normalised, without those that have no words."""
    return [words for words in map(_words, question.golden_answers) if words]


def _informative(golds: Sequence[str]) -> list[str]:
    """The answers whose words in a passage are a sign of evidence."""
    return [gold for gold in golds if gold not in _UNINFORMATIVE]


def _has_passages(question: Question) -> bool:
    return any(hop.passage_id for hop in question.hops)


def _passages(
    question: Question, retrieved: Sequence[Sequence[Passage]]
) -> tuple[tuple[str, int | None], ...]:
    """The action at which each gold passage, by id or title, was first retrieved."""
    golds: dict[str, str] = {}
    if _has_passages(question):
        golds = {hop.passage_id: hop.passage_id for hop in question.hops}
        keys_by_action = [{passage.id for passage in passages} for passages in retrieved]
    else:
        for title in question.gold_titles:
            golds.setdefault(title_key(title), title)
        keys_by_action = [{title_key(passage.title) for passage in row} for row in retrieved]
    return tuple(
        (name, _first_action(key in keys for keys in keys_by_action)) for key, name in golds.items()
    )


def _first_action(hits: Iterable[bool]) -> int | None:
    """The number, from 1, of the first action that hits; None for none."""
    return next((number for number, hit in enumerate(hits, 1) if hit), None)


def _contains(passage: Passage, golds: Sequence[str]) -> bool:
    """True where a passage contains one of the normalised answers as whole words."""
    text = f" {_words(f'{passage.title} {passage.text}')} "
    return any(f" {gold} " in text for gold in golds)


def _words(text: str) -> str:
    """The words of an answer or a passage, whatever its encoding."""
    return normalise(fold(text))
