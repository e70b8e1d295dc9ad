"""What a step of GRPO plays, and what that earns."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import torch

from agent_model.fidelity.facts import facts_stated
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler, Sampler
from agent_model.rollout.search_client import SearchClient
from agent_model.rollout.server import PolicyServer, ServerSampler
from agent_model.rollout.simulator import Simulator
from agent_model.tokens import Tokenizer
from agent_model.training.config import GRPOConfig
from agent_model.training.data import examples_of_step
from agent_model.training.distributed import share_of_process
from agent_model.training.evaluation import EvalSetup
from agent_model.training.grpo.objective import advantages
from agent_model.training.grpo.reward import Reward, rewarded
from agent_model.training.model import Policy, at_rest
from autocoa_bench.episode import episode, n_actions
from autocoa_bench.scoring import TextScorer
from autocoa_bench.types import Question, Record, Trajectory


class RolloutContext(NamedTuple):
    """Who plays, in what, who scores it, and what samples in the policy's place, if anything."""

    recipe: GRPOConfig
    policy: Policy
    tokenizer: Tokenizer
    scene: EvalSetup
    scorer: TextScorer
    server: PolicyServer | None = None

    def sampler(self, episodes: int) -> Sampler:
        """What samples a step's episodes: a server that has the policy's weights, or the policy."""
        seats, temperature = min(self.recipe.seats, episodes), self.recipe.temperature
        if self.server is not None:
            return ServerSampler(self.server, seats, temperature)
        return PolicySampler(self.policy, self.tokenizer, seats, temperature)


class StepRollouts(NamedTuple):
    """One rollout, and what it earned, alone and beside its group."""

    record: Record
    trajectory: Trajectory
    reward: Reward
    advantage: float


Group = Sequence[StepRollouts]
"""The rollouts of one question."""


def rollouts_of_step(
    stage: RolloutContext, world: SearchClient | Simulator, step: int, index: int, processes: int
) -> list[Group]:
    """The groups of a step (from 0) that fall to process `index`, played in a world.

    Its questions and its dice follow from seed and step. Raises UserError where a question cannot
    be scored, or where every search fails.
    """
    recipe = stage.recipe
    part = share_of_process(recipe.batch, processes)
    drawn = examples_of_step(len(stage.scene.questions), recipe.batch, recipe.seed, step)
    # Dice go by the place in the batch: where an epoch ends within it, a question has two groups.
    places = range(index * part, (index + 1) * part)
    dealt = [(place, k) for place in places for k in range(recipe.group)]
    members = [(stage.scene.questions[drawn[place]], k) for place, k in dealt]
    rollouts = [
        Rollout(
            episode(question, stage.scene.dialect, stage.scene.budget),
            Random(f"{recipe.seed}:{step}:{place}:{k}"),
        )
        for (question, _), (place, k) in zip(members, dealt, strict=True)
    ]
    with at_rest(stage.policy):
        trajectories = rollout(rollouts, stage.sampler(len(rollouts)), world)
    return _grouped(stage, members, trajectories)


def _grouped(
    stage: RolloutContext,
    members: Sequence[tuple[Question, int]],
    trajectories: Sequence[Trajectory],
) -> list[Group]:
    """Each question's rollouts with what they earned."""
    size = stage.recipe.group
    records = [
        Record(question, k, trajectory)
        for (question, k), trajectory in zip(members, trajectories, strict=True)
    ]
    rewards = [rewarded(record, stage.recipe, stage.scorer) for record in records]
    values = torch.tensor([each.value for each in rewards], dtype=torch.float64).view(-1, size)
    gained = advantages(values, by_std=stage.recipe.by_std).flatten().tolist()
    played = list(map(StepRollouts, records, trajectories, rewards, gained))
    return [played[i : i + size] for i in range(0, len(played), size)]


def sums_of(groups: Sequence[Group]) -> dict[str, float]:
    """Sums over rollouts, for the step's row."""
    played = [each for group in groups for each in group]
    steps = [step for each in played for step in each.trajectory.steps]
    facts = [each for one in played for each in facts_stated(one.record)]
    return {
        "rollouts": len(played),
        "groups": len(groups),
        "skipped": sum(not has_signal(group) for group in groups),
        "reward": sum(each.reward.value for each in played),
        "em": sum(each.reward.score for each in played),
        "formed": sum(each.reward.formed for each in played),
        "cut": sum(each.trajectory.ending != "answered" for each in played),
        "facts": sum(facts),
        "facts_sought": len(facts),
        "searches": sum(n_actions(each.trajectory) for each in played),
        "rewritten": sum(step.token_ids is None for step in steps),
        "sampled": sum((step.completion_tokens or 0) for step in steps)
        + sum(len(step.observation_ids or ()) for step in steps),
        "tokens": sum(_length(each.trajectory) for each in played),
    }


def has_signal(group: Group) -> bool:
    """Whether a group's rewards differ, so that there is something to learn from."""
    return any(each.advantage for each in group)


def _length(trajectory: Trajectory) -> int:
    """Tokens of prompt and turn, as the sampler counted them."""
    last = trajectory.steps[-1]
    return (last.prompt_tokens or 0) + (last.completion_tokens or 0)
