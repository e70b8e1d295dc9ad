"""Plays many episodes at once with one sampler, each going on as soon as it can.

An episode whose completion is whole searches, is shown what was found and samples on, while the
others are still in the middle of theirs; one that has ended makes room for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from agent_model.rollout.sampler import Sampler, Slot
from agent_model.rollout.simulator import Simulator
from autocoa_bench.episode import Episode, Event, Reply
from autocoa_bench.types import Completion, Generate, Observation, Trajectory

LookUp = Callable[[Sequence[str]], Sequence[Observation]]
"""What searches find, in the order of their queries."""


class Rollout(NamedTuple):
    """An episode to play, and what draws its tokens."""

    episode: Episode
    rng: Random


def rollout(
    rollouts: Sequence[Rollout], sampler: Sampler, look_up: LookUp | Simulator
) -> list[Trajectory]:
    """Play all episodes to their ends; trajectories in their order.

    With a simulator, the sampler writes what searches find as well.
    """
    table = _Table(rollouts, sampler, look_up)
    while not table.done:
        table.fill()
        table.go_on()
    return table.trajectories()


class _Table:
    """The episodes that wait, those that sit, and those that have ended."""

    def __init__(
        self, rollouts: Sequence[Rollout], sampler: Sampler, look_up: LookUp | Simulator
    ) -> None:
        self._rollouts = rollouts
        self._sampler = sampler
        self._look_up = look_up
        self._waiting = list(range(len(rollouts)))[::-1]
        self._seated: dict[Slot, int] = {}
        self._ended: dict[int, Trajectory] = {}
        self._writing: set[Slot] = set()  # those whose request is for a search's results

    @property
    def done(self) -> bool:
        return len(self._ended) == len(self._rollouts)

    def trajectories(self) -> list[Trajectory]:
        return [self._ended[i] for i in range(len(self._rollouts))]

    def fill(self) -> None:
        """Seat episodes that wait, as long as there are seats."""
        while self._waiting and len(self._seated) < self._sampler.seats:
            i = self._waiting.pop()
            seat = self._sampler.sit(self._rollouts[i].rng)
            self._seated[seat] = i
            self._settle([(seat, next(self._rollouts[i].episode))])

    def go_on(self) -> None:
        """One token of every episode that sits, and all that follows from it at once."""
        if self._seated:
            done = self._sampler.step()
            self._settle(self._send([(seat, self._reply(seat, said)) for seat, said in done]))

    def _reply(self, seat: Slot, said: Completion) -> Reply:
        """A completion, as its episode takes it."""
        if seat not in self._writing:
            return said
        assert isinstance(self._look_up, Simulator)
        self._writing.remove(seat)
        return self._look_up.observe(said)

    def _settle(self, events: Sequence[tuple[Slot, Event]]) -> None:
        """Answer events until all that are left wait for the sampler."""
        while events:
            events = self._send(self._face(events))

    def _send(self, replies: Sequence[tuple[Slot, Reply]]) -> list[tuple[Slot, Event]]:
        """What the episodes ask for next; those that end leave their seats."""
        events = []
        for seat, reply in replies:
            i = self._seated[seat]
            try:
                events.append((seat, self._rollouts[i].episode.send(reply)))
            except StopIteration as end:
                self._ended[i] = end.value
                self._sampler.leave(seat)
                del self._seated[seat]
        return events

    def _face(self, events: Sequence[tuple[Slot, Event]]) -> list[tuple[Slot, Reply]]:
        """Ask the sampler for what is to be generated, and answer the searches together."""
        searching = []
        for seat, event in events:
            if isinstance(event, Generate):
                self._sampler.ask(seat, event)
            elif isinstance(self._look_up, Simulator):
                self._writing.add(seat)
                self._sampler.ask(seat, self._look_up.request(event))
            else:
                searching.append((seat, event.query))
        if not searching or isinstance(self._look_up, Simulator):
            return []
        found = self._look_up([query for _, query in searching])
        return [(seat, each) for (seat, _), each in zip(searching, found, strict=True)]
