"""The judge: it asks a model about cases, many at once, and counts the votes."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from autocoa_bench.engines import EMBEDDED, Engine, open_engine
from autocoa_bench.engines.weights import models
from autocoa_bench.engines.weights.huggingface import fingerprint
from autocoa_bench.episode import neutralise_question
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.judge.reply import after_thought
from autocoa_bench.judge.verdict import (
    NO_VERDICT,
    Case,
    JudgeConfig,
    Verdict,
    load_prompt,
    verdict_key,
    without_turns,
)
from autocoa_bench.judge.verdict_cache import JudgeIdentity, VerdictCache
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    JudgeSpec,
    ModelTraits,
    Prompt,
    Sampling,
)
from autocoa_bench.util.concurrency import work_through
from autocoa_bench.util.paths import user_path

CONTEXT_TOKENS = 4096
"""The room for a case and its reply, at least."""

_PROMPT_TOKENS = 2048
"""The part of it for a case, where a reply may be long."""

_THINKING_TOKENS = Budget().thinking_tokens
_CUT = {"length": ", cut for its length", "filtered": ", cut by a content filter"}
"""By the stop reason of a reply whose last line is unknown."""


_FIRST_REPLIES = 8
"""A judge is stopped if none of its first replies, as many as this, states a verdict."""


class UnreadableJudge(UserError):
    """None of a judge's first replies states a verdict."""


OnVerdict = Callable[[Verdict], None]


class Judge:
    """The judge of a configuration. Its engine starts when a case has no verdict yet."""

    def __init__(self, config: JudgeConfig, engine: Engine | None = None) -> None:
        """Load the prompt; `engine` replaces the configuration's. Raises UserError."""
        self.config = config
        self.prompt = load_prompt(config.prompt)
        embedded = config.engine.partition(":")[0] == EMBEDDED
        adapter = self.prompt.adapters.get(config.model or models.DEFAULT) if embedded else None
        room = max(CONTEXT_TOKENS, _PROMPT_TOKENS + self.prompt.plugin.max_tokens)
        with _named_errors():
            self._engine = engine or open_engine(
                config.engine, config.engine_config(room, adapter=str(adapter or ""))
            )
        self._spec: JudgeSpec | None = None
        self._traits = ModelTraits()
        # Tokens for a thought, where the engine adds none: known once a thought has been seen.
        self._thinking_tokens = 0
        self._is_readable = False
        self.unreachable = ""
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
            config.request,
        )

    async def check(self) -> None:
        """Check the model before a long run: a server is asked, an embedded model not loaded.

        Raises UserError.
        """
        if self.config.base_url:
            await self.start()
        elif self.config.engine.partition(":")[0] == EMBEDDED:
            with _named_errors():
                models.check(self.config.model or models.DEFAULT)

    async def start(self) -> JudgeSpec:
        """Start the engine, once, and return the judge's spec. Raises UserError."""
        if self._spec is None:
            with _named_errors():
                engine = await self._engine.start()
            self._traits = getattr(self._engine, "traits", self._traits)
            if self._traits.opens_thought:
                self._thinking_tokens = _THINKING_TOKENS
            prompt, config = self.prompt, self.config
            self._spec = JudgeSpec(
                engine, prompt.name, prompt.sha256, config.votes, config.sampling
            )
        return self._spec

    async def settle(self, cache: VerdictCache, cases: Sequence[Case]) -> JudgeSpec:
        """Return the judge's spec, from the cache if that has all verdicts, else of the engine.

        Unreadable verdicts alone need no engine: where it does not start, they stay, and
        `unreachable` says why. Raises UserError.
        """
        self.unreachable = ""
        spec = cache.spec_of(self.identity)
        if self._spec is None and (spec is None or cache.open_cases(spec, cases)):
            try:
                await self.start()
            except UserError as error:
                if spec is None or cache.open_cases(spec, cases, unreadable=False):
                    raise
                self.unreachable = str(error)
        # Earlier verdicts count, by whatever protocol the server was asked.
        if self._spec and (spec is None or without_turns(spec) != without_turns(self._spec)):
            spec = self._spec
        assert spec is not None, "a judge without a spec is started"
        cache.add_judge(self.identity, spec)
        return spec

    async def judge(
        self, spec: JudgeSpec, cache: VerdictCache, cases: Sequence[Case], on_verdict: OnVerdict
    ) -> None:
        """Judge the cases without a verdict, `concurrency` at a time, and cache each verdict.

        Raises UnreadableJudge, other kinds of UserError, and ServerDown.
        """
        verdicts = (cache.get(spec, case) for case in cases)
        self._is_readable |= any(verdict and verdict.right is not None for verdict in verdicts)
        unreadable: list[Verdict] = []

        async def work(case: Case) -> None:
            verdict = await self._judge(spec, case)
            cache.add(verdict)
            on_verdict(verdict)
            if verdict.unreadable:
                unreadable.append(verdict)
            elif not verdict.faulted:
                self._is_readable = True
            if len(unreadable) == _FIRST_REPLIES and not self._is_readable:
                raise self._refusal(unreadable)

        waiting = [] if self.unreachable else cache.open_cases(spec, cases)
        with _named_errors():
            await work_through(waiting, work, self.config.concurrency)
            if unreadable and not self._is_readable:
                raise self._refusal(unreadable)

    async def close(self) -> None:
        """Stop the engine; safe to call twice."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _judge(self, spec: JudgeSpec, case: Case) -> Verdict:
        key = verdict_key(spec, case)
        # A case's own seed: its votes do not depend on what is judged beside it.
        first_seed = zlib.crc32(key.encode())
        replies: list[Completion] = []
        try:
            for vote in range(spec.votes):
                sampling = spec.sampling.with_seed(first_seed + vote)
                replies.append(await self._reply(case, sampling))
        except EngineFault as fault:
            texts = tuple(reply.text for reply in replies)
            return Verdict(key, None, f"judge's engine: {fault.kind}: {fault}", texts, faulted=True)
        votes = [self._vote(reply) for reply in replies]
        right, reason = majority(votes)
        if not any(vote is not None for vote in votes):
            reason = f"{NO_VERDICT}: {_last_line(replies[0])}"
        return Verdict(key, right, reason, tuple(reply.text for reply in replies))

    async def _reply(self, case: Case, sampling: Sampling) -> Completion:
        """One reply; asked for again, with room for a thought, where it was cut inside one.

        In chat turns, the engine itself adds that room. Raises EngineFault.
        """
        question, answer, *golds = (
            neutralise_question(text, self._traits.special_tokens)
            for text in (case.question, case.answer, *case.golds)
        )
        opening = self.prompt.plugin.opening(question, golds, answer)
        limit, room = self.prompt.plugin.max_tokens, self._thinking_tokens
        request = Generate(
            Prompt(opening), (), limit + room, thinking_tokens=0 if room else _THINKING_TOKENS
        )
        [reply] = await self._engine.generate(request, sampling)
        if room or self._traits.new_turns or not _is_cut(reply):
            return reply
        if self._outside_thoughts(reply):
            return reply
        self._thinking_tokens = _THINKING_TOKENS
        return await self._reply(case, sampling)

    def _vote(self, reply: Completion) -> bool | None:
        text = self._outside_thoughts(reply)
        return None if text is None or _is_cut(reply) else self.prompt.plugin.read(text)

    def _outside_thoughts(self, reply: Completion) -> str | None:
        """The text of a reply outside of its thoughts; None where it ends inside one."""
        return after_thought(reply.text, opened=self._traits.opens_thought or reply.thinking)

    def _refusal(self, unreadable: Sequence[Verdict]) -> UnreadableJudge:
        """The error for a judge whose first replies are all unreadable."""
        text, reason = unreadable[0].replies[0].strip(), unreadable[0].reason
        cut = next((words for words in _CUT.values() if reason.endswith(words)), "")
        example = f"...{text[-120:]}" if len(text) > 120 else text
        return UnreadableJudge(
            f"the first {len(unreadable)} replies to the prompt '{self.prompt.name}' state no "
            f"verdict, such as {example!r}{cut}\n"
            "Give a model that reasons more tokens (--judge-prompt reasoned:max_tokens=4096), or "
            "another one a prompt that it follows; then judge again: no reply is lost."
        )


def majority(votes: Sequence[bool | None]) -> tuple[bool | None, str]:
    """The majority of the readable votes, with the count as its reason where there are several.

    The verdict is None, with a reason, for a tie or where no vote is readable.
    """
    readable = [vote for vote in votes if vote is not None]
    correct, n = sum(readable), len(readable)
    if len(votes) == 1 and n:
        return readable[0], ""
    if 2 * correct == n:
        return None, f"a tie: {correct} of {n} readable votes say correct" if n else NO_VERDICT
    return 2 * correct > n, f"{correct} of {n} readable votes say correct"


def _is_cut(reply: Completion) -> bool:
    return reply.stop_reason in _CUT


def _last_line(reply: Completion) -> str:
    lines = reply.text.strip().splitlines()
    line = repr(lines[-1].strip()[:80]) if lines else "an empty reply"
    return line + _CUT.get(reply.stop_reason, "")


@contextmanager
def _named_errors() -> Iterator[None]:
    """Errors begin with `the judge`, as a run has another model that may fail."""
    try:
        yield
    except UserError as error:
        error.args = (f"the judge: {error}",)
        raise
