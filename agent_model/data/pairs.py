"""CoT+A contrastive pairs (paper 3.2.1): one context, and two continuations, of which one searches.

Both directions are made: a search is chosen where answering without one is wrong, and an answer is
chosen where no search is needed. Pairs come from sampled episodes of one question, with and without
searches, or from gold trajectories, where every search is needed and none is after the last.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

from msgspec import Struct

from agent_model.data.filters import STUDENT, draw_sample, is_right, is_well_formed, student_record
from agent_model.data.gold_teacher import WORDINGS, names_in, recitation, recited, unrecited
from autocoa_bench.episode import neutralise, opening_of
from autocoa_bench.episode.trajectory import turns_of_steps
from autocoa_bench.scoring import TextScorer
from autocoa_bench.scoring.text import exact_match
from autocoa_bench.types import Message, Prompt, Question, Record, Step, StepKind, Turn

_TAG, _END_TAG = STUDENT.query_tags
_SENTENCE_END = re.compile(r"\n|[.!?](?= )")
_WORDINGS = WORDINGS.pairs


class Pair(Struct, frozen=True):
    """One line of pairs.jsonl: a context, and the chosen and the rejected continuation.

    `turns` is the part of the turn after the prefill that both share, by author. `ends` tells for
    chosen and rejected whether the text ends the turn: an answer does, a search does not.
    """

    question: Question
    opening: tuple[Message, ...]
    prefill: str
    turns: tuple[Turn, ...]
    chosen: str
    rejected: str
    ends: tuple[bool, bool]

    @property
    def context(self) -> Prompt:
        """The prompt that both texts continue."""
        return Prompt(self.opening, self.turns, self.prefill)


def sampled_pairs(
    cot: Iterable[Record], coa: Iterable[Record], scorer: TextScorer, min_score: float = 1.0
) -> tuple[list[Pair], Counter[str]]:
    """At most one pair a question, from its episodes without searches (`cot`) and with (`coa`).

    Returns the pairs, and the numbers of questions without one by reason.

    If searching is right more often, its first search is chosen over a wrong answer without one. If
    it is right less often, or answering without searches is always right, that answer is chosen
    over the first search. The context ends with the last sentence that both texts share. A pair
    needs a well-formed text on either side.
    """
    with_search = _by_question(coa)
    without = _by_question(cot)
    pairs: list[Pair] = []
    dropped: Counter[str] = Counter()
    if missing := len(without.keys() ^ with_search.keys()):
        dropped["a kind of episode is missing"] = missing
    for key in (key for key in without if key in with_search):
        pair = _sampled_pair(without[key], with_search[key], scorer, min_score)
        if isinstance(pair, str):
            dropped[pair] += 1
        else:
            pairs.append(pair)
    return pairs, dropped


def _sampled_pair(
    without: Sequence[Record], with_search: Sequence[Record], scorer: TextScorer, min_score: float
) -> Pair | str:
    """The pair of one question, or the reason why there is none."""
    rate_without, rate_with = (
        sum(is_right(record, scorer, min_score) for record in records) / len(records)
        for records in (without, with_search)
    )
    search_chosen = rate_with > rate_without
    if rate_with == rate_without < 1:
        return "never right" if rate_without == 0 else "as often right as with searches"
    answers = _first_texts(
        _well_formed(without, scorer, min_score, right=not search_chosen), "answer"
    )
    searches = _first_texts(
        _well_formed(with_search, scorer, min_score, right=search_chosen), "search"
    )
    if not (search_chosen or searches):  # always right both ways, so the search was not needed
        searches = _first_texts(with_search, "search")
    if not searches:
        return "no search to choose from"
    if not answers:
        return "no well-formed answer"
    search, answer = searches[0], answers[0]
    n_shared = _shared_length(search, answer)
    turns = (Turn("model", search[:n_shared]),) if n_shared else ()
    sides = (search[n_shared:], answer[n_shared:])
    question = without[0].question
    return _pair(question, turns, *(sides if search_chosen else sides[::-1]), search=search_chosen)


def _by_question(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Episodes by task and question id, in the order of their samples; faults are left out."""
    episodes: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda record: record.sample):
        if record.trajectory is not None:
            episodes.setdefault(record.key[:2], []).append(student_record(record))
    return episodes


def _well_formed(
    records: Iterable[Record], scorer: TextScorer, min_score: float, *, right: bool
) -> list[Record]:
    """The well-formed episodes that are right, or those that are wrong."""
    return [
        record
        for record in records
        if record.trajectory
        and is_well_formed(record.trajectory)
        and is_right(record, scorer, min_score) == right
    ]


def _first_texts(records: Iterable[Record], kind: StepKind) -> list[str]:
    """The first completions of episodes that are of a kind, the shortest episodes first."""
    trajectories = [record.trajectory for record in records if record.trajectory]
    trajectories.sort(key=lambda trajectory: len(trajectory.steps))
    first_steps = (trajectory.steps[0] for trajectory in trajectories)
    return [step.text for step in first_steps if step.kind == kind]


def _shared_length(left: str, right: str) -> int:
    """The length of the common beginning of two texts, in whole sentences."""
    common = 0
    while common < min(len(left), len(right)) and left[common] == right[common]:
        common += 1
    ends = [match.end() for match in _SENTENCE_END.finditer(left) if match.end() <= common]
    return ends[-1] if ends else 0


def gold_pairs(records: Sequence[Record], seed: int) -> list[Pair]:
    """Two pairs for each gold trajectory: at one of its searches, and at its end.

    The chosen text is the trajectory's own. The rejected text is, at a search, a wrong answer that
    is given as if it were known (another question's answer of the same kind), and at the end a
    needless search. Half of the contexts end before the thought, half after it. A trajectory
    without searches gives only the second pair.
    """
    answers = _AnswerPool(record.question for record in records)
    pairs = []
    for record in records:
        rng = Random(f"pairs:{seed}:{record.question.task}:{record.question.id}")
        trajectory = record.trajectory
        assert trajectory is not None
        searches = [at for at, step in enumerate(trajectory.steps) if step.kind == "search"]
        wrong = answers.wrong_answer(record.question, rng)
        begun = recitation(record.question)
        if searches and wrong:
            at = rng.choice(searches)
            claim = rng.choice(_WORDINGS["as_if_known"]).format(w=wrong)
            claim = recited(begun, wrong) if begun else claim
            rejected = f"{claim}\n</think>\n\n\\boxed{{{wrong}}}"
            decided = trajectory.steps[: at + 1]
            pairs.append(_gold_pair(record.question, decided, rejected, rng, whole=bool(begun)))
        queries = [trajectory.steps[at].argument for at in searches]
        # The names in the question's last sentence, or all of it if it has none.
        subject = names_in(neutralise(record.question.text).rpartition(". ")[2])
        gold = neutralise(record.question.golden_answers[0])
        query = rng.choice([*queries, subject, gold])
        doubt = rng.choice(_WORDINGS["needless" if queries else "unsure"])
        begun = "" if queries else begun
        doubt = unrecited(begun) if begun else doubt
        rejected = f"{doubt}\n{_TAG} {query} {_END_TAG}"
        pairs.append(
            _gold_pair(record.question, trajectory.steps, rejected, rng, whole=bool(begun))
        )
    return pairs


def _gold_pair(
    question: Question, steps: Sequence[Step], rejected: str, rng: Random, *, whole: bool
) -> Pair:
    """A pair at the last of the steps: a thought, and the search or answer that is chosen.

    Every other time, the thought is part of the context, unless `whole`: a recitation decides.
    """
    *earlier, last = steps
    turns = turns_of_steps(earlier)
    search = last.kind == "search"
    at = last.text.index(_TAG if search else "</think>")
    thought, action = last.text[:at], last.text[at:]
    if thought and not whole and rng.random() < 0.5:
        return _pair(question, (*turns, Turn("model", thought)), action, rejected, search=search)
    return _pair(question, turns, thought + action, rejected, search=search)


def _pair(
    question: Question, turns: Sequence[Turn], chosen: str, rejected: str, *, search: bool
) -> Pair:
    """A pair in the student's prompt; `search` tells whether the chosen text searches."""
    return Pair(
        question=question,
        opening=opening_of(STUDENT, question),
        prefill=STUDENT.prefill,
        turns=tuple(turns),
        chosen=chosen,
        rejected=rejected,
        ends=(not search, search),
    )


def draw_evenly(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    """At most `count` pairs in their own order, as many of either direction as possible."""
    search_chosen = [pair for pair in pairs if pair.ends[1]]
    answer_chosen = [pair for pair in pairs if pair.ends[0]]
    n_search = max(count // 2, count - len(answer_chosen))
    drawn = draw_sample(search_chosen, _label, n_search, seed)
    drawn += draw_sample(answer_chosen, _label, count - len(drawn), seed)
    identities = set(map(id, drawn))
    return [pair for pair in pairs if id(pair) in identities]


def _label(pair: Pair) -> str:
    return f"{pair.question.task}:{pair.question.id}"


class _AnswerPool:
    """Gold answers of questions, for wrong answers of the right kind."""

    def __init__(self, questions: Iterable[Question]) -> None:
        self._by_kind: dict[tuple[str, ...], list[str]] = {}
        for question in questions:
            for kind in self._kinds(question):
                self._by_kind.setdefault(kind, []).append(question.golden_answers[0])

    def wrong_answer(self, question: Question, rng: Random) -> str:
        """A wrong answer to a question; empty if the pool has none."""
        gold = question.golden_answers[0]
        if gold in ("yes", "no"):
            return "no" if gold == "yes" else "yes"
        for kind in self._kinds(question):
            answers = [
                answer
                for answer in self._by_kind[kind]
                if answer not in ("yes", "no") and not exact_match(answer, question.golden_answers)
            ]
            if answers:
                return rng.choice(answers)
        return ""

    @staticmethod
    def _kinds(question: Question) -> tuple[tuple[str, ...], ...]:
        """The kinds of an answer, the narrowest first; the last is any answer at all."""
        form = _form(question.golden_answers[0])
        return (question.task, question.kind, form), (form,), ()


def _form(answer: str) -> str:
    """The form of an answer: a name, a word, or the pattern of its digits."""
    if any(char.isdigit() for char in answer):
        return re.sub(r"[^\W\d]+", "a", re.sub(r"\d+", "0", answer))
    return "name" if answer[:1].isupper() else "word"
