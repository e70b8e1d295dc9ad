"""The fault matrix: every kind of fault at every stage of a run, at rates of 5 and 20 %.

    make faults

writes it into docs/faults.md, and fails if a score differs from that of the run without faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from agent_model.dialects.agent import Agent
from autocoa_bench.engines.openai.client import OpenAIEngine
from autocoa_bench.judge import Case, JudgeConfig
from autocoa_bench.judge.judge import Judge
from autocoa_bench.judge.verdict_cache import VerdictCache
from autocoa_bench.runs.scheduler import Job, run_jobs
from autocoa_bench.runs.solvers import Backends, Solver
from autocoa_bench.scoring import load_scorers, score_record
from autocoa_bench.search.remote.client import HTTPSearch
from autocoa_bench.types import Budget, Question, Record, Sampling
from autocoa_bench.util import gate, http_client
from support.mock_server import Body, Fault, Kind, MockServer, is_probe

QUESTIONS = 24
STARTS = 24
"""Starts of an engine, at stages before the first question."""
RATES = (0.05, 0.20)
STAGES = (
    *("model list", "probe", "first request", "mid-episode", "forced answer"),
    *("judge", "search", "tokenise"),
)
AT_START = STAGES[:2]

KINDS: dict[str, tuple[Fault, str | None]] = {
    "429 with Retry-After": ("429", "0.002"),
    "429 without Retry-After": ("429", None),
    "500": ("500", None),
    "502": ("502", None),
    "503": ("503", None),
    "529": ("529", None),
    "404 in passing": ("404", None),
    "501 in passing": ("501", None),
    "hang": ("hang", None),
    "dropped connection": ("drop", None),
    "no HTTP": ("garbage", None),
    "truncated JSON": ("truncate", None),
    "HTML": ("html", None),
    "error in a 200": ("error", None),
    "empty choices": ("empty", None),
    "null content": ("null", None),
    "finish reason `error`": ("given up", None),
}
"""The fault of the mock server, and its Retry-After."""

BEGIN, END = "<!-- make faults: begin -->", "<!-- make faults: end -->"
_SOLVER = Solver("agent", "Agent model", True, "", Agent(shots=0))
_BUDGET = Budget(max_actions=2)
_TOWN = re.compile(r"town (\d+)\?")
_DOCUMENT = {"id": "1", "contents": '"Town"\nThe mayor is Anna.'}


class Outcome(NamedTuple):
    """What became of a run: scores by question or start, and the requests that it took."""

    scores: dict[int, Any]
    requests: int


class FaultyServer(MockServer):
    """A model server, judge and search server in one, with faults of one kind at one stage."""

    def __init__(self, kind: Kind, stage: str, name: str, rate: float) -> None:
        super().__init__(_reply, kind=kind, models=("mock", "judge"))
        self.stage, self.rate, self.received = stage, rate, 0
        self.kind_of_fault, self.retry_after = KINDS[name]
        self.chance = random.Random(f"{stage} {name} {rate}")
        self.has_begun = False

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.received += 1
        is_post = request.method == "POST"
        body = msgspec.json.decode(await request.read()) if is_post else {}
        stage = _stage(request.path, body)
        self.has_begun |= stage == "tokenise" and _TOWN.search(str(body)) is not None
        is_due = stage == self.stage and (self.has_begun or stage != "tokenise")
        if is_due and self.chance.random() < self.rate:
            return await self._fail(self.kind_of_fault, request, body)
        if request.path == "/retrieve":
            return web.json_response({"result": [[_DOCUMENT]] * len(body["queries"])})
        return await super()._handle(request)


def _stage(path: str, body: Body) -> str:
    if path.endswith("/models"):
        return "model list"
    if path in ("/tokenize", "/apply-template", "/detokenize"):
        return "tokenise"
    if path == "/retrieve":
        return "" if "Hamlet" in str(body) else "search"
    if not body or is_probe(body):
        return "probe" if body else ""
    if body.get("model") == "judge":
        return "judge"
    text = _text(body)
    if not _TOWN.search(text):
        return "probe"
    if text.rstrip().endswith("\\boxed{"):
        return "forced answer"
    return "mid-episode" if "Anna" in text else "first request"


def _text(body: Body) -> str:
    """The prompt of a request, in messages or in pieces of text and ids."""
    if "messages" in body:
        return "".join(message["content"] for message in body["messages"])
    pieces = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    return "".join(chr(piece) if isinstance(piece, int) else piece for piece in pieces)


def _reply(body: Body) -> str:
    """Search until the answer is forced: right for the even towns. Judge by the same rule."""
    text = _text(body)
    match = _TOWN.search(text)
    if match is None:
        return "hello"
    if body.get("model") == "judge":
        return f"Verdict: {'incorrect' if int(match[1]) % 2 else 'correct'}"
    if text.rstrip().endswith("\\boxed{"):
        return "Bert}" if int(match[1]) % 2 else "Anna}"
    return f"I look.<begin_search> mayor of town {match[1]} </end_search>"


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Waits of milliseconds where there are otherwise seconds."""
    saved = http_client.BACKOFF_BASE, http_client.OUTAGE_WAITS, gate.FIRST_WAIT
    http_client.BACKOFF_BASE, http_client.OUTAGE_WAITS = 0.001, (0, 0.01, 0.02, 0.05)  # type: ignore[assignment]
    gate.FIRST_WAIT = 0.001
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        http_client.BACKOFF_BASE, http_client.OUTAGE_WAITS, gate.FIRST_WAIT = saved


def outcome(stage: str, name: str, rate: float, questions: int = QUESTIONS) -> Outcome:
    """Run the questions, judge their answers, and compare nothing yet."""
    kind: Kind = "llamacpp" if stage == "tokenise" else "openai"
    with no_waiting(), FaultyServer(kind, stage, name, rate) as server:
        timeout = 0.3 if name == "hang" else 20.0
        if stage in AT_START:
            scores = asyncio.run(_started(server.url, timeout, min(questions, STARTS)))
        else:
            search = HTTPSearch(url=server.url, timeout=timeout)
            scores = asyncio.run(_scores(server.url, search, timeout, questions))
        return Outcome(scores, server.received)


async def _started(url: str, timeout: float, starts: int) -> dict[int, Any]:
    scores: dict[int, Any] = {}
    for number in range(starts):
        engine = OpenAIEngine("mock", url, timeout=timeout)
        with contextlib.suppress(Exception):
            scores[number] = await engine.start()
        await engine.close()
    return scores


async def _scores(url: str, search: HTTPSearch, timeout: float, count: int) -> dict[int, Any]:
    engine = OpenAIEngine("mock", url, timeout=timeout)
    judge = Judge(
        JudgeConfig(model="judge", base_url=url), OpenAIEngine("judge", url, timeout=timeout)
    )
    texts = [f"Who is the mayor of town {number}?" for number in range(count)]
    jobs = [Job(Question(str(n), text, ("Anna",)), 0) for n, text in enumerate(texts)]
    records: dict[int, Record] = {}

    def add(record: Record) -> None:
        records[int(record.question.id)] = record

    try:
        await engine.start()
        cache, spec = VerdictCache(None), await judge.start()
        await run_jobs(jobs, _SOLVER, Backends(engine, search), Sampling(), _BUDGET, 8, add)
        cases = {
            n: Case(texts[n], ("Anna",), record.trajectory.answer or "")
            for n, record in records.items()
            if record.trajectory
        }
        await judge.judge(spec, cache, cases.values(), lambda verdict: None)
    finally:
        for part in (engine, judge, search):
            await part.close()
    scorers = load_scorers(("em", "f1"))
    verdicts = {n: cache.get(spec, case) for n, case in cases.items()}
    return {
        n: (score_record(records[n], scorers), verdict.right)
        for n, verdict in verdicts.items()
        if verdict is not None and verdict.right is not None
    }


def cell(stage: str, name: str, questions: int = QUESTIONS) -> tuple[str, bool]:
    """The extra requests at each rate, and whether all scores equal those without faults."""
    if stage == "probe" and "in passing" in name:
        return "ends the start", True  # nothing has been answered yet: the address may be wrong
    clean = outcome(stage, name, 0.0, questions)
    texts, is_equal = [], True
    for rate in RATES:
        faulty = outcome(stage, name, rate, questions)
        if faulty.scores == clean.scores:
            texts.append(str(faulty.requests - clean.requests))
            continue
        is_equal = False
        same = sum(faulty.scores.get(n) == score for n, score in clean.scores.items())
        texts.append(f"**{same} of {len(clean.scores)}**")
    return " / ".join(texts), is_equal


def matrix() -> tuple[str, bool]:
    """The table, and whether all scores equal those without faults."""
    lines = [f"| kind | {' | '.join(STAGES)} |", "| --- " * (len(STAGES) + 1) + "|"]
    are_equal = True
    for name in KINDS:
        cells = [cell(stage, name) for stage in STAGES]
        are_equal &= all(is_equal for _, is_equal in cells)
        lines.append(f"| {name} | {' | '.join(text for text, _ in cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines), are_equal


def main(document: Path) -> int:
    """Replace the table between the marks of a document; 1 if a score differs."""
    table, are_equal = matrix()
    text = document.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    document.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    return 0 if are_equal else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
