"""The rollouts of a GRPO step, with their rewards and advantages."""

from collections.abc import Collection, Iterable, Sequence
from random import Random
from statistics import pvariance
from typing import NamedTuple

import torch
from msgspec.structs import replace
from torch import Tensor

from agent_model.fidelity import facts_stated
from agent_model.rollout.environments import SearchClient, Simulator
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler, Sampler
from agent_model.rollout.server import PolicyServer, ServerSampler
from agent_model.training.config import GRPOConfig
from agent_model.training.distributed import batch_per_process
from agent_model.training.evaluation import EpisodeSetup
from agent_model.training.grpo.objective import advantages
from agent_model.training.grpo.reward import QuestionKey, Reward, reward
from agent_model.training.model import Policy, eval_mode
from autocoa_bench.engines.tokenizer import Tokenizer, traits
from autocoa_bench.episode import episode, n_actions
from autocoa_bench.scoring import TextScorer
from autocoa_bench.types import Record, Trajectory


class RolloutContext(NamedTuple):
    """Everything that the rollouts of a run need; with a `server`, it samples for the policy.

    `known` are the questions that need no search.
    """

    config: GRPOConfig
    policy: Policy
    tokenizer: Tokenizer
    setup: EpisodeSetup
    scorer: TextScorer
    server: PolicyServer | None = None
    known: frozenset[QuestionKey] = frozenset()

    def sampler(self, episodes: int) -> Sampler:
        """A sampler for a step's episodes: the server, or the policy in process."""
        slots, temperature = min(self.config.seats, episodes), self.config.temperature
        if self.server is not None:
            return ServerSampler(self.server, slots, temperature)
        return PolicySampler(self.policy, self.tokenizer, slots, temperature, logps=True)


class ScoredRollout(NamedTuple):
    """A rollout with its reward, and its advantage within its group.

    The `trajectory` has the log-probabilities of the sampled tokens, its `record` does not.
    """

    record: Record
    trajectory: Trajectory
    reward: Reward
    advantage: float


Group = Sequence[ScoredRollout]
"""The rollouts of one question."""


def rollouts_of_step(
    context: RolloutContext,
    search: SearchClient | Simulator,
    questions: Sequence[int],
    step: int,
    index: int,
    processes: int,
) -> list[Group]:
    """Run the groups of a step (from 0) that belong to process `index`; `questions` are the indices
    of all the step's questions.

    Random numbers follow from seed and step. Raises UserError if a question cannot be scored.
    """
    config, setup = context.config, context.setup
    part = batch_per_process(config.batch, processes)
    # The generator is seeded by the position in the batch and not by the question: if an epoch ends
    # within the batch, a question may have two groups, which must differ.
    members = [
        (setup.questions[questions[i]], k, Random(f"{config.seed}:{step}:{i}:{k}"))
        for i in range(index * part, (index + 1) * part)
        for k in range(config.group)
    ]
    of_model = traits(context.tokenizer)
    episodes = [
        Rollout(episode(question, setup.dialect, setup.budget, of_model), rng)
        for question, _, rng in members
    ]
    with eval_mode(context.policy):
        trajectories = rollout(episodes, context.sampler(len(episodes)), search)
    records = [
        Record(question, k, _without_logps(trajectory))
        for (question, k, _), trajectory in zip(members, trajectories, strict=True)
    ]
    rewards = [reward(record, config, context.scorer, context.known) for record in records]
    relative = advantages_of(rewards, config)
    rollouts = list(map(ScoredRollout, records, trajectories, rewards, relative))
    return [rollouts[i : i + config.group] for i in range(0, len(rollouts), config.group)]


def advantages_of(rewards: Sequence[Reward], config: GRPOConfig) -> list[float]:
    """The advantages of rollouts, whose groups follow one another; 0 in groups to leave out."""

    def by_group(values: Iterable[float]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.float64).view(-1, config.group)

    relative = advantages(by_group(item.value for item in rewards), by_std=config.by_std)
    if config.groups.skip_form_only:
        outcomes = by_group(item.outcome for item in rewards)
        alike = outcomes.amax(1, keepdim=True) == outcomes.amin(1, keepdim=True)
        relative = relative.masked_fill(alike, 0.0)
    values: list[float] = relative.flatten().tolist()
    return values


def score_variance(group: Group) -> float:
    """The variance of a group's scores: 0 where they are equal, greatest where half are right."""
    return pvariance([rollout.reward.score for rollout in group])


def sum_metrics(
    groups: Sequence[Group], known: Collection[QuestionKey] = frozenset()
) -> dict[str, float]:
    """Sums over rollouts, for `grpo.metrics.step_metrics`."""
    rollouts = [rollout for group in groups for rollout in group]
    steps = [step for rollout in rollouts for step in rollout.trajectory.steps]
    last_steps = [rollout.trajectory.steps[-1] for rollout in rollouts]
    facts = [stated for rollout in rollouts for stated in facts_stated(rollout.record)]
    return {
        "rollouts": len(rollouts),
        "groups": len(groups),
        "skipped": sum(not has_signal(group) for group in groups),
        "form_only": sum(_differs(group) and not has_signal(group) for group in groups),
        "all_right": sum(_scores(group) == {1.0} for group in groups),
        "all_wrong": sum(_scores(group) == {0.0} for group in groups),
        **search_counts([rollout.record for rollout in rollouts], known),
        "reward": sum(rollout.reward.value for rollout in rollouts),
        "em": sum(rollout.reward.score for rollout in rollouts),
        "formed": sum(rollout.reward.formed for rollout in rollouts),
        "cut": sum(rollout.trajectory.ending != "answered" for rollout in rollouts),
        "facts": sum(facts),
        "facts_sought": len(facts),
        "searches": sum(n_actions(rollout.trajectory) for rollout in rollouts),
        "rewritten": sum(step.sampled_ids is not None for step in steps),
        "sampled": sum((step.completion_tokens or 0) for step in steps)
        + sum(len(step.observation_ids or ()) for step in steps),
        # Prompt and turn, as the sampler counted them.
        "tokens": sum((s.prompt_tokens or 0) + (s.completion_tokens or 0) for s in last_steps),
    }


def _without_logps(trajectory: Trajectory) -> Trajectory:
    """The trajectory as it is written to files."""
    steps = tuple(replace(step, logps=None) for step in trajectory.steps)
    return replace(trajectory, steps=steps)


def search_counts(records: Iterable[Record], known: Collection[QuestionKey]) -> dict[str, float]:
    """Counts of records, for `grpo.metrics.search_shares`: of known questions and of others, and of
    those that search among each."""
    counts = dict.fromkeys(("known", "unknown", "searched_known", "searched_unknown"), 0.0)
    for record in records:
        name = "known" if record.key[:2] in known else "unknown"
        counts[name] += 1
        counts[f"searched_{name}"] += bool(record.trajectory and n_actions(record.trajectory))
    return counts


def has_signal(group: Group) -> bool:
    """True if there is something to learn from: rewards that differ, and not in form alone where
    such groups are left out."""
    return any(rollout.advantage for rollout in group)


def _differs(group: Group) -> bool:
    return len({rollout.reward.value for rollout in group}) > 1


def _scores(group: Group) -> set[float]:
    return {rollout.reward.score for rollout in group}
