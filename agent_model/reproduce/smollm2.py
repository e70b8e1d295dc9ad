"""Table 1 with SmolLM2-135M-Instruct: the embedded model over the embedded world, all weights."""

from __future__ import annotations

from pathlib import Path

from agent_model.reproduce.table1 import ScaleConfig
from autocoa_bench.engines.weights import models

_KNOWN = "when-to-act"
_TOP_K = "1"
_COUNTS = {"coa": 600, "cot": 120, "cot+a": 160}
_RL_STEPS = 12
_LIMIT = 30
_LEAST = 2  # questions a dataset


def scale(share: float) -> ScaleConfig:
    """The scale, with a share of the reinforcement learning and of the questions."""
    return ScaleConfig(
        name="smollm2",
        base=base,
        tasks="singlehop,multihop",
        known=_KNOWN,
        limit=max(_LEAST, round(_LIMIT * share)),
        counts=_COUNTS,
        rl_steps=max(6, round(_RL_STEPS * share)),
        synth=("--top-k", _TOP_K),
        run=(
            *("--engine", "transformers", "--top-k", _TOP_K, "--step-tokens", "128"),
            *("--context-tokens", "4096", "--concurrency", "24"),
        ),
        shots="agent:shots=1",
        tables=("leaderboard", "actions", "paper"),
    )


def base() -> Path:
    """The embedded model's folder, unpacked once and kept."""
    from agent_model.training.model import checkpoint_of

    return Path(checkpoint_of(models.DEFAULT))
