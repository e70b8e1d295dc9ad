"""Several servers of one model as one engine: work is shared out, and one that dies is left out."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from autocoa_bench.engines.engine import EPISODE, EpisodeId
from autocoa_bench.engines.openai.client import OpenAIEngine
from autocoa_bench.errors import ServerDown, UserError
from autocoa_bench.types import Completion, EngineSpec, Generate, Sampling

Make = Callable[[str, Callable[[], bool]], OpenAIEngine]
"""A client of the server at an address; the function tells it whether others could take over."""


class ReplicatedEngine:
    """Servers at several addresses; satisfies `autocoa_bench.engines.Engine`.

    An episode begins at the server that has the fewest, and stays there, where its prefix is
    cached. The episodes of a server that is down go on at the others.
    """

    def __init__(self, addresses: Sequence[str], make: Make) -> None:
        self._alive = [make(each, lambda: len(self._alive) > 1) for each in addresses]
        self._all = tuple(self._alive)
        self._places: WeakKeyDictionary[EpisodeId, OpenAIEngine] = WeakKeyDictionary()

    async def start(self) -> EngineSpec:
        """Find out what answers at every address. Raises UserError where they are not alike."""
        starting = [asyncio.ensure_future(each.start()) for each in self._all]
        try:
            specs = await asyncio.gather(*starting)
        except BaseException:
            await asyncio.gather(*starting, return_exceptions=True)
            await self.close()
            raise
        for engine, spec in zip(self._all, specs, strict=True):
            if spec != specs[0]:
                await self.close()
                raise UserError(
                    "the servers of one run must be alike: "
                    f"{_told(self._all[0], specs[0])}, {_told(engine, spec)}"
                )
        return specs[0]

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions. Raises as `OpenAIEngine` does, ServerDown once all are down."""
        if (episode := EPISODE.get()) is not None:
            return await self._generate(episode, request, sampling, n)
        alone = EpisodeId()
        try:
            return await self._generate(alone, request, sampling, n)
        finally:
            alone.over = True

    async def _generate(
        self, episode: EpisodeId, request: Generate, sampling: Sampling, n: int
    ) -> list[Completion]:
        while True:
            engine = self._place(episode)
            try:
                return await engine.generate(request, sampling, n)
            except ServerDown as down:
                self._drop(engine, down)

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        for engine in self._all:
            await engine.close()

    def _place(self, episode: EpisodeId) -> OpenAIEngine:
        """The server that an episode is asked of."""
        engine = self._places.get(episode)
        if engine is None or engine not in self._alive:
            going = (at for each, at in self._places.items() if not each.over)
            load = Counter(map(id, going))
            engine = min(self._alive, key=lambda each: load[id(each)])
            self._places[episode] = engine
        return engine

    def _drop(self, engine: OpenAIEngine, down: ServerDown) -> None:
        """Leave a server out. Raises its ServerDown where it was the last."""
        if engine not in self._alive:  # another request has found it out
            return
        if len(self._alive) == 1:
            raise ServerDown(f"the last of {len(self._all)} servers is down: {down}") from None
        self._alive.remove(engine)
        left = f"{len(self._alive)} of {len(self._all)} go on"
        print(f"warning: {engine.base_url} is down and left out; {left}", file=sys.stderr)


def _told(engine: OpenAIEngine, spec: EngineSpec) -> str:
    settings = "".join(f", {name} {value}" for name, value in sorted(spec.settings.items()))
    return f"{engine.base_url} has protocol {spec.protocol}{settings}"
