"""What a step learns from rollouts: every sampled token, once, by each aggregate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from msgspec.structs import replace

from agent_model.dialects.agent import Agent
from agent_model.rollout.sampler import completion
from agent_model.tokens import end_of_turn
from agent_model.training.config import Aggregate, GRPOConfig
from agent_model.training.grpo import learner as module
from agent_model.training.grpo.learner import Learner
from agent_model.training.grpo.reward import Reward
from agent_model.training.grpo.rollouts import Group, ScoredRollout
from agent_model.training.masks import TokenRow, sampled_rows, trained_kinds
from agent_model.training.model import Policy, load_policy, trainable
from autocoa_bench.engines.tokenizer import prompt_ids
from autocoa_bench.episode import Event
from autocoa_bench.types import Completion, Generate, Record, Trajectory
from support.play import QUESTION, play
from support.tiny_llm import make_model, make_tokenizer

END = "<|im_end|>"
ANSWER = f"</think>\n\n\\boxed{{Anna}}{END}"
SEARCH = "I look.\n<begin_search> tower </end_search>"

GRPO = GRPOConfig(
    stage="grpo", model="", dtype="fp32", lora=None, batch=1, group=2, temperature=1.0, kl=0.0
)
KINDS = trained_kinds(GRPO)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(replace(GRPO, model=str(make_model(tmp_path / "model"))))[0]


def say(text: str, tokenizer: Any, logp: float = -1.0) -> Completion:
    """A completion by a sampler, which gave each of its tokens the same log-probability."""
    ids = tokenizer(text).input_ids
    ends = (end_of_turn(tokenizer),)
    return completion(ids, ends, Agent(shots=0).stop, 0, tokenizer, [logp] * len(ids))


def episode(texts: Sequence[str], tokenizer: Any) -> tuple[Trajectory, list[Event]]:
    return play(Agent(shots=0), [say(text, tokenizer) for text in texts])


def group(*rollouts: tuple[Trajectory, float]) -> Group:
    """Rollouts of a question with their advantages."""
    return [
        ScoredRollout(Record(QUESTION, i, each), each, Reward(0.0, 0.0, True, 0.0), advantage)
        for i, (each, advantage) in enumerate(rollouts)
    ]


def in_context(row: TokenRow) -> list[tuple[list[int], int]]:
    """The trained tokens of a row, each after all that precedes it."""
    ids = row.ids.tolist()
    return [(ids[:place], ids[place]) for place in row.mask.nonzero()[0].tolist()]


EPISODES = [
    [SEARCH, ANSWER],
    [f"{SEARCH}\n", ANSWER],  # the last token goes beyond the stop string
    [f"I do not know{END}", ANSWER],
    [f"I do not know{END}", f"I really do not{END}", f"Anna}}{END}"],
    ["It is here.\n<search_result>", SEARCH, ANSWER],
    [f"I look.\n<begin_search> tower{END}", ANSWER],  # the episode closes the search
    [END, END, "Anna} or Bert"],
    [SEARCH, "</think>\n\n\\boxed{Anna}\n<search_result>"],
]


@pytest.mark.parametrize("texts", EPISODES)
def test_every_sampled_token_is_learned_once_after_what_it_was_sampled_after(
    texts: list[str], tokenizer: Any
) -> None:
    trajectory, events = episode(texts, tokenizer)
    requests = [event for event in events if isinstance(event, Generate)]
    sampled = []
    for request, text in zip(requests, texts, strict=True):
        prompt = list(prompt_ids(request.prompt, tokenizer))
        ids = tokenizer(text).input_ids
        sampled += [([*prompt, *ids[:place]], token) for place, token in enumerate(ids)]
    rows = sampled_rows(trajectory, KINDS, tokenizer)
    assert sorted(pair for row in rows for pair in in_context(row)) == sorted(sampled)
    learned = [logp for row in rows if row.logps is not None for logp in row.logps[row.mask]]
    assert learned == [-1.0] * len(sampled)


def test_a_well_formed_episode_is_one_row(tokenizer: Any) -> None:
    trajectory, _ = episode([SEARCH, ANSWER], tokenizer)
    assert all(step.sampled_ids is None for step in trajectory.steps)
    assert len(sampled_rows(trajectory, KINDS, tokenizer)) == 1


def test_a_record_without_sampled_ids_is_learned_as_its_text(tokenizer: Any) -> None:
    trajectory, _ = episode([f"I do not know{END}", ANSWER], tokenizer)
    old = msgspec.json.decode(msgspec.json.encode(trajectory), type=dict)
    for step in old["steps"]:
        step.pop("sampled_ids", None)
        step.pop("logps", None)
    [row] = sampled_rows(msgspec.convert(old, Trajectory), KINDS, tokenizer)
    assert tokenizer.decode(row.ids[row.mask]) == "I do not know" + ANSWER


@pytest.mark.parametrize("culprit", [END, "<search_result>"])
def test_a_penalty_makes_the_token_that_broke_the_form_rarer(
    policy: Policy, tokenizer: Any, culprit: str
) -> None:
    broken = "I do not know" + culprit
    bad, events = episode([broken, ANSWER], tokenizer)
    good, _ = episode([SEARCH, ANSWER], tokenizer)
    assert isinstance(events[0], Generate)
    ids = torch.tensor([[*prompt_ids(events[0].prompt, tokenizer), *tokenizer(broken).input_ids]])
    mask = torch.zeros_like(ids, dtype=torch.bool)
    mask[0, -len(tokenizer(culprit).input_ids) :] = True
    # The rest of the episode is no reason: only what was said in the broken step is learned.
    bad = replace(bad, steps=bad.steps[:1])
    before = policy(ids, mask).sum().item()
    learner = Learner(GRPO, policy, tokenizer)
    learner.learn([group((bad, -0.5), (good, 0.5))])
    learner.optimizer.step(1e-3)
    assert policy(ids, mask).sum().item() < before - 0.01


AGGREGATES: list[Aggregate] = ["sum", "token-mean", "trajectory-mean", "constant"]


@pytest.mark.parametrize("how", AGGREGATES)
def test_a_step_has_the_hand_worked_loss_however_it_is_cut(
    policy: Policy, tokenizer: Any, how: Aggregate
) -> None:
    """On policy the loss of a token is minus its rollout's advantage."""
    broken = [f"I do not know{END}", f"I really do not{END}", f"Anna}}{END}"]
    texts = [[SEARCH, ANSWER], broken, [f"I know.\n{ANSWER}"], [ANSWER]]
    played = [episode(each, tokenizer)[0] for each in texts]
    one, two, three, four = [sum(len(tokenizer(t).input_ids) for t in each) for each in texts]
    # A group with advantages 0.75 and -0.25, and one of equal rewards, which only counts.
    groups = [group((played[0], 0.75), (played[1], -0.25)), group((played[2], 0), (played[3], 0))]
    expected = {
        "sum": (-0.75 * one + 0.25 * two) / 4,
        "token-mean": (-0.75 * one + 0.25 * two) / (one + two + three + four),
        "trajectory-mean": (-0.75 + 0.25) / 4,
        "constant": (-0.75 * one + 0.25 * two) / (4 * 8192),
    }
    norms = []
    for micro_tokens in (1, 1 << 20):
        config = replace(GRPO, aggregate=how, batch=2, micro_tokens=micro_tokens)
        learner = Learner(config, policy, tokenizer)
        sums = learner.learn(groups).sums
        assert sums["loss"] == pytest.approx(expected[how], rel=1e-5)
        assert sums["learned"] == one + two
        norms.append(learner.optimizer.step(0.0))
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_the_gradient_of_a_sum_is_that_of_the_papers_objective(
    policy: Policy, tokenizer: Any
) -> None:
    """Minus the mean over rollouts of advantage times log-probability (paper 3.3.2)."""
    played = [episode(texts, tokenizer)[0] for texts in ([SEARCH, ANSWER], [ANSWER])]
    objective = torch.zeros(())
    for trajectory, advantage in zip(played, (0.5, -0.5), strict=True):
        [row] = sampled_rows(trajectory, KINDS, tokenizer)
        logps = policy(torch.tensor(row.ids)[None].long(), torch.tensor(row.mask)[None])
        objective = objective - advantage * logps.sum() / 2
    weights = [weight for _, weight in trainable(policy)]
    grads = torch.autograd.grad(objective, weights, allow_unused=True)
    norm = math.sqrt(sum(float((grad**2).sum()) for grad in grads if grad is not None))
    learner = Learner(replace(GRPO, aggregate="sum"), policy, tokenizer)
    learner.learn([group((played[0], 0.5), (played[1], -0.5))])
    assert learner.optimizer.step(0.0) == pytest.approx(norm, rel=1e-4)


def test_without_a_divergence_there_is_no_reference(
    policy: Policy, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a pass of the reference")

    rollouts = [
        (episode(texts, tokenizer)[0], gain)
        for texts, gain in (([ANSWER], -1), ([SEARCH, ANSWER], 1))
    ]
    with_one = Learner(replace(GRPO, kl=0.1), policy, tokenizer)
    assert with_one.learn([group(*rollouts)]).sums["kl"] == pytest.approx(0, abs=1e-4)
    monkeypatch.setattr(module, "functional_call", refuse)
    learner = Learner(GRPO, policy, tokenizer)
    assert not learner.reference
    assert "kl" not in learner.learn([group(*rollouts)]).sums


@pytest.mark.parametrize("clip", [0.0, 2.0])
def test_a_token_that_the_sampler_gave_less_probability_counts_more_up_to_the_clip(
    policy: Policy, tokenizer: Any, clip: float
) -> None:
    """The sampler gave the first rollout's tokens a third of what the policy gives them, and the
    second's twice as much."""
    played = [episode(texts, tokenizer)[0] for texts in ([f"I know.\n{ANSWER}"], [ANSWER])]
    rollouts = []
    for trajectory, ratio, gain in zip(played, (3.0, 0.5), (1.0, -1.0), strict=True):
        [row] = sampled_rows(trajectory, KINDS, tokenizer)
        logps = policy(torch.tensor(row.ids)[None].long(), torch.tensor(row.mask)[None])
        told = tuple((logps - math.log(ratio)).tolist())
        steps = (replace(trajectory.steps[0], logps=told),)
        rollouts.append((replace(trajectory, steps=steps), gain))
    learned = Learner(replace(GRPO, ratio_clip=clip), policy, tokenizer).learn([group(*rollouts)])
    # Minus the gain times the weight of each rollout's tokens, averaged over the rollouts.
    expected = (-1 * 2.0 + 1 * 0.5) / 2 if clip else 0.0
    assert learned.sums["loss"] == pytest.approx(expected, abs=1e-4)
    counts = [len(trajectory.steps[0].token_ids or ()) for trajectory in played]
    deviation = 2.0 * counts[0] + 0.5 * counts[1]
    assert learned.sums["deviation"] == pytest.approx(deviation, rel=1e-4)
    assert learned.sums["ratios"] == sum(counts)
    assert learned.ratio_max == pytest.approx(3.0, rel=1e-4)
