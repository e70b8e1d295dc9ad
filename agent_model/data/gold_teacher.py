"""A teacher without a model: it writes reasoning along a question's gold chain.

It runs the agent's own episode against a real search engine, so that its data is exactly what the
agent's dialect reads and shows. It resolves a question from the inside: it looks the innermost
phrase up, puts the answer in its place, and restates the question that remains. For each hop it
writes the hop's own question, names the passage, and gives the value. It uses only what a search
returned: if the passage of a hop is missing it rephrases, and gives up after the second failure.

It has one wording for each function. Students that learned several wrote one or the other by
chance, and their episodes on two engines parted there.
"""

import asyncio
import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from random import Random

import msgspec
from msgspec import Struct

from agent_model.data.filters import STUDENT
from autocoa_bench.episode import episode, neutralise
from autocoa_bench.scoring.evidence import SUPPORTED, support
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

TurnWriter = Generator[str, tuple[Passage, ...], str]
"""Yields texts that end in a search, is sent the passages, and returns the closing text."""


class Wordings(Struct, frozen=True):
    """The content of wordings.toml."""

    gold: dict[str, str]
    at_once: dict[str, str]
    recite: dict[str, str]
    pairs: dict[str, tuple[str, ...]]


WORDINGS = msgspec.toml.decode(
    Path(__file__).with_name("wordings.toml").read_bytes(), type=Wordings
)

AT_ONCE = WORDINGS.at_once
"""The kinds of questions that are answered without a search, with the wording of their answer."""

_NAME = re.compile(
    r"[A-Z0-9][\w'’.-]*(?: (?:(?:of|the|in|and|for|from|to|is|on|a|no) )*[A-Z0-9][\w'’.-]*)*"
)
_COMMON = re.compile(
    "an?|the|of|in|on|at|by|to|for|from|with|and|is|was|are|were|been?|did|does|do|has|have|had|"
    "what|which|who|whom|whose|when|where|how|that|this|it|its|their|many|much|person|one",
    re.IGNORECASE,
)
_NOUN = r"\b(?:film|movie|song|single|album|novel|book|play|series|band|magazine) \"?"
_DESCRIBED_NAME = re.compile(f"(?:{_NOUN})?{_NAME.pattern}")
_GOLD = WORDINGS.gold


class _GaveUp(Exception):
    """The teacher cannot follow the chain; the message is the reason that is counted."""


def gold_episodes(
    questions: Sequence[Question], search: SearchEngine, seed: int, top_k: Sequence[int]
) -> Iterator[tuple[Question, Trajectory | str]]:
    """A `gold_episode` for each question, one after the other, in an event loop of its own."""
    with asyncio.Runner() as runner:
        for question in questions:
            yield question, runner.run(gold_episode(question, search, seed, top_k))


async def gold_episode(
    question: Question, search: SearchEngine, seed: int, top_k: Sequence[int]
) -> Trajectory | str:
    """A trajectory for a question, or the reason why there is none.

    One number of `top_k` is drawn as the number of passages to show (repeat a number to draw it
    more often; none may exceed the engine's own). The draw depends only on `seed` and the
    question's task and id. Raises SearchFault.
    """
    if not any(gold.strip() for gold in question.golden_answers[:1]):
        return "no answer is known"
    rng = Random(f"{seed}:{question.task}:{question.id}")
    n_passages = rng.choice(tuple(top_k))
    events = episode(question, STUDENT, Budget())
    turn = _write_turn(question)
    event = next(events)
    passages: tuple[Passage, ...] | None = None
    try:
        while True:
            if isinstance(event, Generate) and event.forced:
                return "the turn grew too long"
            event = events.send(Completion(_next_text(turn, passages)))
            if not isinstance(event, Search):  # neither a search nor an answer
                return "the turn was malformed"
            passages = (await search.search(event.query))[:n_passages]
            event = events.send(Observation(passages))
    except _GaveUp as reason:
        return str(reason)
    except StopIteration as end:
        trajectory: Trajectory = end.value
        return trajectory


def fact_search(hop: Hop) -> str:
    """The teacher's thought and search for a fact that is asked for by itself."""
    return _search_text(_GOLD["one_search"], described_names_in(hop.question))


def all_names_in(text: str) -> list[str]:
    """The names in a text: runs of capitalised words."""
    return _NAME.findall(text)


def names_in(question: str) -> str:
    """The names in a question, without its capitalised first word; the question if it has none."""
    return " ".join(all_names_in(question[:1].lower() + question[1:])) or question


def described_names_in(question: str) -> str:
    """As `names_in`, with the noun before a name that tells it from its namesakes: `film Dawn`."""
    text = question[:1].lower() + question[1:]
    return " ".join(_DESCRIBED_NAME.findall(text)).replace('"', "") or question


def recitation(question: Question) -> str:
    """The sentence that answers a question of one hop, up to the answer; empty if it has none.

    A student that begins this sentence decides whether to search at the very place where it recalls
    the answer: the next word is a value that it is sure of, or none. If it decides before, it
    searches for what it knows as often as for what it does not (docs/log.md).
    """
    [*others, hop] = question.hops or (None,)
    if others or hop is None or not hop.statement.endswith(f" {hop.answer}."):
        return ""
    return hop.statement.removesuffix(f" {hop.answer}.")


def recited(begun: str, answer: str) -> str:
    """A recitation that the student completes from memory."""
    return WORDINGS.recite["known"].format(s=begun, a=answer)


def unrecited(begun: str) -> str:
    """A recitation that breaks off, because the student does not know the answer."""
    return WORDINGS.recite["unknown"].format(s=begun)


def _next_text(turn: TurnWriter, passages: tuple[Passage, ...] | None) -> str:
    """The teacher's next text: a thought and a search, or the answer."""
    try:
        return next(turn) if passages is None else turn.send(passages)
    except StopIteration as end:
        closing: str = end.value
        return closing


def _write_turn(question: Question) -> TurnWriter:
    if question.kind in AT_ONCE:
        answer = question.golden_answers[0]
        begun = recitation(question)
        thought = recited(begun, answer) if begun else AT_ONCE[question.kind].format(a=answer)
        return _closing(thought, answer)
    if not question.hops or not question.hops[0].passage_id:
        return (yield from _search_as_asked(question))
    if question.hops[0].phrase or len(question.hops) == 1:
        return (yield from _follow_phrases(question))
    return (yield from _follow_sub_questions(question))


def _search_as_asked(question: Question) -> TurnWriter:
    """For questions without a gold chain: search for the question, then for the names in it.

    The question itself finds more than its names (of HotpotQA's training questions over part of
    Wikipedia, 16.0 against 12.2 per cent). An answer counts only in a passage that supports it;
    elsewhere it is chance.
    """
    golds = [
        gold
        for gold in question.golden_answers
        if gold.lower() not in ("yes", "no") and not _states(question.text, gold)
    ]
    names = all_names_in(_lower_first(question.text))
    if not golds:
        raise _GaveUp("the answer is yes, no or in the question")
    thought = _GOLD["as_asked"]
    for query in filter(None, (question.text, " ".join(names))):
        passages = yield _search_text(thought, query)
        options = [
            (support(question.text, gold, passage), passage, gold)
            for passage in passages
            for gold in golds
        ]
        share, passage, gold = max(options, key=lambda option: option[0], default=(0.0, None, ""))
        if passage is not None and share >= SUPPORTED:
            return _closing(_found_text(passage.title, gold), gold)
        thought = _GOLD["rephrase"]
    raise _GaveUp("no answer in what was found")


def _follow_phrases(question: Question) -> TurnWriter:
    """Phrase by phrase from the inside, restating the question after each."""
    reader = _Reader()
    *inner, last = question.hops
    remaining = question.text
    answers: list[tuple[str, str]] = []  # (phrase, answer)
    begun = recitation(question)
    alone = unrecited(begun) if begun else _GOLD["one_search"]
    thought = "" if inner else alone
    for hop in inner:
        phrase = hop.phrase
        for earlier_phrase, answer in answers:
            phrase = _replace(phrase, earlier_phrase, answer)
        if not phrase or phrase.lower() not in remaining.lower():
            raise _GaveUp("the question does not hold the phrase of a hop")
        wording = ("\n" if answers else "") + _GOLD["also" if answers else "need"]
        thought += wording.format(x=_lower_first(phrase))
        yield from reader.look_up(hop, thought, _subject(hop, phrase, answers))
        answers.append((phrase, hop.answer))
        remaining = _replace(remaining, phrase, hop.answer)
        remaining = remaining[:1].upper() + remaining[1:]
        thought = f"{reader.finding(hop)} {_GOLD['now'].format(q=remaining)}"
    yield from reader.look_up(last, thought, _subject(last, remaining, answers))
    return reader.closing(question, reader.finding(last))


def _follow_sub_questions(question: Question) -> TurnWriter:
    """Sub-question by sub-question: family relations, and comparisons of two values."""
    reader = _Reader()
    thought = ""
    for number, hop in enumerate(question.hops):
        thought += _GOLD["next_question" if number else "first_question"].format(q=hop.question)
        yield from reader.look_up(hop, thought, described_names_in(hop.question))
        thought = f"{reader.finding(hop)} "
    if "comparison" in question.kind:
        thought += _comparison_text(question)
    return reader.closing(question, thought.strip())


class _Reader:
    """Looks hops up, and remembers the passages it has read."""

    def __init__(self) -> None:
        self._titles: dict[str, str] = {}
        self._pending = ""  # a thought that needed no search, to be put before the next text

    def look_up(
        self, hop: Hop, thought: str, name: str
    ) -> Generator[str, tuple[Passage, ...], None]:
        """Search until the hop's passage is found: by name, then with the words of its question."""
        thought = self._pending + thought
        self._pending = ""
        if hop.passage_id in self._titles:
            self._pending = f"{thought}\n{_GOLD['seen']} "
            return
        for query in (name, f"{name} {_keywords(hop.question, name)}".strip()):
            passages = yield _search_text(thought, query)
            self._titles |= {passage.id: passage.title for passage in passages}
            if hop.passage_id in self._titles:
                return
            thought = _GOLD["rephrase"]
        raise _GaveUp("the passage was not found")

    def finding(self, hop: Hop) -> str:
        """The hop's question, the title of its passage, and the answer in it."""
        text = _found_text(self._titles[hop.passage_id], hop.answer)
        return f"{hop.question} {text}".strip()

    def closing(self, question: Question, thought: str) -> str:
        """The end of the turn."""
        return _closing(self._pending + thought, question.golden_answers[0])


def _closing(thought: str, answer: str) -> str:
    return f"{thought}\n</think>\n\n\\boxed{{{answer}}}"


def _found_text(title: str, answer: str) -> str:
    """Names the passage before the value: the student first selects, then reads."""
    return _GOLD["found"].format(t=neutralise(title), a=answer)


def _search_text(thought: str, query: str) -> str:
    """A thought and a search; tags that a question contains are neutralised in the query."""
    return f"{thought}\n<begin_search> {neutralise(query)} </end_search>"


def _comparison_text(question: Question) -> str:
    """The conclusion from a comparison's two values, which are those of the last two hops."""
    left, right = question.hops[-2:]
    gold = question.golden_answers[0]
    if gold in ("yes", "no"):
        same = "the same" if gold == "yes" else "not the same"
        return f"{left.answer} and {right.answer} are {same}, so {gold}."
    values = (left.answer, right.answer)
    if gold in values:  # what both have in common
        return f"{left.answer} and {right.answer} are the same, so it is {gold}."
    winner, loser = values if gold in question.hops[0].question else values[::-1]
    less, more = ("earlier", "later") if _year(winner) and _year(loser) else ("less", "more")
    first, second = (_year(value) or _number(value) for value in (winner, loser))
    return f"{winner} is {less if first < second else more} than {loser}, so it is {gold}."


def _year(value: str) -> int:
    match = re.search(r"(?<![\d,])[12]\d{3}$", value)
    return int(match.group()) if match else 0


def _number(value: str) -> int:
    match = re.search(r"\d[\d,]*", value)
    return int(match.group().replace(",", "")) if match else 0


def _replace(text: str, phrase: str, answer: str) -> str:
    """The text with an answer in the place of a phrase, in any case; unchanged without it."""
    at = text.lower().find(phrase.lower())
    return text if at < 0 or not phrase else text[:at] + answer + text[at + len(phrase) :]


def _lower_first(phrase: str) -> str:
    """A phrase as it stands inside a sentence: a common first word in lower case."""
    first, _, others = phrase.partition(" ")
    return f"{first.lower()} {others}" if _COMMON.fullmatch(first) else phrase


def _subject(hop: Hop, text: str, answers: Sequence[tuple[str, str]]) -> str:
    """The names to search for: earlier answers that the text contains, else the hop's names."""
    earlier = " ".join(answer for _, answer in answers if answer in text)
    return earlier or described_names_in(hop.question)


def _keywords(question: str, name: str) -> str:
    """The words of a question without those of a name and without common words."""
    name_words = set(re.findall(r"\w+", name.lower()))
    words = re.findall(r"[\w'’-]+", question)
    return " ".join(
        word for word in words if not _COMMON.fullmatch(word) and word.lower() not in name_words
    )


def _states(text: str, gold: str) -> bool:
    """True if a text contains the answer as whole words, in any case."""
    return re.search(rf"(?<!\w){re.escape(gold.lower())}(?!\w)", text.lower()) is not None
