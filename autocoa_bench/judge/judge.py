"""The judge: it asks a model about cases, many at once, and counts the votes."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from autocoa_bench.engines import Engine, open_engine
from autocoa_bench.engines.weights import models
from autocoa_bench.engines.weights.huggingface import fingerprint
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.judge.verdict import Case, JudgeConfig, Verdict, load_prompt, verdict_key
from autocoa_bench.judge.verdict_cache import JudgeIdentity, VerdictCache
from autocoa_bench.types import Completion, Generate, JudgeSpec, Prompt
from autocoa_bench.util.concurrency import work_through
from autocoa_bench.util.paths import user_path

CONTEXT_TOKENS = 4096
"""The room for a case and its reply."""

OnVerdict = Callable[[Verdict], None]


class Judge:
    """The judge of a configuration. Its engine starts when a case has no verdict yet."""

    def __init__(self, config: JudgeConfig, engine: Engine | None = None) -> None:
        """Load the prompt; `engine` replaces the configuration's. Raises UserError."""
        self.config = config
        self.prompt = load_prompt(config.prompt)
        embedded = config.engine.partition(":")[0] == "embedded"
        adapter = self.prompt.adapters.get(config.model or models.DEFAULT) if embedded else None
        with _named_errors():
            self._engine = engine or open_engine(
                config.engine, config.engine_config(CONTEXT_TOKENS, adapter=str(adapter or ""))
            )
        self._spec: JudgeSpec | None = None
        # A model that is a local file or folder is hashed, as its content may change.
        path = user_path(config.model) if config.model and not config.base_url else None
        self.identity = JudgeIdentity(
            config.engine,
            config.base_url,
            config.model,
            fingerprint(config.model) if path is not None and path.exists() else "",
            models.resolve_adapter(str(adapter)).sha256 if adapter else "",
            self.prompt.name,
            self.prompt.sha256,
            config.votes,
        )

    async def start(self) -> JudgeSpec:
        """Start the engine, once, and return the judge's spec. Raises UserError."""
        if self._spec is None:
            with _named_errors():
                engine = await self._engine.start()
            prompt, config = self.prompt, self.config
            self._spec = JudgeSpec(
                engine, prompt.name, prompt.sha256, config.votes, config.sampling
            )
        return self._spec

    async def settle(self, cache: VerdictCache, cases: Sequence[Case]) -> JudgeSpec:
        """Return the judge's spec, from the cache if that has all verdicts, else of the engine.

        Raises UserError.
        """
        spec = self._spec or cache.spec_of(self.identity)
        if spec is None or cache.open_cases(spec, cases):
            spec = await self.start()
        cache.add_judge(self.identity, spec)
        return spec

    async def judge(
        self, spec: JudgeSpec, cache: VerdictCache, cases: Iterable[Case], on_verdict: OnVerdict
    ) -> None:
        """Judge the cases without a verdict, `concurrency` at a time, and cache each verdict.

        Raises UserError, ServerDown.
        """

        async def work(case: Case) -> None:
            verdict = await self._judge(spec, case)
            cache.add(verdict)
            on_verdict(verdict)

        with _named_errors():
            await work_through(cache.open_cases(spec, cases), work, self.config.concurrency)

    async def close(self) -> None:
        """Stop the engine; safe to call twice."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _judge(self, spec: JudgeSpec, case: Case) -> Verdict:
        prompt = self.prompt.plugin
        opening = prompt.opening(case.question, case.golds, case.answer)
        request = Generate(Prompt(opening), stop=(), max_tokens=prompt.max_tokens)
        key = verdict_key(spec, case)
        # A case's own seed: its votes do not depend on what is judged beside it.
        first_seed = zlib.crc32(key.encode())
        replies: list[Completion] = []
        try:
            for vote in range(spec.votes):
                sampling = spec.sampling.with_seed(first_seed + vote)
                replies += await self._engine.generate(request, sampling)
        except EngineFault as fault:
            texts = tuple(reply.text for reply in replies)
            return Verdict(key, None, f"judge's engine: {fault.kind}: {fault}", texts, faulted=True)
        votes = [None if _is_cut(reply) else prompt.read(reply.text) for reply in replies]
        right, reason = majority(votes)
        if not any(vote is not None for vote in votes):
            reason = f"unreadable: {_last_line(replies[0])}"
        return Verdict(key, right, reason, tuple(reply.text for reply in replies))


def majority(votes: Sequence[bool | None]) -> tuple[bool | None, str]:
    """The majority of the readable votes, with the count as its reason where there are several.

    The verdict is None, with a reason, for a tie or where no vote is readable.
    """
    readable = [vote for vote in votes if vote is not None]
    correct, n = sum(readable), len(readable)
    if len(votes) == 1 and n:
        return readable[0], ""
    if 2 * correct == n:
        return None, f"a tie: {correct} of {n} readable votes say correct" if n else "unreadable"
    return 2 * correct > n, f"{correct} of {n} readable votes say correct"


def _is_cut(reply: Completion) -> bool:
    """True where the reply ran out of tokens, so that its last line is unknown."""
    return reply.stop_reason == "length"


def _last_line(reply: Completion) -> str:
    lines = reply.text.strip().splitlines()
    line = repr(lines[-1].strip()[:80]) if lines else "an empty reply"
    return f"{line}, cut for its length" if _is_cut(reply) else line


@contextmanager
def _named_errors() -> Iterator[None]:
    """Errors begin with `the judge`, as a run has another model that may fail."""
    try:
        yield
    except UserError as error:
        error.args = (f"the judge: {error}",)
        raise
