"""Reading a trajectory: its number of actions, its turns, and a cautious count of tokens."""

from __future__ import annotations

from collections.abc import Sequence

from autocoa_bench.types import (
    Step,
    Trajectory,
    Turn,
)


def estimate_tokens(text: str) -> int:
    """Tokens of a text where no server has counted them: a cautious 2.5 characters a token."""
    return -(-2 * len(text) // 5)


def n_actions(trajectory: Trajectory) -> int:
    """The number of actions of a trajectory: the searches it made (#action of Figure 3)."""
    return sum(step.kind == "search" for step in trajectory.steps)


def n_malformed(trajectory: Trajectory) -> int:
    """How many completions could be read as neither a search nor an answer."""
    return sum(step.kind == "malformed" for step in trajectory.steps)


def turns_of(trajectory: Trajectory) -> tuple[Turn, ...]:
    """The assistant's turn of a trajectory, piece by piece in order, by who wrote it."""
    prefill = (Turn("environment", trajectory.prefill),) if trajectory.prefill else ()
    return prefill + turns_of_steps(trajectory.steps)


def turns_of_steps(steps: Sequence[Step]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for step in steps:
        turns += [
            Turn("model", step.text, step.token_ids),
            Turn("environment", step.observation, step.observation_ids),
        ]
    return tuple(turn for turn in turns if turn.text)
