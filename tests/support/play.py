"""Plays an episode against given texts: the smallest driver there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autocoa_bench.episode import Dialect, Event, Reply, episode
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    ModelTraits,
    Observation,
    Passage,
    Question,
    Refused,
    Trajectory,
)

QUESTION = Question(id="q1", text="Who built the tower?", golden_answers=("Anna",))
PASSAGES = (
    Passage("p1", "The Tower", "Anna built the tower."),
    Passage("p2", "The Mill", "Bert built the mill."),
)


def play(
    dialect: Dialect,
    replies: Iterable[str | Completion | Refused],
    passages: Sequence[Passage] = PASSAGES,
    budget: Budget | None = None,
    question: Question = QUESTION,
    traits: ModelTraits | None = None,
) -> tuple[Trajectory, list[Event]]:
    """Run one episode; returns its trajectory and everything it asked for."""
    run = episode(question, dialect, budget or Budget(), traits or ModelTraits())
    waiting = iter(replies)
    events = [next(run)]
    while True:
        if isinstance(events[-1], Generate):
            given = next(waiting)
            reply: Reply = Completion(given) if isinstance(given, str) else given
        else:
            reply = Observation(tuple(passages))
        try:
            events.append(run.send(reply))
        except StopIteration as end:
            return end.value, events
