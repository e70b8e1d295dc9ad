"""CoT+A contrastive pairs (paper 3.2.1): one context, then a search or none.

Both directions are made: a search where going on without one leads to a wrong answer, and no
search where the answer is known already. Pairs come from sampled episodes of the same question,
with and without tools, or from gold trajectories, whose every search is needed and whose end
needs no more. All here are pure functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from agent_model.data.filters import STUDENT, as_taught, is_right, is_well_formed, random_order
from agent_model.data.names import names_in
from agent_model.data.pairs import Pair
from autocoa_bench.episode import neutralise
from autocoa_bench.scoring import TextScorer
from autocoa_bench.scoring.text import exact_match
from autocoa_bench.types import Question, Record, Step, StepKind, Trajectory, Turn

_TAG, _END_TAG = STUDENT.query_tags

_AS_IF_KNOWN = (
    "I know this: {w}.",
    "I am sure that it is {w}.",
    "I remember it, it is {w}.",
    "It must be {w}.",
    "That should be {w}, so there is no need to look it up.",
)
_NEEDLESS = (
    "I would rather make sure with one more search.",
    "To be on the safe side, I look it up.",
    "Let me search once more to confirm it.",
    "I search before I answer.",
)
_UNSURE = ("I do not know this, so I look it up.", "I have to look this up.", *_NEEDLESS)
_SENTENCE_END = re.compile(r"\n|[.!?](?= )")

Key = tuple[str, str]
"""(task, question id)"""


class PairResult(NamedTuple):
    """Pairs, and the questions that gave none, by reason."""

    pairs: list[Pair]
    dropped: Counter[str]


def sampled_pairs(
    cot: Iterable[Record], coa: Iterable[Record], scorer: TextScorer, least: float = 1.0
) -> PairResult:
    """At most one pair a question, from its episodes without tools and with them.

    Where searching is right more often, its first search is chosen over a wrong answer without
    one. Where it is right less often, or answering without tools is always right, that answer
    is chosen over the first search. The two part where their words do, no later than the search;
    a pair needs a well-formed text for either side.
    """
    with_tools = _by_question(coa)
    without = _by_question(cot)
    made = PairResult([], Counter())
    if missing := len(without.keys() ^ with_tools.keys()):
        made.dropped["a kind of episode is missing"] = missing
    for key in (key for key in without if key in with_tools):
        pair = _sampled_pair(without[key], with_tools[key], scorer, least)
        if isinstance(pair, str):
            made.dropped[pair] += 1
        else:
            made.pairs.append(pair)
    return made


def _sampled_pair(
    alone: Sequence[Record], searched: Sequence[Record], scorer: TextScorer, least: float
) -> Pair | str:
    """The pair of one question, or the reason why there is none."""
    alone_rate, searched_rate = (
        sum(is_right(record, scorer, least) for record in group) / len(group)
        for group in (alone, searched)
    )
    acts = searched_rate > alone_rate
    if searched_rate == alone_rate < 1:
        return "never right" if alone_rate == 0 else "as often right as with searches"
    answers = _first_texts(_well_formed(alone, scorer, least, right=not acts), "answer")
    actions = _first_texts(_well_formed(searched, scorer, least, right=acts), "search")
    if not (acts or actions):  # the search was right too, and all the same not needed
        actions = _first_texts(searched, "search")
    if not actions:
        return "no search to choose from"
    if not answers:
        return "no well-formed answer"
    return _parting(alone[0].question, actions[0], answers[0], acts=acts)


def gold_pairs(records: Sequence[Record], seed: int) -> list[Pair]:
    """Two pairs a record of a gold trajectory: at one of its searches, and at its end.

    Chosen is what the trajectory does. Rejected is, at a search, a wrong answer given as if it
    were known (another question's gold of the same kind), and at the end another, needless
    search. Half of them part before the thought, half right after it. Trajectories without a
    search give only the second.
    """
    pool = _Answers(record.question for record in records)
    pairs = []
    for record in records:
        rng = Random(f"pairs:{seed}:{record.question.task}:{record.question.id}")
        trajectory = record.trajectory
        assert trajectory is not None
        searches = [at for at, step in enumerate(trajectory.steps) if step.kind == "search"]
        wrong = pool.other_than(record.question, rng)
        if searches and wrong:
            at = rng.choice(searches)
            pairs.append(_search_pair(record.question, trajectory, at, wrong, rng))
        pairs.append(_answer_pair(record.question, trajectory, rng))
    return pairs


def draw_evenly(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    """At most `count` pairs in their own order, of both directions alike as far as there are."""
    acting = [pair for pair in pairs if pair.ends[1]]
    answering = [pair for pair in pairs if pair.ends[0]]
    share = max(count // 2, count - len(answering))
    drawn = random_order(acting, _mark, share, seed)
    drawn += random_order(answering, _mark, count - len(drawn), seed)
    chosen = set(map(id, drawn))
    return [pair for pair in pairs if id(pair) in chosen]


def _mark(pair: Pair) -> str:
    return f"{pair.question.task}:{pair.question.id}"


def _by_question(records: Iterable[Record]) -> dict[Key, list[Record]]:
    """Episodes in the order of their samples; faults say nothing of the model."""
    found: dict[Key, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.sample):
        if record.trajectory is not None:
            found.setdefault(record.key[:2], []).append(as_taught(record))
    return found


def _well_formed(
    records: Iterable[Record], scorer: TextScorer, least: float, *, right: bool
) -> list[Record]:
    """The well-formed episodes that are right, or those that are not."""
    return [
        record
        for record in records
        if record.trajectory
        and is_well_formed(record.trajectory)
        and is_right(record, scorer, least) == right
    ]


def _first_texts(records: Iterable[Record], kind: StepKind) -> list[str]:
    """The first completions that are of a kind, those of the shortest episodes first."""
    trajectories = [record.trajectory for record in records if record.trajectory]
    trajectories.sort(key=lambda trajectory: len(trajectory.steps))
    firsts = (trajectory.steps[0] for trajectory in trajectories)
    return [step.text for step in firsts if step.kind == kind]


def _parting(question: Question, action: str, answer: str, *, acts: bool) -> Pair:
    shared = _shared_length(action, answer)
    turns = (Turn("model", action[:shared]),) if shared else ()
    sides = (action[shared:], answer[shared:])
    return _pair(question, turns, *(sides if acts else sides[::-1]), acts=acts)


def _shared_length(one: str, other: str) -> int:
    """The length of the beginning that two texts share, in whole sentences."""
    common = 0
    while common < min(len(one), len(other)) and one[common] == other[common]:
        common += 1
    ends = [match.end() for match in _SENTENCE_END.finditer(one) if match.end() <= common]
    return ends[-1] if ends else 0


def _search_pair(
    question: Question, trajectory: Trajectory, at: int, wrong: str, rng: Random
) -> Pair:
    thought, action = _parted(trajectory.steps[at].text, _TAG)
    said = rng.choice(_AS_IF_KNOWN).format(w=wrong)
    rejected = f"{said}\n</think>\n\n\\boxed{{{wrong}}}"
    turns = _before(trajectory.steps[:at])
    if thought and rng.random() < 0.5:
        return _pair(question, (*turns, Turn("model", thought)), action, rejected, acts=True)
    return _pair(question, turns, thought + action, rejected, acts=True)


def _answer_pair(question: Question, trajectory: Trajectory, rng: Random) -> Pair:
    *earlier, last = trajectory.steps
    thought, answer = _parted(last.text, "</think>")
    queries = [step.argument for step in earlier if step.kind == "search"]
    query = rng.choice([*queries, _subject(question), neutralise(question.golden_answers[0])])
    said = rng.choice(_NEEDLESS if queries else _UNSURE)
    rejected = f"{said}\n{_TAG} {query} {_END_TAG}"
    turns = _before(earlier)
    if thought and rng.random() < 0.5:
        return _pair(question, (*turns, Turn("model", thought)), answer, rejected, acts=False)
    return _pair(question, turns, thought + answer, rejected, acts=False)


def _subject(question: Question) -> str:
    """The names in what is asked, which is the question's last sentence; else all of that."""
    asked = neutralise(question.text).rpartition(". ")[2]
    return names_in(asked)


def _parted(text: str, mark: str) -> tuple[str, str]:
    """What stands before a mark, and the text from it on."""
    at = text.index(mark)
    return text[:at], text[at:]


def _before(steps: Iterable[Step]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for step in steps:
        turns += [Turn("model", step.text), Turn("environment", step.observation)]
    return tuple(turns)


def _pair(
    question: Question, turns: Sequence[Turn], chosen: str, rejected: str, *, acts: bool
) -> Pair:
    return Pair(
        question=question,
        opening=STUDENT.opening(question),
        prefill=STUDENT.prefill,
        turns=tuple(turns),
        chosen=chosen,
        rejected=rejected,
        ends=(not acts, acts),
    )


class _Answers:
    """Golds of questions, to draw answers from that are wrong but of the right kind."""

    def __init__(self, questions: Iterable[Question]) -> None:
        self._by_kind: dict[tuple[str, ...], list[str]] = {}
        for question in questions:
            for kind in self._kinds(question):
                self._by_kind.setdefault(kind, []).append(question.golden_answers[0])

    def other_than(self, question: Question, rng: Random) -> str:
        """A wrong answer to a question; empty where no other answer is known."""
        gold = question.golden_answers[0]
        if gold in ("yes", "no"):
            return "no" if gold == "yes" else "yes"
        for kind in self._kinds(question):
            others = [
                answer
                for answer in self._by_kind[kind]
                if answer not in ("yes", "no") and not exact_match(answer, question.golden_answers)
            ]
            if others:
                return rng.choice(others)
        return ""

    @staticmethod
    def _kinds(question: Question) -> Iterator[tuple[str, ...]]:
        """What an answer has to share with the gold: first its question's kind too, at last
        nothing."""
        gold = question.golden_answers[0]
        yield (question.task, question.kind, _shape(gold))
        yield (_shape(gold),)
        yield ()


def _shape(answer: str) -> str:
    """What an answer looks like: capitals, small letters, or the form of its figures."""
    if any(char.isdigit() for char in answer):
        return re.sub(r"[^\W\d]+", "a", re.sub(r"\d+", "0", answer))
    return "name" if answer[:1].isupper() else "word"
