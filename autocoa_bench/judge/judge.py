"""Asking a judge: votes, how they are read and counted, and many cases at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from autocoa_bench.engines import Engine, EngineConfig, open_engine
from autocoa_bench.engines.weights import models
from autocoa_bench.engines.weights.huggingface import fingerprint
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.judge.verdict import Case, JudgeConfig, Verdict, load_prompt, verdict_key
from autocoa_bench.judge.verdict_cache import JudgeIdentity, VerdictCache
from autocoa_bench.types import Completion, Generate, JudgeSpec, Prompt
from autocoa_bench.util.concurrency import work_through
from autocoa_bench.util.paths import user_path

CONTEXT_TOKENS = 4096
"""What a case and its reply have room for."""

_SEEDS = 0x7FFFFFFF

OnVerdict = Callable[[Verdict], None]


class Judge:
    """A plan's judge. Its engine starts when something is asked that nobody has answered yet."""

    def __init__(self, plan: JudgeConfig, engine: Engine | None = None) -> None:
        """Load the prompt; `engine` is the plan's unless given. Raises UserError."""
        self.plan = plan
        self.prompt = load_prompt(plan.prompt)
        embedded = plan.engine.partition(":")[0] == "embedded"
        shipped = self.prompt.adapters.get(plan.model or models.DEFAULT) if embedded else None
        with _named():
            self._engine = engine or open_engine(plan.engine, _options(plan, shipped))
        self._spec: JudgeSpec | None = None
        self.asked = JudgeIdentity(
            plan.engine,
            plan.base_url,
            plan.model,
            _model_sha256(plan),
            models.resolve_adapter(str(shipped)).sha256 if shipped else "",
            self.prompt.name,
            self.prompt.sha256,
            plan.votes,
        )

    async def start(self) -> JudgeSpec:
        """Make the engine ready, once, and say who judges. Raises UserError."""
        if self._spec is None:
            with _named():
                engine = await self._engine.start()
            name, sha256 = self.prompt.name, self.prompt.sha256
            self._spec = JudgeSpec(engine, name, sha256, self.plan.votes, self.plan.sampling)
        return self._spec

    async def settle(self, kept: VerdictCache, cases: Sequence[Case]) -> JudgeSpec:
        """Who judges: whoever has judged all of the cases before, else the engine, started.

        Raises UserError.
        """
        known = kept.known(self.asked) if self._spec is None else self._spec
        if known is None or kept.open_cases(known, cases):
            known = await self.start()
        kept.meet(self.asked, known)
        return known

    async def judge(
        self, spec: JudgeSpec, kept: VerdictCache, cases: Iterable[Case], on_verdict: OnVerdict
    ) -> None:
        """Ask what is not kept yet, `concurrency` cases at a time, keeping verdicts as they come.

        Raises UserError, ServerDown.
        """

        async def work(case: Case) -> None:
            verdict = await self._ask(spec, case)
            kept.add(verdict)
            on_verdict(verdict)

        with _named():
            await work_through(kept.open_cases(spec, cases), work, self.plan.concurrency)

    async def close(self) -> None:
        """Stop the engine; safe to call twice."""
        await self._engine.close()

    async def _ask(self, spec: JudgeSpec, case: Case) -> Verdict:
        plugin = self.prompt.plugin
        opening = plugin.opening(case.question, case.golds, case.answer)
        request = Generate(Prompt(opening), stop=(), max_tokens=plugin.max_tokens)
        key = verdict_key(spec, case)
        first = zlib.crc32(key.encode())
        replies: list[Completion] = []
        try:
            for vote in range(spec.votes):
                sampling = replace(spec.sampling, seed=(first + vote) & _SEEDS)
                replies += await self._engine.generate(request, sampling)
        except EngineFault as fault:
            texts = tuple(reply.text for reply in replies)
            return Verdict(key, None, f"judge's engine: {fault.kind}: {fault}", texts, faulted=True)
        votes = [None if _is_cut(reply) else plugin.read(reply.text) for reply in replies]
        right, reason = majority(votes)
        if not any(vote is not None for vote in votes):
            reason = f"unreadable: {_last_line(replies[0])}"
        return Verdict(key, right, reason, tuple(reply.text for reply in replies))


def majority(votes: Sequence[bool | None]) -> tuple[bool | None, str]:
    """The majority of the readable votes; None with a reason for a tie or no readable vote.

    Among several, how many said so is the reason of a verdict too.
    """
    readable = [vote for vote in votes if vote is not None]
    said, n = sum(readable), len(readable)
    if len(votes) == 1 and n:
        return readable[0], ""
    if 2 * said == n:
        return None, f"a tie: {said} of {n} readable votes say correct" if n else "unreadable"
    return 2 * said > n, f"{said} of {n} readable votes say correct"


def _model_sha256(plan: JudgeConfig) -> str:
    """The hash of a model that is here as a file or a folder, and may be another tomorrow."""
    path = user_path(plan.model) if plan.model and not plan.base_url else None
    if path is None or not path.exists():
        return ""
    return fingerprint(plan.model)


def _is_cut(reply: Completion) -> bool:
    """Whether what would be the last line of a reply is not known."""
    return reply.stop_reason == "length"


def _last_line(reply: Completion) -> str:
    lines = reply.text.strip().splitlines()
    shown = repr(lines[-1].strip()[:80]) if lines else "an empty reply"
    return f"{shown}, cut for its length" if _is_cut(reply) else shown


@contextmanager
def _named() -> Iterator[None]:
    """Errors say that they are the judge's: a run has another model besides."""
    try:
        yield
    except UserError as error:
        error.args = (f"the judge: {error}",)
        raise


def _options(plan: JudgeConfig, adapter: Path | None) -> EngineConfig:
    return EngineConfig(
        model=plan.model,
        base_url=plan.base_url,
        protocol="auto",
        concurrency=plan.concurrency,
        context_tokens=CONTEXT_TOKENS,
        adapter=str(adapter or ""),
        key_file=plan.key_file,
    )
