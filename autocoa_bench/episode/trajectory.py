"""Derived from a trajectory: its number of actions, its turns, and the prompts that were cut."""

from collections.abc import Sequence

from autocoa_bench.episode.token_counts import PromptSize
from autocoa_bench.types import Step, Trajectory, Turn


def n_actions(trajectory: Trajectory) -> int:
    """The number of actions of a trajectory, which are its searches (#action of Figure 3)."""
    return sum(step.kind == "search" for step in trajectory.steps)


def n_malformed(trajectory: Trajectory) -> int:
    """The number of completions that were neither a search nor an answer."""
    return sum(step.kind == "malformed" for step in trajectory.steps)


def n_cut(trajectory: Trajectory) -> int:
    """The number of forced answers that the token limit cut before they were complete."""
    return sum(step.forced and step.stop_reason == "length" for step in trajectory.steps)


def n_cut_prompts(trajectory: Trajectory) -> int:
    """The number of prompts that the server seems to have cut, by its own counts."""
    size = PromptSize(message.content for message in trajectory.opening)
    number = 0
    for step in trajectory.steps:
        if step.is_retrieval or step.kind == "reading":  # not a prompt of the turn
            continue
        prompt_tokens = None if step.call else step.prompt_tokens
        number += prompt_tokens is not None and size.is_cut(prompt_tokens)
        size.checked(prompt_tokens)
        size.add(step.text, step.observation)
    return number


def turns_of(trajectory: Trajectory) -> tuple[Turn, ...]:
    """The assistant's turn of a trajectory as pieces, in order, by their source."""
    prefill = (Turn("environment", trajectory.prefill),) if trajectory.prefill else ()
    return prefill + turns_of_steps(trajectory.steps)


def turns_of_steps(steps: Sequence[Step]) -> tuple[Turn, ...]:
    """The pieces of the assistant's turn that steps consist of; empty texts are left out."""
    turns: list[Turn] = []
    for step in steps:
        if step.text:
            turns.append(Turn("model", step.text, step.token_ids))
        if step.observation:
            turns.append(Turn("environment", step.observation, step.observation_ids))
    return tuple(turns)
