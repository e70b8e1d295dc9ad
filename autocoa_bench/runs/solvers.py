"""Solvers: from a name such as `react:shots=0` to an object that answers questions.

`drive` runs an episode of a dialect against a model engine and a search engine.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from msgspec.structs import replace

from autocoa_bench import registry
from autocoa_bench.engines import CURRENT_EPISODE, Engine, EpisodeId
from autocoa_bench.engines.openai import refusals
from autocoa_bench.episode import (
    Dialect,
    Event,
    Reply,
    RetrievingDialect,
    episode,
    offers_tools,
    prompt_sha256,
)
from autocoa_bench.errors import CONTEXT, EngineFault, Fault, SearchFault
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import (
    Budget,
    Generate,
    ModelTraits,
    Observation,
    Question,
    Sampling,
    Trajectory,
)

Watch = Callable[[Event | Reply], None]
"""Is called with all that an episode asks for and with each reply, in order, as it happens."""


def _unwatched(_: Event | Reply) -> None:
    """Watch nothing."""


class Backends(NamedTuple):
    """The engine and the search of an episode; None for what the solver does not use."""

    engine: Engine | None
    search: SearchEngine | None

    async def close(self) -> None:
        """Close both."""
        if self.engine is not None:
            await self.engine.close()
        if self.search is not None:
            await self.search.close()


@runtime_checkable
class DirectSolver(Protocol):
    """A solver that runs its own loop: any function from a question to a trajectory.

    `solve` is called in a thread of its own and makes its own searches and model calls.
    """

    name: str
    section: str

    def solve(self, question: Question) -> Trajectory:
        """Answer one question. Any exception is a fault of that question."""


class Solver(NamedTuple):
    """A solver ready to run. `spec` is its canonical name, options included."""

    spec: str
    section: str
    searches: bool
    prompt_sha256: str
    plugin: Dialect | DirectSolver
    adapters: Mapping[str, Path] = MappingProxyType({})
    """The LoRA adapters that the solver ships, by model name (a plug-in's `adapters`)."""
    top_k: int | None = None
    """The passages per search that a plug-in asks for by its `top_k`; None for the run's."""
    offers_tools: bool = False
    """True for a dialect whose model calls functions."""
    watch: Watch = _unwatched
    """Watches the episodes of a dialect; a `DirectSolver` shows nothing of its loop."""

    @property
    def uses_engine(self) -> bool:
        """True for a dialect, which the run's model engine answers for."""
        return not isinstance(self.plugin, DirectSolver)

    async def solve(
        self, question: Question, backends: Backends, sampling: Sampling, budget: Budget
    ) -> Trajectory:
        """Run one episode. Raises Fault."""
        if isinstance(self.plugin, DirectSolver):
            try:
                return await asyncio.to_thread(self.plugin.solve, question)
            except Fault:
                raise
            except Exception as error:
                raise Fault("solver-error", f"{type(error).__name__}: {error}") from error
        return await drive(question, self.plugin, backends, sampling, budget, self.watch)


def load_solver(spec: str) -> Solver:
    """Make the solver that `name` or `name:option=value,...` names. Raises UserError."""
    label, plugin = registry.make("solvers", spec)
    if isinstance(plugin, DirectSolver):
        return Solver(label, plugin.section, searches=False, prompt_sha256="", plugin=plugin)
    return Solver(
        label,
        plugin.section,
        searches=plugin.searches or isinstance(plugin, RetrievingDialect),
        prompt_sha256=prompt_sha256(plugin),
        plugin=plugin,
        adapters=getattr(plugin, "adapters", {}),
        top_k=getattr(plugin, "top_k", None),
        offers_tools=offers_tools(plugin),
    )


async def drive(
    question: Question,
    dialect: Dialect,
    backends: Backends,
    sampling: Sampling,
    budget: Budget,
    watch: Watch = _unwatched,
) -> Trajectory:
    """Run one episode to its end and time every exchange. Raises Fault."""
    # Engines read the id from the context, to keep an episode's requests on one server.
    identifier = EpisodeId()
    token = CURRENT_EPISODE.set(identifier)
    traits = getattr(backends.engine, "traits", ModelTraits())
    events = episode(question, dialect, budget, traits)
    try:
        event = next(events)
        while True:
            watch(event)
            if isinstance(event, Generate):
                # Each completion has a seed of its own: an episode's samples are independent.
                sampling = sampling.with_seed(sampling.seed + 1)
                reply = await _generate(event, backends, sampling)
            else:
                reply = await _search(event.query, backends)
            watch(reply)
            event = events.send(reply)
    except StopIteration as end:
        trajectory: Trajectory = end.value
        return trajectory
    finally:
        identifier.over = True
        CURRENT_EPISODE.reset(token)


async def _generate(request: Generate, backends: Backends, sampling: Sampling) -> Reply:
    assert backends.engine is not None, "a dialect needs a model engine"
    start = perf_counter()
    try:
        [completion] = await backends.engine.generate(request, sampling)
    except EngineFault as fault:
        # A prompt that is too long for the server is the episode's to shorten.
        if fault.kind == CONTEXT:
            return refusals.refused(str(fault))
        raise
    return replace(completion, seconds=perf_counter() - start)


async def _search(query: str, backends: Backends) -> Observation:
    if backends.search is None:
        raise SearchFault("no-search-engine", "the solver searched, but the run has no search")
    start = perf_counter()
    passages = await backends.search.search(query)
    return Observation(passages, perf_counter() - start)
