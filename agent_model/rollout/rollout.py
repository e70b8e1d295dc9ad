"""Runs many episodes at once with one sampler.

Each episode advances as soon as it can: one whose completion ends in a search receives the results
and continues while the others are still sampling, and one that has ended makes room for the next.
"""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from agent_model.rollout.environments import Simulator
from agent_model.rollout.sampler import Sampler, Slot
from autocoa_bench.episode import Episode, Event, Reply
from autocoa_bench.types import Completion, Generate, Observation, Trajectory

SearchFunction = Callable[[Sequence[str]], Sequence[Observation]]
"""The observations for queries, in their order."""


class Rollout(NamedTuple):
    """An episode to run, and the random numbers that its tokens are sampled with."""

    episode: Episode
    rng: Random


def rollout(
    rollouts: Sequence[Rollout], sampler: Sampler, search: SearchFunction | Simulator
) -> list[Trajectory]:
    """Run all episodes to their ends; returns their trajectories in the same order.

    With a simulator, the sampler writes the search results too.
    """
    return _Scheduler(rollouts, sampler, search).run()


class _Scheduler:
    """Assigns waiting episodes to free slots and passes events and replies between them."""

    def __init__(
        self, rollouts: Sequence[Rollout], sampler: Sampler, search: SearchFunction | Simulator
    ) -> None:
        self._trajectories: dict[int, Trajectory] = {}
        self._rollouts = rollouts
        self._sampler = sampler
        self._search = search
        self._running: dict[Slot, int] = {}
        self._simulating: set[Slot] = set()  # slots whose request is for search results

    def run(self) -> list[Trajectory]:
        """Run all episodes, each as soon as a slot is free; returns their trajectories in order."""
        waiting = deque(range(len(self._rollouts)))
        while waiting or self._running:
            while waiting and len(self._running) < self._sampler.slots:
                i = waiting.popleft()
                slot = self._sampler.acquire(self._rollouts[i].rng)
                self._running[slot] = i
                self._process([(slot, next(self._rollouts[i].episode))])
            if self._running:
                completed = self._sampler.step()
                self._process(self._send([(slot, self._reply(slot, c)) for slot, c in completed]))
        return [self._trajectories[i] for i in range(len(self._rollouts))]

    def _reply(self, slot: Slot, completion: Completion) -> Reply:
        """A completion as the episode's reply: an observation if it was a simulated search."""
        if slot not in self._simulating:
            return completion
        assert isinstance(self._search, Simulator)
        self._simulating.remove(slot)
        return self._search.observe(completion)

    def _process(self, events: Sequence[tuple[Slot, Event]]) -> None:
        """Handle events until every running episode waits for the sampler."""
        while events:
            events = self._send(self._handle(events))

    def _send(self, replies: Sequence[tuple[Slot, Reply]]) -> list[tuple[Slot, Event]]:
        """Send replies to their episodes; returns the next events. Ended episodes free slots."""
        events = []
        for slot, reply in replies:
            i = self._running[slot]
            try:
                events.append((slot, self._rollouts[i].episode.send(reply)))
            except StopIteration as end:
                self._trajectories[i] = end.value
                self._sampler.release(slot)
                del self._running[slot]
        return events

    def _handle(self, events: Sequence[tuple[Slot, Event]]) -> list[tuple[Slot, Reply]]:
        """Submit requests to the sampler, and run all searches of these events in one call."""
        searches: list[tuple[Slot, str]] = []
        for slot, event in events:
            if isinstance(event, Generate):
                self._sampler.submit(slot, event)
            elif isinstance(self._search, Simulator):
                self._simulating.add(slot)
                request, temperature = self._search.request(event), self._search.temperature
                self._sampler.submit(slot, request, temperature)
            else:
                searches.append((slot, event.query))
        if not searches or isinstance(self._search, Simulator):
            return []
        observations = self._search([query for _, query in searches])
        return [(slot, obs) for (slot, _), obs in zip(searches, observations, strict=True)]
