"""Recipes: all settings of a training run, read from TOML and checked key by key."""

import re
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.registry import unknown
from autocoa_bench.types import Budget
from autocoa_bench.util.commands import command_line
from autocoa_bench.util.files import read_limited

Stage = Literal["pretrain", "sft1", "sft2", "sft3"]
STAGES: tuple[Stage, ...] = get_args(Stage)
ALL_STAGES: tuple[str, ...] = (*STAGES, "grpo")

_LIMIT = 2**31 - 1
Positive = Annotated[int, Meta(ge=1, le=_LIMIT)]
NotNegative = Annotated[int, Meta(ge=0, le=_LIMIT)]
Weight = Annotated[float, Meta(ge=0, le=1e6)]
Rate = Annotated[float, Meta(ge=0, le=100)]
Share = Annotated[float, Meta(ge=0, le=1)]
Temperature = Annotated[float, Meta(ge=0, le=100)]
Schedule = Literal["cosine", "constant"]
Aggregate = Literal["sum", "token-mean", "trajectory-mean", "constant"]


class LoraConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A low-rank adapter; `targets` are the names of the linear layers that get one."""

    rank: Annotated[int, Meta(ge=1, le=4096)] = 16
    alpha: Positive = 32
    targets: tuple[str, ...] = (
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    )


class EvalConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[live]`: the model in training answers `count` questions before the first step,
    every `every` steps and after the last one.

    Without `tasks` there is no such evaluation. An empty `corpus` means the tasks' own. With `best`
    the result of the run is the model whose evaluation had the highest exact match, and not the
    last one. With `closed_book` the questions on known facts (`Question.kind`) are also asked of
    the model without a search engine.
    """

    tasks: str = ""
    count: Positive = 8
    every: Positive = 100
    split: Literal["test", "train"] = "train"
    solver: str = "agent:shots=0"
    corpus: str = ""
    top_k: Positive = 3
    max_actions: NotNegative = 10
    step_tokens: Positive = 256
    context_tokens: Positive = 4096
    best: bool = False
    closed_book: bool = False


class ReplayConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[replay]`: examples that every step learns beside its own, against forgetting.

    `data` are files of texts or of trajectories, of which a step takes `batch` over all processes;
    without any there is no replay. Their mean negative log-likelihood per trained token is added to
    the loss of the step, times `weight`. The paper mixes in trajectories without searches (3.2.1).
    """

    data: tuple[str, ...] = ()
    batch: Positive = 4
    weight: Weight = 1.0


class SimulationConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[simulation]`: how the policy writes search results in the simulated environment.

    `temperature` is that of the results alone; 0 writes the likeliest ones. Before the first step
    the policy imagines `gate_count` facts of the questions' gold chains (all of them with
    `held_facts`), and the run stops if the share of true ones is below `min_fidelity` (0 disables
    the check). With `held_facts` simulated steps use only questions all of whose facts were true.
    For details see `grpo.world_model`.
    """

    temperature: Temperature = 0.0
    min_fidelity: Share = 0.0
    gate_count: Positive = 200
    held_facts: bool = False


class RewardConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[reward]`: what is added to or taken from the score of a rollout.

    A malformed rollout earns `malformed_share` of its score, less `format_penalty`. An answer that
    had to be forced costs more: `exhausted` if the searches or the context were used up,
    `no_answer` if the steps held neither a search nor an answer. If the share is not 0, it must
    cover the penalty and either cost, so that a right answer out of form never earns less than a
    wrong one in form.

    `per_search` is the price of a search: of every one, or with `price_on` "known" only of searches
    for known questions. With `must_search` "always", or "needed" (for questions that need a
    search), a rollout without a search is malformed and its score does not count; with "hops" so is
    one with fewer searches than the gold chain of a question that needs any has hops. `evidence`
    weights the share of gold hops that the search results state, where a search is needed.

    A search is needed unless the question is known. `known` is the scores.jsonl of a run without
    searches: a question of it is known if its mean score is at least `min_accuracy`. Of other
    questions, the dataset's kind tells (`tasks.needs_search`).
    """

    malformed_share: Share = 0.0
    no_answer: Weight = 0.0
    exhausted: Weight = 0.0
    per_search: Weight = 0.0
    price_on: Literal["all", "known"] = "all"
    must_search: Literal["never", "needed", "hops", "always"] = "never"
    evidence: Weight = 0.0
    known: str = ""
    min_accuracy: Share = 0.5


class GroupsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[groups]`: the questions of a step, and which of their groups are learned from.

    `skip_form_only` leaves out groups whose rewards would be equal if all their rollouts were
    well-formed; with `by_std` they weigh as much as groups with right and wrong answers.
    `informative` is the share of a step's questions that are drawn again from those whose last
    group had different scores, in proportion to their variance, which is greatest where half are
    right. As long as there are too few, new questions take their places.
    """

    skip_form_only: bool = False
    informative: Share = 0.0


class TrainingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings common to all training runs. Paths are relative to the working directory.

    `model` is a folder in transformers' format, a Hub id, or the name of a pulled model. `adapter`
    is a PEFT folder to continue from, whose shape `lora` then has by default. `lora` None trains
    all weights. `micro_tokens` limits the tokens, padding included, that a process computes at
    once; a prefix that rows share counts once where it is computed once. `warmup` is a share of
    the steps. `torch_threads` 0 leaves the number to PyTorch.
    """

    model: str
    adapter: str = ""
    lora: LoraConfig | None = LoraConfig()
    dtype: Literal["auto", "bf16", "fp32"] = "auto"
    lr: Rate
    schedule: Schedule
    warmup: Annotated[float, Meta(ge=0, le=1)] = 0.0
    max_steps: NotNegative = 0
    batch: Positive
    micro_tokens: Positive = 2048
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    checkpoint_every: Positive = 50
    live: EvalConfig = EvalConfig()
    replay: ReplayConfig = ReplayConfig()
    torch_threads: Annotated[int, Meta(ge=0, le=4096)] = 1
    gradient_checkpointing: bool = False


class SFTConfig(TrainingConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of a supervised stage.

    `observations` are files of trajectories of which stage 3 learns the observations alone: facts
    for the simulated environment, without examples of when to search for them. `held_out` is a
    share of the questions of `data`, or a file. `batch` is the number of trajectories (pairs) per
    step over all processes; examples longer than `max_tokens` are dropped. `max_steps` 0 means
    `epochs`. `aggregate` makes one loss of those of tokens (`losses.aggregate`): "token-mean" is
    the released code's, "trajectory-mean" the paper's (3.2.3), "constant" divides by `max_tokens`;
    stage 1 has a loss per pair. `sharding` fsdp shards every weight over the processes, none copies
    all to each.
    """

    stage: Stage
    data: tuple[str, ...]
    observations: tuple[str, ...] = ()
    held_out: Annotated[float, Meta(ge=0, lt=1)] | str = 0.02
    lr: Rate = 5e-5
    schedule: Schedule = "cosine"
    epochs: Weight = 2.0
    batch: Positive = 32
    max_tokens: Annotated[int, Meta(ge=8, le=_LIMIT)] = 8192
    alpha: Weight = 0.2
    aggregate: Aggregate = "token-mean"
    eval_every: Positive = 50
    sharding: Literal["none", "fsdp"] = "none"


class GRPOConfig(TrainingConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of GRPO (paper 3.3); the defaults are the paper's values where it gives them.

    The first `simulated_steps` use the simulated environment (RL-stage1), in which the policy
    writes the search results, at most `result_tokens` each; `learn_simulated` trains on them too
    (the released code does not, the paper is silent). The other steps use the real environment
    (RL-stage2). `begins` is the folder of a run with the same first steps, whose checkpoint and
    logs are taken over (`grpo.warm_start`).

    A step takes `batch` questions over all processes and samples `group` rollouts of each, at most
    `seats` at once in a process. `server` is the address of a vLLM server that samples the rollouts
    of an adapter (`rollout.server`); if empty, the policy does so in process. `kl` weights the
    divergence from the initial policy, of which 0 keeps no copy; for `by_std` see
    `grpo.objective.advantages`. `aggregate` makes one loss of those of tokens
    (`losses.aggregate`): "sum" is the paper's (3.3.2), "token-mean" the released code's, and
    "constant" divides by `context_tokens`. `ratio_clip` is the greatest weight of a token that
    the sampler gave less probability than the learner (`grpo.objective.truncated`); 0 is off.
    `scorer` gives
    the reward (`autocoa-reward` is the released code's), and `format_penalty` is the cost of a
    malformed rollout (the paper names no value). Up to `count` questions of the tasks' train split
    are used, equally many of each task, without those of `live`. An empty `corpus` means the
    tasks' own. For `patience` see `grpo.metrics.collapse`, and for `stop_on_fall` `grpo.guard`.
    """

    stage: Literal["grpo"]
    tasks: str = "multihop"
    count: Positive = 4608
    corpus: str = ""
    search: str = "bm25"
    top_k: Annotated[int, Meta(ge=1, le=100)] = 3
    solver: str = "agent:shots=0"
    scorer: str = "em"
    format_penalty: Weight = 0.2
    group: Annotated[int, Meta(ge=2, le=_LIMIT)] = 5
    temperature: Annotated[float, Meta(ge=1e-3, le=100)] = 0.6
    kl: Weight = 1e-3
    by_std: bool = False
    aggregate: Aggregate = "trajectory-mean"
    ratio_clip: Weight = 0.0
    max_actions: NotNegative = 10
    step_tokens: Positive = 2048
    context_tokens: Annotated[int, Meta(ge=1024, le=_LIMIT)] = 8192
    seats: Positive = 32
    server: str = ""
    patience: NotNegative = 10
    stop_on_fall: bool = True
    simulated_steps: NotNegative = 0
    begins: str = ""
    result_tokens: Positive = 1024
    learn_simulated: bool = False
    simulation: SimulationConfig = SimulationConfig()
    reward: RewardConfig = RewardConfig()
    groups: GroupsConfig = GroupsConfig()
    lr: Rate = 7e-7
    schedule: Schedule = "constant"
    max_steps: NotNegative = 96
    batch: Positive = 48


def episode_budget(config: EvalConfig | GRPOConfig) -> Budget:
    """The limits of an episode."""
    return Budget(config.max_actions, config.context_tokens, config.step_tokens)


_TABLES: Mapping[str, type[Struct]] = {
    "lora": LoraConfig,
    "live": EvalConfig,
    "replay": ReplayConfig,
    "simulation": SimulationConfig,
    "reward": RewardConfig,
    "groups": GroupsConfig,
}

AnyConfig = TypeVar("AnyConfig", bound=TrainingConfig)

CHANGEABLE = frozenset(
    (
        *("begins", "checkpoint_every", "eval_every", "gradient_checkpointing", "live"),
        *("micro_tokens", "patience", "server", "sharding", "stop_on_fall", "torch_threads"),
    )
)
"""Keys that may change when a run is resumed, because they do not affect what is learned. GRPO's
`seats` is not among them: in bf16 a token may depend on what else is sampled in the same batch."""

_SFT1_DEFAULTS: Mapping[str, Any] = {"lr": 5e-6, "batch": 16, "max_tokens": 6144}
"""Stage 1's defaults that differ from those of stages 2 and 3 (the released scripts')."""


def as_resumed(old: AnyConfig, new: AnyConfig) -> AnyConfig:
    """The config `old` of a run with the keys that may change taken from `new`.

    GRPO's evaluation questions are left out of training, and its evaluations are compared with one
    another, so only their times may change.
    """
    changes = {name: getattr(new, name) for name in CHANGEABLE & set(new.__struct_fields__)}
    if isinstance(new, GRPOConfig):
        free = {name: getattr(new.live, name) for name in ("every", "best", "closed_book")}
        changes["live"] = msgspec.structs.replace(old.live, **free)
    return msgspec.structs.replace(old, **changes)


def load_sft_config(path: Path, stage: Stage, changes: Sequence[str] = ()) -> SFTConfig:
    """Read a recipe, apply `key=value` changes and check it for a stage.

    Missing values are the paper's where it gives them. Raises UserError for anything that is
    unknown (with the nearest known name), of a wrong type or out of range.
    """
    values = _read_values(path, stage, changes)
    if stage == "sft1":
        values = {**_SFT1_DEFAULTS, **values}
    config = _convert(values, SFTConfig, path)
    _check(config, path)
    if config.sharding == "fsdp" and config.live.tasks:
        raise UserError(
            f"the recipe '{path}' has both sharding = 'fsdp' and live.tasks, but a sharded model "
            "cannot run episodes; leave one of them out"
        )
    if not config.data:
        raise UserError(f"the recipe '{path}' names no file under 'data'")
    if config.observations and stage != "sft3":
        raise UserError(
            f"the recipe '{path}' of {stage} names files under 'observations', which only stage 3 "
            "learns; leave them out"
        )
    if config.max_steps == 0 and config.epochs == 0:
        raise UserError(f"the recipe '{path}' trains for 0 steps; give epochs or max_steps")
    return config


def load_grpo_config(path: Path, changes: Sequence[str] = ()) -> GRPOConfig:
    """Read a recipe of GRPO, as `load_sft_config` does."""
    config = _convert(_read_values(path, "grpo", changes), GRPOConfig, path)
    _check(config, path)
    if config.max_steps == 0:
        raise UserError(f"the recipe '{path}' trains for 0 steps; give max_steps")
    if config.simulated_steps > config.max_steps:
        raise UserError(
            f"the recipe '{path}' has simulated_steps = {config.simulated_steps}, which is more "
            f"than its max_steps = {config.max_steps}"
        )
    if config.learn_simulated and config.simulated_steps and not config.simulation.temperature:
        raise UserError(
            f"the recipe '{path}' has learn_simulated, but results at simulation.temperature = 0 "
            "are not sampled, so they have no policy gradient; give a higher temperature, or leave "
            "learn_simulated out"
        )
    if config.server and config.lora is None:
        raise UserError(
            f"the recipe '{path}' trains all weights, but a server takes only adapters; give lora, "
            "or leave server out"
        )
    terms = config.reward
    costs = config.format_penalty + max(terms.exhausted, terms.no_answer)
    if 0 < terms.malformed_share < costs:
        raise UserError(
            f"the recipe '{path}' has reward.malformed_share = {terms.malformed_share}, so a right "
            f"answer out of form could earn less than a wrong one in form; give at least {costs:g} "
            "(format_penalty and the larger of exhausted and no_answer), or 0"
        )
    return config


def _check(config: TrainingConfig, path: Path) -> None:
    """Refuse settings of tables that contradict one another. Raises UserError."""
    if config.live.best and not config.live.tasks:
        raise UserError(
            f"the recipe '{path}' has live.best, but no evaluation to choose a model by; give "
            "live.tasks, or leave live.best out"
        )


class _PeftConfig(Struct):
    peft_type: Literal["LORA"]
    r: int
    lora_alpha: float
    target_modules: list[str] | str
    base_model_name_or_path: str | None = None


def read_adapter(folder: str) -> tuple[LoraConfig, str]:
    """The shape of a PEFT folder's adapter, and its base model, empty if the folder names none.

    Raises UserError if it is not a LoRA adapter.
    """
    file = Path(folder) / "adapter_config.json"
    try:
        info = msgspec.json.decode(read_limited(file), type=_PeftConfig)
    except (OSError, *UNREADABLE) as error:
        raise UserError(
            f"'{folder}' is not a LoRA adapter in PEFT's format ({error}); give the folder 'model' "
            "of a training run"
        ) from None
    modules = info.target_modules
    targets = (modules,) if isinstance(modules, str) else tuple(sorted(modules))
    alpha = int(info.lora_alpha)
    if alpha != info.lora_alpha:
        raise UserError(
            f"the adapter '{folder}' has lora_alpha = {info.lora_alpha}; it must be a whole number"
        )
    return LoraConfig(info.r, alpha, targets), info.base_model_name_or_path or ""


def _read_values(path: Path, stage: str, changes: Sequence[str]) -> dict[str, Any]:
    """The values of a file with changes applied, if they are for the given stage."""
    try:
        values = tomllib.loads(read_limited(path, 1 << 20).decode())
    except OSError as error:
        raise UserError(f"cannot read the recipe '{path}': {error.strerror}") from None
    except UNREADABLE as error:
        raise UserError(f"the recipe '{path}' is not TOML: {error}") from None
    for change in changes:
        _apply(values, change)
    named = values.setdefault("stage", stage)
    if isinstance(named, str) and named not in ALL_STAGES:
        raise unknown("stage", named, list(ALL_STAGES))
    if named != stage:
        raise UserError(
            f"the recipe '{path}' is for stage '{named}', not '{stage}'; "
            f"run `{command_line('train', str(named))}`, or give another --config"
        )
    return values


def _apply(values: dict[str, Any], change: str) -> None:
    """Apply one `key=value`; dots reach into tables, and a bare word is a string."""
    name, equals, value = change.partition("=")
    if len(change.splitlines()) > 1:
        raise UserError(f"--set takes one key=value without a line break, not {change!r}")
    if not equals or not name.strip():
        raise UserError(f"--set takes key=value, not '{change}'")
    *tables, key = name.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise UserError(f"--set {change}: '{table}' is a value, not a table")
    try:
        values[key] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        values[key] = value
    except UNREADABLE as error:  # far more digits or brackets than any real value has
        raise UserError(f"--set {name} does not accept this value: {error}") from None


def _convert(values: dict[str, Any], kind: type[AnyConfig], path: Path) -> AnyConfig:
    """Checked values as a config; an adapter's own shape is the default of `lora`."""
    if values.get("lora") is False:
        values = {**values, "lora": None}
    _refuse_unknown(values, kind, "key of a recipe")
    for name, table in _TABLES.items():
        if name in kind.__struct_fields__ and isinstance(values.get(name), dict):
            _refuse_unknown(values[name], table, f"key of the recipe's table [{name}]")
    try:
        config = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"the recipe '{path}' {_problem(values, str(error))}") from None
    if config.adapter and "lora" not in values:
        config = msgspec.structs.replace(config, lora=read_adapter(config.adapter)[0])
    if config.adapter and config.lora is None:
        raise UserError(f"the recipe '{path}' continues from an adapter, so lora cannot be false")
    return config


def _problem(values: Mapping[str, Any], error: str) -> str:
    """A validation error with the key and value it is about: msgspec names only the key."""
    match = re.fullmatch(r"(.*) - at `\$\.([\w.]+).*`", error)
    if match is None:
        return f"cannot be used: {error}"
    value: Any = values
    for key in match[2].split("."):
        value = value[key]
    text = textwrap.shorten(repr(value), 60)
    return f"has {match[2]} = {text}: {match[1][0].lower()}{match[1][1:]}"


def _refuse_unknown(values: Mapping[str, Any], kind: type[Struct], label: str) -> None:
    for key in values:
        if key not in kind.__struct_fields__:
            raise unknown(label, key, sorted(kind.__struct_fields__))
