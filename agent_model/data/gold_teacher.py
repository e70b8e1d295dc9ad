"""A teacher without a model: reasoning written along a question's gold chain.

It plays the agent in the project's own episode, against a real search engine, so that what it
leaves behind is what the agent's dialect would read and be shown. It takes the question apart
from the inside: the innermost phrase is looked up, its answer put in its place, and the question
that remains asked anew. What it reads it reads in three steps: it asks the hop's own plain
question, names the passage, and gives the value. It reads only what was found; where the passage
that states a fact was not, it rephrases, and gives up at the second failure.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator, Iterator, Sequence
from random import Random

from agent_model.data.filters import STUDENT
from agent_model.data.names import all_names_in, names_in
from autocoa_bench.episode import episode, neutralise
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    Hop,
    Observation,
    Passage,
    Question,
    Search,
    Trajectory,
)

Play = Generator[str, tuple[Passage, ...], str]
"""Yields a thought that ends in a search, is sent the passages, returns the closing text."""

_NEED = ("First I need {x}.", "I have to find {x} first.", "What I need first is {x}.")
_FOUND = ("The passage on {t} says {a}.", "By the passage on {t}, it is {a}.")
_NOW = ("Now the question is: {q}", "So what remains is: {q}", "This leaves: {q}")
_ALSO = ("For that I need {x}.", "Next I need {x}.")
_ASK = ("First: {q}", "I start with this: {q}", "I need to know: {q}")
_NEXT = ("Next: {q}", "Then: {q}", "Now I need to know: {q}")
_REPHRASE = (
    "These passages do not say it. I try other words.",
    "That is not in these passages, so I search in other words.",
)
_SEEN = ("The passages above say it already.", "No search is needed, I have read it above.")
_RECALL = ("I know this without a search: {a}.", "This is well known: {a}. No search is needed.")
_GIVEN = (
    "The question itself says it: {a}.",
    "No search is needed, the question states it: {a}.",
)
AT_ONCE = {"known": _RECALL, "given": _GIVEN}
"""What is said of the kinds of questions that are answered without a search."""

# Not as questions of several hops open: else a student that is unsure takes the short way.
_ONE = ("One search will do.", "This takes one search.")
_BY_NAME = "I look up what the question names."

_COMMON = re.compile(
    "an?|the|of|in|on|at|by|to|for|from|with|and|is|was|are|were|been?|did|does|do|has|have|had|"
    "what|which|who|whom|whose|when|where|how|that|this|it|its|their|many|much|person|one",
    re.IGNORECASE,
)


class _Lost(Exception):
    """The chain cannot be followed; the message is the reason that is counted."""


def gold_episodes(
    questions: Sequence[Question], search: SearchEngine, seed: int, top_k: Sequence[int]
) -> Iterator[tuple[Question, Trajectory | str]]:
    """A `lesson` for every question, one after the other, in an event loop of its own."""
    with asyncio.Runner() as runner:
        for question in questions:
            yield question, runner.run(gold_episode(question, search, seed, top_k))


async def gold_episode(
    question: Question, search: SearchEngine, seed: int, top_k: Sequence[int]
) -> Trajectory | str:
    """A trajectory for a question, or the reason why there is none.

    `top_k` holds the numbers of passages that trajectories show, one drawn for each (repeat one
    to draw it more often; none above the engine's own). Wordings are drawn from `seed` and the
    question's id alone. Raises SearchFault.
    """
    if not any(gold.strip() for gold in question.golden_answers[:1]):
        return "no answer is known"
    rng = Random(f"{seed}:{question.task}:{question.id}")
    shown = rng.choice(tuple(top_k))
    run = episode(question, STUDENT, Budget())
    play = _play(question, rng)
    event = next(run)
    passages: tuple[Passage, ...] | None = None
    try:
        while True:
            if isinstance(event, Generate) and event.forced:
                return "the turn grew too long"
            event = run.send(Completion(_say(play, passages)))
            if not isinstance(event, Search):  # it was neither a search nor the answer
                return "the turn was malformed"
            passages = (await search.search(event.query))[:shown]
            event = run.send(Observation(passages))
    except _Lost as lost:
        return str(lost)
    except StopIteration as end:
        trajectory: Trajectory = end.value
        return trajectory


def _say(play: Play, passages: tuple[Passage, ...] | None) -> str:
    """The next thing the teacher writes: a thought and a search, or the answer."""
    try:
        return next(play) if passages is None else play.send(passages)
    except StopIteration as end:
        closing: str = end.value
        return closing


def _play(question: Question, rng: Random) -> Play:
    if question.kind in AT_ONCE:
        return (yield from _at_once(question, rng.choice(AT_ONCE[question.kind])))
    if not question.hops or not question.hops[0].passage_id:
        return (yield from _direct(question, rng))
    if question.hops[0].phrase or len(question.hops) == 1:
        return (yield from _chain(question, rng))
    return (yield from _sub_questions(question, rng))


def _closed(thought: str, answer: str) -> str:
    return f"{thought}\n</think>\n\n\\boxed{{{answer}}}"


def _at_once(question: Question, wording: str) -> Play:
    yield from ()
    answer = question.golden_answers[0]
    return _closed(wording.format(a=answer), answer)


def _direct(question: Question, rng: Random) -> Play:
    """For questions without a gold chain: by their names, then in their own words.

    An answer counts as found only in a passage that also has one of the names: in another it
    stands by chance.
    """
    names = all_names_in(_uncapped(question.text))
    golds = [
        gold
        for gold in question.golden_answers
        if gold.lower() not in ("yes", "no") and not _states(question.text, gold)
    ]
    if not golds or not names:
        raise _Lost("the question has no name, or its answer is yes, no or in the question")
    thought = _BY_NAME
    for query in (" ".join(names), question.text):
        for passage in (yield _searching(thought, query)):
            text = f"{passage.title} {passage.text}"
            stated = [gold for gold in golds if _states(text, gold)]
            if stated and any(name in text for name in names):
                return _closed(_found(rng, passage.title, stated[0]), stated[0])
        thought = rng.choice(_REPHRASE)
    raise _Lost("no answer in what was found")


def _chain(question: Question, rng: Random) -> Play:
    """Phrase by phrase from the inside, the question restated after each."""
    reader = _Reader(rng)
    *inner, last = question.hops
    rest = question.text
    known: list[tuple[str, str]] = []
    thought = "" if inner else rng.choice(_ONE)
    for hop in inner:
        phrase = hop.phrase
        for before, answer in known:
            phrase = _replaced(phrase, before, answer)
        if not phrase or phrase.lower() not in rest.lower():
            raise _Lost("the question does not hold the phrase of a hop")
        words = "\n" + rng.choice(_ALSO) if known else rng.choice(_NEED)
        thought += words.format(x=_uncapped(phrase))
        yield from reader.look_up(hop, thought, _subject(hop, phrase, known), phrase)
        known.append((phrase, hop.answer))
        rest = _capped(_replaced(rest, phrase, hop.answer))
        thought = f"{reader.found(hop)} {rng.choice(_NOW).format(q=rest)}"
    yield from reader.look_up(last, thought, _subject(last, rest, known), rest)
    return reader.answer(question, reader.found(last))


def _sub_questions(question: Question, rng: Random) -> Play:
    """Sub-question by sub-question: family relations, and comparisons once both are looked up."""
    reader = _Reader(rng)
    thought = ""
    for number, hop in enumerate(question.hops):
        words = rng.choice(_NEXT if number else _ASK)
        thought += words.format(q=hop.question)
        yield from reader.look_up(hop, thought, names_in(hop.question), hop.question)
        thought = f"{reader.found(hop)} "
    if "comparison" in question.kind:
        thought += _verdict(question)
    return reader.answer(question, thought.strip())


class _Reader:
    """Looks hops up and keeps what was read."""

    def __init__(self, rng: Random) -> None:
        self._dice = rng
        self._titles: dict[str, str] = {}
        self._spared = ""

    def look_up(
        self, hop: Hop, thought: str, name: str, asked: str
    ) -> Generator[str, tuple[Passage, ...], None]:
        """Search until the hop's passage is there: by name, then in other words."""
        thought = self._spared + thought
        self._spared = ""
        if hop.passage_id in self._titles:
            self._spared = f"{thought}\n{self._dice.choice(_SEEN)} "
            return
        for query in (name, f"{name} {_keywords(asked, name)}".strip()):
            passages = yield _searching(thought, query)
            self._titles |= {passage.id: passage.title for passage in passages}
            if hop.passage_id in self._titles:
                return
            thought = self._dice.choice(_REPHRASE)
        raise _Lost("the passage was not found")

    def found(self, hop: Hop) -> str:
        """The hop's question, and what its passage, which was read, says."""
        read = _found(self._dice, self._titles[hop.passage_id], hop.answer)
        return f"{hop.question} {read}".strip()

    def answer(self, question: Question, thought: str) -> str:
        """The end of the turn."""
        return _closed(self._spared + thought, question.golden_answers[0])


def _found(rng: Random, title: str, answer: str) -> str:
    """Where an answer stands, and the answer: first the passage is chosen, then it is read."""
    return rng.choice(_FOUND).format(t=neutralise(title), a=answer)


def _searching(thought: str, query: str) -> str:
    """A thought and a search, in whose query no tag of a question can act."""
    return f"{thought}\n<begin_search> {neutralise(query)} </end_search>"


def _verdict(question: Question) -> str:
    """What a comparison's two values say: hops are in order, the compared facts last."""
    left, right = question.hops[-2:]
    gold = question.golden_answers[0]
    if gold in ("yes", "no"):
        same = "the same" if gold == "yes" else "not the same"
        return f"{left.answer} and {right.answer} are {same}, so {gold}."
    first = question.hops[0]
    values = (left.answer, right.answer)
    won, lost = values if gold in first.question else values[::-1]
    word = _order(won, lost)
    return f"{won} is {word} than {lost}, so it is {gold}."


def _order(won: str, lost: str) -> str:
    dates = all(_year(value) for value in (won, lost))
    numbers = [_year(value) or _number(value) for value in (won, lost)]
    less = numbers[0] < numbers[1]
    if dates:
        return "earlier" if less else "later"
    return "less" if less else "more"


def _year(value: str) -> int:
    found = re.search(r"(?<![\d,])[12]\d{3}$", value)
    return int(found.group()) if found else 0


def _number(value: str) -> int:
    found = re.search(r"\d[\d,]*", value)
    return int(found.group().replace(",", "")) if found else 0


def _replaced(text: str, phrase: str, answer: str) -> str:
    """The text with the answer in the phrase's place, whatever the case of its first letter."""
    at = text.lower().find(phrase.lower())
    return text if at < 0 or not phrase else text[:at] + answer + text[at + len(phrase) :]


def _uncapped(phrase: str) -> str:
    """A phrase as it stands inside a sentence."""
    first, _, others = phrase.partition(" ")
    return f"{first.lower()} {others}" if _COMMON.fullmatch(first) else phrase


def _capped(text: str) -> str:
    return text[:1].upper() + text[1:]


def _subject(hop: Hop, asked: str, known: Sequence[tuple[str, str]]) -> str:
    """The names to search for: answers found so far that are asked about, else the hop's own."""
    own = [answer for _, answer in known if answer in asked]
    return " ".join(own) or names_in(hop.question)


def _keywords(asked: str, name: str) -> str:
    """What is asked about a name, without the name and without common words."""
    known = set(re.findall(r"\w+", name.lower()))
    words = re.findall(r"[\w'’-]+", asked)
    return " ".join(w for w in words if not _COMMON.fullmatch(w) and w.lower() not in known)


def _states(text: str, gold: str) -> bool:
    """Whether a text has the answer as whole words, in any case."""
    return re.search(rf"(?<!\w){re.escape(gold.lower())}(?!\w)", text.lower()) is not None
