"""Builds a temporal set from a user's dated reports: checked three-hop questions (Appendix A).

A model writes facts, answers each with and without its report, and words the questions about the
chains; `chains` checks the replies. Each reply is stored at once, so that a stopped build resumes.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from autocoa_bench.engines import Engine
from autocoa_bench.episode.answer_text import after_reasoning
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.scoring.text import has_words
from autocoa_bench.tasks.formats import as_row
from autocoa_bench.tasks.subquestions import SUBQUESTION_SUFFIX, subquestions_of
from autocoa_bench.types import EngineSpec, Generate, Message, Prompt, Question, Sampling
from autocoa_bench.util.concurrency import work_through
from autocoa_bench.util.json_lines import LineFile, read_lines, write_files
from autocoa_bench.util.progress import DelayedProgressBar
from autocoa_bench.util.row_reader import id_as_text, read_rows, row_error
from tasks.temporal import chains
from tasks.temporal.chains import Chain, NewsReport, ReportedFact

FACT_TOKENS, ANSWER_TOKENS, QUESTION_TOKENS = 1536, 512, 512
"""The most tokens of each kind of reply, reasoning included."""

T = TypeVar("T")

Ask = Callable[[str, int], Awaitable[str]]
"""(prompt, most tokens of the reply) -> reply. Raises EngineFault."""


class Rejected(Struct, frozen=True):
    """A line, fact or chain that became no hop or question, with the reason."""

    stage: str
    reason: str
    text: str


class BuiltSet(Struct, frozen=True):
    """The questions, the facts that can be hops, and all that was rejected."""

    questions: tuple[Question, ...]
    facts: tuple[ReportedFact, ...]
    rejected: tuple[Rejected, ...]


class _Reply(Struct, frozen=True):
    key: str
    text: str


def read_reports(path: Path) -> list[NewsReport]:
    """The reports of a file: rows with a title and a text, and optionally an id and a date.

    Raises UserError that names the wrong row.
    """
    reports: dict[str, NewsReport] = {}
    for number, row in read_rows(path):
        title, text = row.get("title"), row.get("text")
        if not (isinstance(title, str) and isinstance(text, str) and title.strip()):
            raise row_error(path, number, "a report needs a title and a text, and may have a date")
        identifier = id_as_text(row.get("id")) or f"report-{number}"
        if identifier in reports:
            raise row_error(path, number, f"an earlier report has the id '{identifier}' too")
        date = row.get("date")
        reports[identifier] = NewsReport(identifier, title, text, "" if date is None else str(date))
    return list(reports.values())


class Replies:
    """An engine and the file that stores its replies, so that no prompt is sent twice."""

    def __init__(self, engine: Engine, spec: EngineSpec, path: Path) -> None:
        """Raises UserError where the file is damaged, in use, or cannot be written."""
        self._engine = engine
        self._spec = spec
        self._file = LineFile(path)
        lines = read_lines(path, msgspec.json.Decoder(_Reply), "choose another --out")
        self._texts = {line.key: line.text for line in lines}

    async def ask(self, prompt: str, most: int) -> str:
        """The greedy reply to a prompt. Raises EngineFault, and UserError for a write error."""
        content = msgspec.json.encode((self._spec, prompt, most))
        key = hashlib.sha256(content).hexdigest()
        if key not in self._texts:
            request = Generate(Prompt((Message("user", prompt),)), stop=(), max_tokens=most)
            [reply] = await self._engine.generate(request, Sampling())
            self._texts[key] = reply.text
            self._file.add(_Reply(key, reply.text))
        return self._texts[key]

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class Builder:
    """Builds a set with the replies of `ask`, `concurrency` prompts at a time."""

    def __init__(self, ask: Ask, concurrency: int) -> None:
        self._ask = ask
        self._concurrency = concurrency
        self._rejected: list[Rejected] = []

    async def build(
        self, reports: Sequence[NewsReport], most: int, count: int, seed: int, task: str
    ) -> BuiltSet:
        """At most `count` questions, from at most `most` facts of each report.

        An item for which the model server fails is rejected. Raises UserError where it fails for
        all items of a stage.
        """
        facts = await self._facts(reports, most)
        by_id = {report.id: report for report in reports}
        facts = await self._accepted("hop", facts, lambda fact: self._check_hop(fact, by_id))
        questions: dict[Chain, str] = {}

        async def compose(chain: Chain) -> str:
            reply = await self._ask(chains.composing_prompt(chain), QUESTION_TOKENS)
            questions[chain], reason = chains.question_in(reply, chain)
            return reason or await self._check_memory(questions[chain], chain[-1].answer)

        candidates = chains.chains_of(facts, count, seed)
        accepted = await self._accepted("question", candidates, compose)
        return BuiltSet(
            tuple(
                chains.as_question(chain, questions[chain], number, task)
                for number, chain in enumerate(accepted, 1)
            ),
            tuple(facts),
            tuple(self._rejected),
        )

    async def _facts(self, reports: Sequence[NewsReport], most: int) -> list[ReportedFact]:
        facts: dict[NewsReport, list[ReportedFact]] = {}

        async def write(report: NewsReport) -> str:
            prompt = chains.PROMPTS.facts.format(report=report.shown, most=most)
            lines = list(chains.facts_in(await self._ask(prompt, FACT_TOKENS), report))
            self._rejected += [
                Rejected("fact", reason, line) for fact, reason, line in lines if fact is None
            ]
            facts[report] = [fact for fact, _, _ in lines if fact is not None]
            return "" if lines else "no fact was written"

        accepted = await self._accepted("report", reports, write)
        return list(dict.fromkeys(fact for report in accepted for fact in facts[report]))

    async def _check_hop(self, fact: ReportedFact, by_id: dict[str, NewsReport]) -> str:
        """The reason why a fact is no hop: its report must be necessary and sufficient for it."""
        report = by_id[fact.report].shown
        with_report = chains.PROMPTS.from_report.format(report=report, question=fact.question)
        if not has_words(await self._answer(with_report), fact.answer):
            return "not answered from its report"
        return await self._check_memory(fact.question, fact.answer)

    async def _check_memory(self, question: str, answer: str) -> str:
        reply = await self._answer(chains.PROMPTS.from_memory.format(question=question))
        return "answered without any report" if has_words(reply, answer) else ""

    async def _answer(self, prompt: str) -> str:
        return after_reasoning(await self._ask(prompt, ANSWER_TOKENS))

    async def _accepted(
        self, stage: str, items: Sequence[T], check: Callable[[T], Awaitable[str]]
    ) -> list[T]:
        """The items for which `check` returns no reason, in order; the others are rejected."""
        reasons: dict[T, str] = {}
        faults = []
        with DelayedProgressBar(f"checking each {stage}") as bar:

            async def work(item: T) -> None:
                try:
                    reasons[item] = await check(item)
                except EngineFault as fault:
                    reasons[item] = f"the model failed: {fault.kind}"
                    faults.append(fault)
                bar.update(len(reasons) / len(items))

            await work_through(items, work, self._concurrency)
        if items and len(faults) == len(items):
            raise UserError(f"the model failed on every {stage}, first with: {faults[0]}")
        self._rejected += [
            Rejected(stage, reasons[item], _readable(item)) for item in items if reasons[item]
        ]
        return [item for item in items if not reasons[item]]


def build(
    reports: Sequence[NewsReport],
    engine: Engine,
    replies_file: Path,
    concurrency: int,
    shape: tuple[int, int, int, str],
) -> tuple[BuiltSet, EngineSpec]:
    """Build a set with an engine, which is started and closed; `shape` is most, count, seed, task.

    `replies_file` stores the replies. Raises UserError, and KeyboardInterrupt after all replies are
    stored.
    """

    async def work() -> tuple[BuiltSet, EngineSpec]:
        try:
            spec = await engine.start()
            with closing(Replies(engine, spec, replies_file)) as replies:
                return await Builder(replies.ask, concurrency).build(reports, *shape), spec
        finally:
            await engine.close()

    return asyncio.run(work())


def rejections(built: BuiltSet) -> list[tuple[str, str, int]]:
    """Stages and reasons of rejection in order, with their numbers."""
    causes = Counter((rejected.stage, rejected.reason) for rejected in built.rejected)
    return [(stage, reason, number) for (stage, reason), number in sorted(causes.items())]


def write_set(
    out: Path, reports: Sequence[NewsReport], built: BuiltSet, spec: EngineSpec
) -> list[Path]:
    """Write the questions, their sub-questions, the reports as a corpus, and the rejections.

    The set has the name of the folder. Returns the files. Raises UserError when the system refuses.
    """
    name = out.resolve().name
    subquestions = subquestions_of(built.questions, name + SUBQUESTION_SUFFIX)
    summary = {
        "model": msgspec.to_builtins(spec),
        "reports": len(reports),
        "facts": len(built.facts),
        "questions": len(built.questions),
        "rejected": rejections(built),
    }
    encode = msgspec.json.Encoder().encode_lines
    contents = {
        f"{name}.jsonl": encode(map(as_row, built.questions)),
        f"{name}{SUBQUESTION_SUFFIX}.jsonl": encode(
            {
                "id": question.id,
                "question": question.text,
                "golden_answers": question.golden_answers,
            }
            for question in subquestions
        ),
        "corpus.jsonl": encode(
            {"id": report.id, "contents": f'"{report.title}"\n{report.dated}'} for report in reports
        ),
        "rejected.jsonl": encode(built.rejected),
        "build.json": msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n",
    }
    return write_files(out, contents)


def _readable(item: object) -> str:
    """A rejected item as text."""
    match item:
        case NewsReport():
            return item.title
        case ReportedFact():
            return f"{item.question} {item.answer}"
        case _:
            return msgspec.json.encode(item).decode()
