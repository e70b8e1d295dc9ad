"""Table 1 at nano size: a base of a million weights, made here, over the nano world."""

from __future__ import annotations

from pathlib import Path

from agent_model.reproduction.steps import Step
from agent_model.reproduction.table1 import DATA, RECIPES, Scale, data_folder

_KNOWN = "nq@nano,triviaqa@nano"
_TOP_K = "2"
_PASSES = 120
_COUNTS = {"coa": 3000, "cot": 600, "cot+a": 1500}
_RL_STEPS = 48
_LIMIT = 100
_LEAST = 30  # questions a dataset: of fewer no difference would show


def scale(out: Path, seed: int, share: float) -> Scale:
    """The scale, whose base is made under `out`, with a share of the training and of the
    questions."""
    return Scale(
        name="nano",
        tasks="nano",
        known=_KNOWN,
        limit=max(_LEAST, round(_LIMIT * share)),
        counts={kind: max(1, round(count * share)) for kind, count in _COUNTS.items()},
        rl_steps=max(6, round(_RL_STEPS * share)),
        makes_base=(
            _blank(out, seed, max(1, round(_PASSES * share))),
            _pretrained(out, seed),
        ),
        synth=("--top-k", _TOP_K),
        run=(
            *("--engine", "transformers", "--top-k", _TOP_K, "--max-actions", "6"),
            *("--step-tokens", "96", "--context-tokens", "2048", "--concurrency", "32"),
        ),
    )


def _blank(out: Path, seed: int, passes: int) -> Step:
    folders = (word for kind in ("coa", "cot", "cot+a") for word in _with(data_folder(out, kind)))
    given = ("--passes", str(passes), "--seed", str(seed), "--out", str(out / "blank"))
    return Step("blank base", ("reproduce", "nano-base", *given, *folders), DATA)


def _with(folder: Path) -> tuple[str, str]:
    return "--data", str(folder)


def _pretrained(out: Path, seed: int) -> Step:
    changes = (f"model={out / 'blank' / 'model'}", f"data={[str(out / 'blank' / 'text.jsonl')]}")
    words = (word for change in (*changes, f"seed={seed}") for word in ("--set", change))
    given = ("--config", str(RECIPES / "nano" / "pretrain.toml"), "--out", str(out / "train/base"))
    return Step("train base", ("train", "pretrain", *given, *words), ("blank base",))
