"""Rollouts beside transformers' generate(), and a step of GRPO beside TRL's GRPOTrainer.

Both play the same questions over the same search engine, as many episodes at once, at the same
temperature and limits. `generate()` is called as a plain loop over turns calls it: until every
episode has met a stop string, then again over all of its text with what was found. A step is then
taken on the very tokens that our rollouts wrote, with the same rewards, divergence and optimiser,
in which one rollout of each group is right: a group that teaches nothing, which we leave out,
would flatter us.

Core-seconds are the CPU time of processes of one thread each, which take turns; each warms up
first. In bf16 both step fp32 weights: we compute with rounded copies of them, TRL under autocast,
with batches as `train grpo --hand-over trl` sets them (one rollout).

    pip install trl
    python benchmarks/grpo_speed.py --model build/model
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import torch
import transformers
from tabulate import tabulate

from agent_model.rollout.environments import SearchClient
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler, Sampler, Slot, completion
from agent_model.tokens import end_of_turn
from agent_model.trainer_export.folder import tokens_of
from agent_model.trainer_export.write import export_recipe
from agent_model.training.config import GRPOConfig, LoraConfig
from agent_model.training.grpo import train
from agent_model.training.grpo.learner import Learner
from agent_model.training.grpo.reward import Reward
from agent_model.training.grpo.rollouts import Group, ScoredRollout
from agent_model.training.model import dtype_of, eval_mode, load_policy
from autocoa_bench.engines.tokenizer import prompt_ids
from autocoa_bench.episode import episode, n_actions
from autocoa_bench.types import Budget, Completion, Generate, Record, Trajectory

Figures = dict[str, float]
"""What one side of one round came to."""

_WARM = Budget(max_actions=1, context_tokens=4096, step_tokens=4, answer_tokens=4)
_WARM_TOKENS = 8


def main() -> None:
    """Print one table: rollouts, steps, and what shows that both did the same."""
    asked = _arguments()
    if asked.side:
        print(json.dumps(_SIDES[asked.side](_recipe(asked), Path(asked.records), asked.seed)))
        return
    sides = [side for side in _SIDES if side != "trl" or find_spec("trl")]
    rounds: list[dict[str, Figures]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(asked.rounds):
            records = Path(scratch) / f"{seed}.jsonl"
            rounds.append({side: _run(asked, side, records, seed) for side in sides})
    print(_table(rounds))
    if "trl" not in sides:
        print("\nTRL is left out: it is not installed")
    print(f"\n{_described(asked)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a transformers folder or a named model")
    parser.add_argument("--tasks", default="multihop", help="whose questions are played")
    parser.add_argument("--questions", type=int, default=3, help="how many of them")
    parser.add_argument("--learn", type=int, default=1, help="of these, that a step learns from")
    parser.add_argument("--group", type=int, default=5, help="rollouts of each question")
    parser.add_argument("--step-tokens", type=int, default=128, help="the most that a turn has")
    parser.add_argument("--dtype", choices=("auto", "bf16", "fp32"), default="auto")
    parser.add_argument("--lora", action="store_true", help="train an adapter, not all weights")
    parser.add_argument("--rounds", type=int, default=3)
    for hidden in ("--side", "--records"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(asked: argparse.Namespace, side: str, records: Path, seed: int) -> Figures:
    """One side of a round, in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
    command += ["--records", str(records), "--seed", str(seed)]
    alone = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TRL_EXPERIMENTAL_SILENCE": "1"}
    environment = {**os.environ, **alone}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    print(f"{side} {seed}: {figures}", file=sys.stderr)
    return figures


def _recipe(asked: argparse.Namespace) -> GRPOConfig:
    return GRPOConfig(
        stage="grpo",
        model=asked.model,
        lora=LoraConfig() if asked.lora else None,
        dtype=asked.dtype,
        tasks=asked.tasks,
        count=asked.questions,
        batch=min(asked.learn, asked.questions),
        group=asked.group,
        seats=asked.questions * asked.group,
        step_tokens=asked.step_tokens,
        context_tokens=4096,
        micro_tokens=4096,
    )


def _rollouts(recipe: GRPOConfig, records: Path, seed: int) -> Figures:
    """Our rollouts, which are kept for the steps to learn from."""
    policy, tokenizer = load_policy(recipe)

    def sampler() -> Sampler:
        return PolicySampler(policy, tokenizer, recipe.seats, recipe.temperature)

    with eval_mode(policy):
        figures, played = _played(recipe, sampler, seed)
    records.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in played))
    return figures


def _generate(recipe: GRPOConfig, _: Path, seed: int) -> Figures:
    """The same by generate(), with the attention that transformers takes by itself."""
    policy, tokenizer = load_policy(recipe)
    policy.inner.set_attn_implementation("sdpa")
    torch.manual_seed(seed)
    model = policy.model.eval()
    return _played(recipe, lambda: Turns(model, tokenizer, recipe), seed)[0]


class Turns:
    """A `Sampler` that calls generate() for all episodes' next turns at once, over all their text.

    Forced answers, which are shorter, wait until they are all that is left to ask for.
    """

    def __init__(self, model: Any, tokenizer: Any, recipe: GRPOConfig) -> None:
        self.slots = recipe.seats
        self._model = model
        self._tokenizer = tokenizer
        self._temperature = recipe.temperature
        self._end = end_of_turn(tokenizer)
        self._active: list[Slot] = []

    def acquire(self, rng: Random) -> Slot:
        self._active.append(Slot(rng))
        return self._active[-1]

    def release(self, slot: Slot) -> None:
        self._active.remove(slot)

    def submit(self, slot: Slot, request: Generate) -> None:
        slot.ids, slot.request = list(prompt_ids(request.prompt, self._tokenizer)), request

    def step(self) -> list[tuple[Slot, Completion]]:
        asked = [(slot, slot.request) for slot in self._active if slot.request]
        turns = [(slot, request) for slot, request in asked if not request.forced] or asked
        made = self._generated([slot.ids for slot, _ in turns], [each for _, each in turns])
        return [
            (slot, self._completion(ids, slot, request))
            for (slot, request), ids in zip(turns, made, strict=True)
        ]

    def _generated(
        self, prompts: Sequence[list[int]], requests: Sequence[Generate]
    ) -> list[list[int]]:
        """What generate() adds to each prompt, behind which it pads with the end of turn."""
        longest = max(map(len, prompts))
        gaps = [longest - len(ids) for ids in prompts]
        made = self._model.generate(
            input_ids=torch.tensor(
                [[self._end] * gap + ids for gap, ids in zip(gaps, prompts, strict=True)]
            ),
            attention_mask=torch.tensor([[0] * gap + [1] * (longest - gap) for gap in gaps]),
            max_new_tokens=max(each.max_tokens for each in requests),
            do_sample=True,
            temperature=self._temperature,
            top_k=0,
            top_p=1.0,
            stop_strings=sorted({stop for each in requests for stop in each.stop}) or None,
            tokenizer=self._tokenizer,
            eos_token_id=self._end,
            pad_token_id=self._end,
        )
        return [list(row) for row in made[:, longest:].tolist()]

    def _completion(self, ids: list[int], slot: Slot, request: Generate) -> Completion:
        ids = ids[: request.max_tokens]
        sampled = ids[: ids.index(self._end)] if self._end in ids else ids
        text = self._tokenizer.decode(sampled)
        if len(sampled) < len(ids) and not any(each in text for each in request.stop):
            sampled = [*sampled, self._end]
        return completion(sampled, (self._end,), request.stop, len(slot.ids), self._tokenizer)


def _played(
    recipe: GRPOConfig, sampler: Callable[[], Sampler], seed: int
) -> tuple[Figures, list[Record]]:
    """A step's episodes and what they cost."""
    scene = train.load_training(recipe, None)
    members = [(question, k) for question in scene.questions for k in range(recipe.group)]

    def rollouts(budget: Budget) -> list[Rollout]:
        return [
            Rollout(episode(question, scene.dialect, budget), Random(f"{seed}:{question.id}:{k}"))
            for question, k in members
        ]

    with SearchClient(scene.search) as finder:
        rollout(rollouts(_WARM)[:2], sampler(), finder)
        finder.clear()
        start = time.process_time()
        made = rollout(rollouts(scene.budget), sampler(), finder)
        seconds = time.process_time() - start
    records = [Record(*member, each) for member, each in zip(members, made, strict=True)]
    tokens = sum(map(_written, records))
    return {
        "rate": tokens / seconds,
        "played": seconds / len(made),
        "written": tokens / len(made),
        "read": (sum(map(_tokens, made)) - tokens) / len(made),
        "searches": sum(map(n_actions, made)) / len(made),
    }, records


def _written(record: Record) -> int:
    """How many tokens the policy sampled."""
    steps = record.trajectory.steps if record.trajectory else ()
    return sum(step.completion_tokens or 0 for step in steps)


def _tokens(trajectory: Trajectory) -> int:
    """The length of a trajectory."""
    last = trajectory.steps[-1]
    return (last.prompt_tokens or 0) + (last.completion_tokens or 0)


def _step(recipe: GRPOConfig, records: Path, _: int) -> Figures:
    """Our step of learning."""
    policy, tokenizer = load_policy(recipe)
    learner = Learner(recipe, policy, tokenizer)
    found = _read(records)[: recipe.batch * recipe.group]
    groups = _groups(found, recipe.group)
    learner.learn([groups[0][:1]])
    learner.optimizer.step(recipe.lr)
    start = time.process_time()
    learner.learn(groups)
    norm = learner.optimizer.step(recipe.lr)
    seconds = time.process_time() - start
    return {
        "seconds": seconds,
        "norm": norm,
        "tokens": sum(map(_written, found)),
        "rollouts": len(found),
    }


def _groups(records: Sequence[Record], size: int) -> list[Group]:
    """The rollouts by question, of which the first is right."""
    played = []
    for record in records:
        value = _earned(record)
        assert record.trajectory is not None
        reward = Reward(value, value, formed=True, outcome=value)
        played.append(ScoredRollout(record, record.trajectory, reward, value - 1 / size))
    return [played[i : i + size] for i in range(0, len(played), size)]


def _earned(record: Record) -> float:
    return float(record.sample == 0)


def _read(records: Path) -> list[Record]:
    return msgspec.json.Decoder(Record).decode_lines(records.read_bytes())


def _trl(recipe: GRPOConfig, records: Path, _: int) -> Figures:
    """TRL's second step, of a trainer that is given the tokens; the first has their beginnings."""
    from agent_model.trainer_export import trl

    spent: list[float] = []

    class Clock(transformers.TrainerCallback):  # type: ignore[misc, no-any-unimported, unused-ignore]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            spent.append(-time.process_time())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            spent[-1] += time.process_time()

    with tempfile.TemporaryDirectory() as folder:
        export_recipe(recipe, "trl", Path(folder))
        quiet = {"save_strategy": "no", "disable_tqdm": True}
        run = trl.trainer(Path(folder), max_steps=2, **quiet)
        run.add_callback(Clock())
        found = _read(records)[: recipe.batch * recipe.group]
        run.rollout_func = _replay(found, run.processing_class)
        run.reward_funcs = [lambda record, **_: list(map(_earned, record))]
        run.train()
    return {"seconds": spent[1], "norm": run.state.log_history[1]["grad_norm"]}


def _replay(records: Sequence[Record], tokenizer: Any) -> Callable[..., dict[str, Any]]:
    """A `rollout_func` that plays nothing."""
    tokens = [tokens_of(each.trajectory, tokenizer) for each in records if each.trajectory]

    def replay(_: Any, trainer: Any) -> dict[str, Any]:
        until = None if trainer.state.global_step else _WARM_TOKENS
        return {
            "prompt_ids": [each.prompt for each in tokens],
            "completion_ids": [each.response[:until] for each in tokens],
            "logprobs": None,
            "env_mask": [each.mask[:until] for each in tokens],
            "record": list(records),
        }

    return replay


_SIDES: dict[str, Callable[[GRPOConfig, Path, int], Figures]] = {
    "rollouts": _rollouts,
    "generate": _generate,
    "step": _step,
    "trl": _trl,
}


def _table(rounds: Sequence[dict[str, Figures]]) -> str:
    """What each came to, ours beside the other's, and the ratio: medians, with the range."""

    def row(what: str, digits: int, ours: list[float], theirs: list[float]) -> list[str]:
        pairs = zip(ours, theirs, strict=True)
        ratio = _spread([a / b for a, b in pairs], 2) if all(theirs) else "–"
        return [what, _spread(ours, digits), _spread(theirs, digits), ratio]

    def each(side: str, name: str) -> list[float]:
        return [one[side][name] for one in rounds]

    rows = [
        row(what, digits, each("rollouts", name), each("generate", name))
        for what, digits, name in (
            ("core-seconds to play a rollout, and with generate()", 2, "played"),
            ("tokens written a core-second, and generate()'s", 1, "rate"),
            ("tokens written an episode, and generate()'s", 0, "written"),
            ("tokens of prompt and results an episode, and generate()'s", 0, "read"),
            ("searches an episode, and generate()'s", 1, "searches"),
        )
    ]
    if "trl" in rounds[0]:
        tokens = each("step", "tokens")
        alone = each("step", "seconds"), each("trl", "seconds")
        rates = each("rollouts", "rate"), each("generate", "rate")
        whole = [
            [seconds + n / rate for seconds, n, rate in zip(side, tokens, played, strict=True)]
            for side, played in zip(alone, rates, strict=True)
        ]
        learned = [
            [seconds / n for seconds, n in zip(side, each("step", "rollouts"), strict=True)]
            for side in alone
        ]
        rows += [
            row("core-seconds to learn from a rollout, and TRL's", 2, *learned),
            row("core-seconds of a step without rollouts, and TRL's", 1, *alone),
            row("core-seconds of a step with rollouts, and TRL's with generate()'s", 1, *whole),
            row("norm of the gradient, and TRL's", 3, each("step", "norm"), each("trl", "norm")),
        ]
    return tabulate(
        rows, ["", "Ours", "Other", "Ours / other"], tablefmt="pipe", disable_numparse=True
    )


def _spread(values: Sequence[float], digits: int) -> str:
    """The median, and in brackets the range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _described(asked: argparse.Namespace) -> str:
    """What was measured, in a line."""
    dtype = str(dtype_of(asked.dtype)).removeprefix("torch.")
    learned = min(asked.learn, asked.questions)
    return (
        f"{Path(asked.model).name}, {'an adapter' if asked.lora else 'all weights'}, {dtype}; "
        f"{asked.questions} questions of {asked.tasks}, {asked.group} rollouts each, all at once, "
        f"turns of at most {asked.step_tokens} tokens; a step on {learned} of the questions; one "
        f"thread; median (range) of {asked.rounds} rounds; torch {torch.__version__}, transformers "
        f"{transformers.__version__}"
    )


if __name__ == "__main__":
    main()
