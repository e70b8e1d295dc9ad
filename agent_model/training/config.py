"""Recipes: everything that decides a training run, read from TOML and checked key by key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.registry import unknown
from autocoa_bench.types import Budget

Stage = Literal["pretrain", "sft1", "sft2", "sft3"]
STAGES: tuple[Stage, ...] = get_args(Stage)
ALL_STAGES: tuple[str, ...] = (*STAGES, "grpo")


class LoraConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A low-rank adapter; `targets` are the names of the linear layers that get one."""

    rank: int = 16
    alpha: int = 32
    targets: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )


class EvalConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Episodes that the model in training plays: `count` questions of `tasks` every so many steps.

    No tasks: none. `corpus` empty: the tasks' own.
    """

    tasks: str = ""
    count: int = 8
    every: int = 100
    split: Literal["test", "train"] = "train"
    solver: str = "agent:shots=0"
    corpus: str = ""
    top_k: int = 3
    max_actions: int = 10
    step_tokens: int = 256
    context_tokens: int = 4096


class TrainingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every training run is told. Paths are relative to where the command runs.

    `model` is a folder in transformers' format, a Hub id, or a pulled model's name; `adapter` a
    PEFT folder to go on from, whose own form `lora` then is (and need not be given). `lora` None
    trains all weights. `micro_tokens` counts tokens, padding included, that one process computes
    at once (those that all rows begin with once, where they are computed once; their keys and
    values are still each row's). `warmup` is a share of the steps. `torch_threads` 0 leaves
    PyTorch's own choice.
    """

    model: str
    adapter: str = ""
    lora: LoraConfig | None = LoraConfig()
    dtype: Literal["auto", "bf16", "fp32"] = "auto"
    lr: float
    schedule: Literal["cosine", "constant"]
    warmup: float = 0.0
    max_steps: int = 0
    batch: int
    micro_tokens: int = 2048
    seed: int = 0
    checkpoint_every: int = 50
    live: EvalConfig = EvalConfig()
    torch_threads: int = 1
    gradient_checkpointing: bool = False


class SFTConfig(TrainingConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of a supervised stage.

    `held_out` is a share of the questions, or a file. `batch` is in trajectories (pairs) a step
    over all processes; examples of more than `max_tokens` are left out. `max_steps` 0 means
    `epochs`. `sharding` fsdp gives each process a slice of every weight, where none copies them
    to each.
    """

    stage: Stage
    data: tuple[str, ...]
    held_out: float | str = 0.02
    lr: float = 5e-5
    schedule: Literal["cosine", "constant"] = "cosine"
    epochs: float = 2.0
    batch: int = 32
    max_tokens: int = 8192
    alpha: float = 0.2
    eval_every: int = 50
    sharding: Literal["none", "fsdp"] = "none"


class GRPOConfig(TrainingConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of GRPO (paper 3.3; values that it gives are defaults).

    The first `simulated_steps` are in the simulated environment (RL-stage1), where the policy
    writes what its searches find, at most `result_tokens` each, and is trained on that as well
    where `learn_simulated` says so (the released code is not, the paper does not say); the others
    are in the real one (RL-stage2). `begins` is the folder of a run that is this one up to some
    step, of which what its checkpoints have is not computed again (`training.beginning`).

    A step draws `batch` questions over all processes and plays each `group` times, `seats`
    episodes at once in a process. `server` is the address of a vLLM server that writes the
    rollouts of an adapter (`rollout.server`); empty: the policy itself does, in process. `kl`
    weighs the divergence from the policy that the run started from; `by_std` is of
    `grpo.advantages`. `scorer` gives the reward (`autocoa-reward` is the released code's) and
    `format_penalty` what a rollout out of form costs (the paper names no figure). `count`
    questions of the tasks' train split are taken, from each as many, or all that it has, without
    those of `live`; `corpus` empty is the tasks' own. `patience` is of `rl_metrics.collapsed`.
    """

    stage: Literal["grpo"]
    tasks: str = "multihop"
    count: int = 4608
    corpus: str = ""
    search: str = "bm25"
    top_k: int = 3
    solver: str = "agent:shots=0"
    scorer: str = "em"
    format_penalty: float = 0.2
    group: int = 5
    temperature: float = 0.6
    kl: float = 1e-3
    by_std: bool = False
    max_actions: int = 10
    step_tokens: int = 2048
    context_tokens: int = 8192
    seats: int = 32
    server: str = ""
    patience: int = 10
    simulated_steps: int = 0
    begins: str = ""
    result_tokens: int = 1024
    learn_simulated: bool = False
    lr: float = 7e-7
    schedule: Literal["cosine", "constant"] = "constant"
    max_steps: int = 96
    batch: int = 48

    @property
    def budget(self) -> Budget:
        """An episode's limits."""
        return Budget(self.max_actions, self.context_tokens, self.step_tokens)


AnyConfig = TypeVar("AnyConfig", SFTConfig, GRPOConfig)

FREE = frozenset(
    {
        "begins",
        "checkpoint_every",
        "eval_every",
        "gradient_checkpointing",
        "live",
        "micro_tokens",
        "patience",
        "server",
        "sharding",
        "torch_threads",
    }
)
"""What may change when a run is resumed: none of it changes what is learned. Not among them are
GRPO's `seats`: in bf16 a token may depend on what else is sampled beside it. (What a `server`
samples is not repeated anyway.)"""

_STAGE_1: Mapping[str, Any] = {"lr": 5e-6, "batch": 16, "max_tokens": 6144}
"""Where stage 1's values differ from those of stages 2 and 3 (the released scripts')."""

_MANY = 2**31 - 1

_RANGES: Mapping[str, tuple[float, float]] = {
    "lr": (0.0, 100.0),
    "warmup": (0.0, 1.0),
    "epochs": (0.0, 1e6),
    "max_steps": (0, _MANY),
    "batch": (1, _MANY),
    "micro_tokens": (1, _MANY),
    "max_tokens": (8, _MANY),
    "alpha": (0.0, 1e6),
    "count": (1, _MANY),
    "top_k": (1, 100),
    "format_penalty": (0.0, 1e6),
    "group": (2, _MANY),
    "temperature": (1e-3, 100.0),
    "kl": (0.0, 1e6),
    "max_actions": (0, _MANY),
    "step_tokens": (1, _MANY),
    "context_tokens": (1024, _MANY),
    "seats": (1, _MANY),
    "patience": (0, _MANY),
    "simulated_steps": (0, _MANY),
    "result_tokens": (1, _MANY),
    "seed": (0, 2**32 - 1),
    "checkpoint_every": (1, _MANY),
    "eval_every": (1, _MANY),
    "torch_threads": (0, 4096),
    "lora.rank": (1, 4096),
    "lora.alpha": (1, _MANY),
    "live.count": (1, _MANY),
    "live.every": (1, _MANY),
    "live.top_k": (1, _MANY),
    "live.max_actions": (0, _MANY),
    "live.step_tokens": (1, _MANY),
    "live.context_tokens": (1, _MANY),
}


def as_resumed(before: AnyConfig, now: AnyConfig) -> AnyConfig:
    """A run's recipe with what may change as a resuming one has it.

    Questions that GRPO watches are not learned from, so that it has to watch the same.
    """
    free = {name: getattr(now, name) for name in FREE.intersection(now.__struct_fields__)}
    if isinstance(now, GRPOConfig):
        watched = {name: getattr(before.live, name) for name in ("tasks", "count", "split")}
        free["live"] = msgspec.structs.replace(now.live, **watched)
    return msgspec.structs.replace(before, **free)


def load_sft_config(path: Path, stage: Stage, changes: Sequence[str] = ()) -> SFTConfig:
    """The recipe of a file with `key=value` changes, checked against the stage that was asked for.

    Values left out are the paper's where it gives them. Raises UserError for anything that is
    unknown (with the nearest known name), of a wrong type or out of range.
    """
    found = _found(path, stage, changes)
    if stage == "sft1":
        found = {**_STAGE_1, **found}
    recipe = _checked(_convert(found, SFTConfig, str(path)), found, str(path))
    return _checked_data(recipe, str(path))


def load_grpo_config(path: Path, changes: Sequence[str] = ()) -> GRPOConfig:
    """Likewise, of GRPO."""
    found = _found(path, "grpo", changes)
    recipe = _checked(_convert(found, GRPOConfig, str(path)), found, str(path))
    if recipe.max_steps == 0:
        raise UserError(f"the recipe '{path}' trains no step: give max_steps")
    if recipe.simulated_steps > recipe.max_steps:
        raise UserError(
            f"the recipe '{path}' has simulated_steps = {recipe.simulated_steps}, of max_steps = "
            f"{recipe.max_steps}; it takes at most as many"
        )
    if recipe.server and recipe.lora is None:
        raise UserError(
            f"the recipe '{path}' has all weights learn, and a server is given adapters alone: "
            "give lora, or leave server out"
        )
    return recipe


def _found(path: Path, stage: str, changes: Sequence[str]) -> dict[str, Any]:
    """What a file and the changes say, of the stage that was asked for."""
    found = _read(path)
    for change in changes:
        _change(found, change)
    named = found.setdefault("stage", stage)
    if isinstance(named, str) and named not in ALL_STAGES:
        raise unknown("stage", named, list(ALL_STAGES))
    if named != stage:
        raise UserError(
            f"the recipe '{path}' is for stage '{named}', not '{stage}'; "
            f"run `autocoa-bench train {named}`, or give another --config"
        )
    return found


class AdapterInfo(Struct, frozen=True):
    """What a PEFT folder says of itself; `base` is the model it was made on, where it is named."""

    lora: LoraConfig
    base: str


class _PeftConfig(Struct):
    peft_type: Literal["LORA"]
    r: int
    lora_alpha: float
    target_modules: list[str] | str
    base_model_name_or_path: str | None = None


def read_adapter(folder: str) -> AdapterInfo:
    """The form of a PEFT folder's adapter. Raises UserError where it is no LoRA adapter."""
    file = Path(folder) / "adapter_config.json"
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_PeftConfig)
    except (OSError, *UNREADABLE) as error:
        raise UserError(
            f"'{folder}' is no LoRA adapter in PEFT's format ({error}); give the folder 'model' of "
            "a training run"
        ) from None
    named = found.target_modules
    targets = (named,) if isinstance(named, str) else tuple(sorted(named))
    alpha = int(found.lora_alpha)
    if alpha != found.lora_alpha:
        raise UserError(
            f"'{folder}' has lora_alpha = {found.lora_alpha}; adapters of a whole number are taken"
        )
    lora = LoraConfig(found.r, alpha, targets)
    return AdapterInfo(lora, found.base_model_name_or_path or "")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the recipe '{path}': {error.strerror}") from None
    except UNREADABLE as error:
        raise UserError(f"the recipe '{path}' is not TOML: {error}") from None


def _change(found: dict[str, Any], change: str) -> None:
    """Apply one `key=value`; dots reach into tables, and a bare word is a text."""
    name, equals, value = change.partition("=")
    if len(change.splitlines()) > 1:
        raise UserError(f"--set takes one key=value without a line break, not {change!r}")
    if not equals or not name.strip():
        raise UserError(f"--set takes key=value, not '{change}'")
    *tables, key = name.strip().split(".")
    for table in tables:
        found = found.setdefault(table, {})
        if not isinstance(found, dict):
            raise UserError(f"--set {change}: '{table}' is a value, not a table")
    try:
        found[key] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        found[key] = value
    except UNREADABLE as error:  # of more digits or brackets than anybody writes
        raise UserError(f"--set {name} takes no such value: {error}") from None


def _convert(found: dict[str, Any], into: type[AnyConfig], where: str) -> AnyConfig:
    if found.get("lora") is False:
        found = {**found, "lora": None}
    _known(found, into, "key of a recipe")
    for name, table in (("lora", LoraConfig), ("live", EvalConfig)):
        if isinstance(found.get(name), dict):
            _known(found[name], table, f"key of the recipe's table [{name}]")
    try:
        return msgspec.convert(found, into)
    except msgspec.ValidationError as error:
        raise UserError(f"the recipe '{where}' cannot be used: {error}") from None


def _known(found: Mapping[str, Any], into: type[Struct], what: str) -> None:
    for key in found:
        if key not in into.__struct_fields__:
            raise unknown(what, key, sorted(into.__struct_fields__))


def _checked(recipe: AnyConfig, found: Mapping[str, Any], where: str) -> AnyConfig:
    """A recipe whose numbers are in range, with its adapter's own form where it gives none."""
    if recipe.adapter and "lora" not in found:
        recipe = msgspec.structs.replace(recipe, lora=read_adapter(recipe.adapter).lora)
    for name, (least, most) in _RANGES.items():
        table, _, key = name.rpartition(".")
        holder = getattr(recipe, table) if table else recipe
        if key not in getattr(holder, "__struct_fields__", ()):
            continue
        if not least <= (value := getattr(holder, key)) <= most:
            reach = f"{least:g} or more" if most == _MANY else f"{least:g} to {most:.10g}"
            raise UserError(f"the recipe '{where}' has {name} = {value}; it takes {reach}")
    if recipe.adapter and recipe.lora is None:
        raise UserError(f"the recipe '{where}' goes on from an adapter, so lora cannot be false")
    return recipe


def _checked_data(recipe: SFTConfig, where: str) -> SFTConfig:
    if recipe.sharding == "fsdp" and recipe.live.tasks:
        raise UserError(
            f"the recipe '{where}' has live episodes, which no sharded model plays; leave out "
            "live.tasks, or sharding"
        )
    if not recipe.data:
        raise UserError(f"the recipe '{where}' names no file under 'data'")
    if recipe.max_steps == 0 and recipe.epochs == 0:
        raise UserError(f"the recipe '{where}' trains no step: give epochs or max_steps")
    if isinstance(recipe.held_out, float) and not 0 <= recipe.held_out < 1:
        raise UserError(
            f"the recipe '{where}' has held_out = {recipe.held_out}; it takes a share from 0 to "
            "below 1, or a file"
        )
    return recipe
