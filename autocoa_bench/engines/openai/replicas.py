"""Several servers of one model as one engine, which shares out the work among them."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

from autocoa_bench.engines.engine import CURRENT_EPISODE, Engine, EpisodeId, late_settings
from autocoa_bench.errors import ServerDown, UserError
from autocoa_bench.types import Completion, EngineSpec, Generate, ModelTraits, Sampling


class Replica(Engine, Protocol):
    """The engine of a single server."""

    base_url: str


CreateReplica = Callable[[str, Callable[[], bool]], Replica]
"""Makes the engine of an address; the function tells whether other servers can take over."""


class ReplicatedEngine:
    """Servers at several addresses; satisfies `autocoa_bench.engines.Engine`.

    An episode starts at the server with the fewest episodes and stays there, where its prefix is
    cached. Episodes of a server that goes down continue at the others.
    """

    def __init__(self, addresses: Sequence[str], create: CreateReplica) -> None:
        self._alive = [create(address, lambda: len(self._alive) > 1) for address in addresses]
        self._all = tuple(self._alive)
        # Weak keys, so that episodes that have ended do not accumulate.
        self._replica_of: WeakKeyDictionary[EpisodeId, Replica] = WeakKeyDictionary()

    async def start(self) -> EngineSpec:
        """Start all replicas. Raises UserError if their servers differ."""
        starts = [asyncio.ensure_future(replica.start()) for replica in self._all]
        # If one fails, the others must end before their connections are closed.
        try:
            specs = await asyncio.gather(*starts)
        except BaseException:
            await asyncio.gather(*starts, return_exceptions=True)
            await self.close()
            raise
        for replica, spec in zip(self._all, specs, strict=True):
            if spec != specs[0]:
                await self.close()
                raise UserError(
                    "the servers of one run must be alike: "
                    f"{_description(self._all[0], specs[0])}, {_description(replica, spec)}"
                )
        return specs[0]

    @property
    def traits(self) -> ModelTraits:
        """The traits of the model, which all servers share."""
        return getattr(self._all[0], "traits", ModelTraits())

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions of a replica. Raises ServerDown once all servers are down."""
        # A request outside of a run is an episode of its own, which is forgotten at its end.
        episode = CURRENT_EPISODE.get() or EpisodeId()
        while True:
            replica = self._choose(episode)
            try:
                return await replica.generate(request, sampling, n)
            except ServerDown as down:
                self._drop(replica, down)

    @property
    def late_settings(self) -> dict[str, str | int | float]:
        """The settings that refusals of any server have changed."""
        return {k: v for replica in self._all for k, v in late_settings(replica).items()}

    async def close(self) -> None:
        for replica in self._all:
            await replica.close()

    def _choose(self, episode: EpisodeId) -> Replica:
        """The replica for an episode's requests."""
        replica = self._replica_of.get(episode)
        if replica is None or replica not in self._alive:
            load = Counter(
                id(busy) for running, busy in self._replica_of.items() if not running.over
            )
            replica = min(self._alive, key=lambda candidate: load[id(candidate)])
            self._replica_of[episode] = replica
        return replica

    def _drop(self, replica: Replica, down: ServerDown) -> None:
        """Stop using a replica. Raises ServerDown if it was the last."""
        if replica not in self._alive:  # another request has dropped it already
            return
        if len(self._alive) == 1:
            raise ServerDown(f"the last of {len(self._all)} servers is down: {down}") from None
        self._alive.remove(replica)
        print(
            f"warning: {replica.base_url} is down and no longer used; {len(self._alive)} of "
            f"{len(self._all)} servers remain",
            file=sys.stderr,
        )


def _description(replica: Replica, spec: EngineSpec) -> str:
    settings = "".join(f", {name} {value}" for name, value in sorted(spec.settings.items()))
    return f"{replica.base_url} has protocol {spec.protocol}{settings}"
