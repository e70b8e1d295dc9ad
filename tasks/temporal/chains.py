"""Three-hop questions from dated reports (Appendix A): prompts for a model, and checks of replies.

Facts form a chain where the answer of one is the subject of the next. Everything here is a pure
function of the reports and of the model's replies.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import msgspec
from msgspec import Struct

from autocoa_bench.episode.answer_text import after_reasoning
from autocoa_bench.errors import UNREADABLE
from autocoa_bench.scoring.text import has_words, normalise
from autocoa_bench.types import Hop, Question

HOPS = 3
LONGEST_ANSWER = 6
"""Words."""


class Prompts(Struct, frozen=True):
    """The prompts for facts, for answers with and without a report, and for a question."""

    facts: str
    from_report: str
    from_memory: str
    compose: str


PROMPTS = msgspec.toml.decode(Path(__file__).with_name("prompts.toml").read_bytes(), type=Prompts)


class NewsReport(Struct, frozen=True):
    """A news article; `date` is as its source writes it, or empty."""

    id: str
    title: str
    text: str
    date: str = ""

    @property
    def shown(self) -> str:
        """The report in a prompt: one JSON object, so that no line can read as an instruction."""
        content = {"title": self.title, "date": self.date, "text": self.text}
        return json.dumps({key: value for key, value in content.items() if value})

    @property
    def dated(self) -> str:
        """The text of its passage: the date, if there is one, and the text."""
        return f"{self.date}. {self.text}" if self.date else self.text


class ReportedFact(Struct, frozen=True):
    """A fact about a subject: a question, and the span of the report that answers it."""

    report: str
    subject: str
    question: str
    answer: str


Chain = tuple[ReportedFact, ...]
"""Facts, each about the answer of the one before."""


class _ReplyFact(Struct):
    subject: str
    question: str
    answer: str


def facts_in(reply: str, report: NewsReport) -> Iterator[tuple[ReportedFact | None, str, str]]:
    """The lines of a reply: (fact or None, reason for rejecting the line or empty, line)."""
    for line in after_reasoning(reply).splitlines():
        if not line.strip().startswith("{"):
            continue
        try:
            reply_fact = msgspec.json.decode(line.strip().rstrip(","), type=_ReplyFact)
        except UNREADABLE:
            yield None, "not one line of JSON with subject, question and answer", line
            continue
        fields = (" ".join(field.split()) for field in msgspec.structs.astuple(reply_fact))
        fact = ReportedFact(report.id, *fields)
        reason = _problem(fact, report)
        yield None if reason else fact, reason, line


def _problem(fact: ReportedFact, report: NewsReport) -> str:
    """The reason why the words of a fact rule it out as a hop; empty if they do not."""
    text = f"{report.title} {report.date} {report.text}"
    if not (normalise(fact.subject) and normalise(fact.question) and normalise(fact.answer)):
        return "a subject, question or answer without words"
    if not has_words(fact.question, fact.subject):
        return "the subject is not in its question"
    if not has_words(text, fact.answer):
        return "the answer is no span of the report"
    if len(fact.answer.split()) > LONGEST_ANSWER:
        return f"an answer of more than {LONGEST_ANSWER} words"
    if has_words(fact.question, fact.answer):
        return "the answer is in its question"
    return ""


def chains_of(facts: Sequence[ReportedFact], count: int, seed: int) -> list[Chain]:
    """At most `count` random chains of three facts; each shares at most one with earlier chains."""
    by_subject: dict[str, list[ReportedFact]] = {}
    for fact in facts:
        by_subject.setdefault(normalise(fact.subject), []).append(fact)
    candidates = [chain for fact in facts for chain in _extensions((fact,), by_subject)]
    Random(seed).shuffle(candidates)
    used: set[ReportedFact] = set()
    chosen: list[Chain] = []
    for chain in candidates:
        if len(chosen) < count and sum(fact in used for fact in chain) <= 1:
            chosen.append(chain)
            used.update(chain)
    return chosen


def _extensions(chain: Chain, by_subject: dict[str, list[ReportedFact]]) -> Iterator[Chain]:
    """All chains of HOPS facts that begin with `chain` and have no subject twice."""
    if len(chain) == HOPS:
        yield chain
        return
    subjects = {normalise(fact.subject) for fact in chain}
    for fact in by_subject.get(normalise(chain[-1].answer), []):
        if normalise(fact.answer) not in subjects and normalise(fact.subject) not in subjects:
            yield from _extensions((*chain, fact), by_subject)


def composing_prompt(chain: Chain) -> str:
    """The prompt that asks for one question about a chain."""
    hops = "\n".join(
        f"{number}. {fact.question} Answer: {fact.answer}" for number, fact in enumerate(chain, 1)
    )
    return PROMPTS.compose.format(hops=hops, subject=chain[0].subject)


def question_in(reply: str, chain: Chain) -> tuple[str, str]:
    """The question in a reply, and the reason for rejecting it; empty if it is accepted."""
    lines = [line.strip() for line in after_reasoning(reply).splitlines() if line.strip()]
    question = lines[0] if lines else ""
    if len(lines) != 1 or not question.endswith("?"):
        return question, "not one line that is a question"
    if not has_words(question, chain[0].subject):
        return question, "the first subject is not in it"
    if any(has_words(question, fact.answer) for fact in chain):
        return question, "an answer of the chain is in it"
    return question, ""


def as_question(chain: Chain, text: str, number: int, task: str) -> Question:
    """The question about a chain, with its hops."""
    hops = tuple(Hop(fact.question, fact.answer, fact.report) for fact in chain)
    return Question(f"{task}-{number:04d}", text, (chain[-1].answer,), task, hops=hops)
