"""The rows of Table 1 as commands: data synthesis, training of each variant, evaluation."""

import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console

from agent_model.reproduce.runner import Command, make_folder, run_commands
from agent_model.reproduce.scale import ScaleConfig
from autocoa_bench import report
from autocoa_bench.errors import UserError
from autocoa_bench.report.model import Report
from autocoa_bench.util.json_lines import write_errors

BASE = "base"
"""The name of the base model's folder, by which tables call it."""

FULL = "SFT-stage1&2&3"
"""The row of all supervised stages."""

MODEL_ONLY = "model-only"

UNTRAINED_ROWS = {MODEL_ONLY: "R1-Distill-Qwen-7B", "react": "R1-Distill-Qwen-7B (ReAct)"}
"""Solvers that use the base model as it is, with the paper's names of their rows."""

_SIMULATED = f"{FULL}+RL-stage1"
UNKNOWN = "unknown"
"""The name of the data on single facts that no model can know."""

OBSERVED = "observed"
"""The name of the data of which stage 3 learns the observations alone."""

_REPLAY = "data replay"
_STAGE_DATA = {"sft1": ("cot+a",), "sft2": ("coa", "cot"), "sft3": ("coa", "cot")}


class Variant(Struct, frozen=True):
    """A trained row of Table 1.

    `row` is its name in the paper, `stage` the stage that trains it, `start` the row whose model it
    starts from (empty: the base), `changes` are settings of the stage's recipe, and `solver` runs
    the trained model. `begins` names the row whose training is the beginning of this row's training
    (empty: none). Without `replay` it leaves out what its scale replays.
    """

    row: str
    stage: Literal["sft1", "sft2", "sft3", "grpo"]
    start: str = ""
    changes: tuple[str, ...] = ()
    solver: str = "agent"
    begins: str = ""
    replay: bool = True

    @property
    def name(self) -> str:
        """The name of the row's files."""
        return file_name(self.row)


class Experiment(NamedTuple):
    """Variants and the commands that train and evaluate them, each after those it needs."""

    variants: Sequence[Variant]
    commands: Sequence[Command]


def file_name(row: str) -> str:
    """A row's name in the names of files."""
    return row.replace("&", "-")


def variants(scale: ScaleConfig) -> tuple[Variant, ...]:
    """The trained rows (paper section 4.2), each after the row that it starts from.

    RL without SFT takes half as many steps more; of steps in two environments 5 of 6 are simulated.
    """
    steps = scale.rl_steps
    prompted = (f"max_steps={steps * 3 // 2}", f"solver={scale.prompted_solver}")
    rows = (
        Variant("SFT-stage1", "sft1"),
        Variant("SFT-stage2", "sft2"),
        Variant("SFT-stage1&2", "sft2", "SFT-stage1"),
        Variant(FULL, "sft3", "SFT-stage1&2"),
        Variant("RL-stage2", "grpo", "", prompted, scale.prompted_solver),
        simulated_variant(scale, _SIMULATED, steps),
        simulated_variant(scale, f"{FULL}+RL-stage1&2", steps * 5 // 6, _SIMULATED),
        Variant("SFT-stage1&2+RL-stage2", "grpo", "SFT-stage1&2", (f"max_steps={steps}",)),
    )
    return tuple(variant for variant in rows if not scale.rows or variant.row in scale.rows)


def simulated_variant(
    scale: ScaleConfig, row: str, simulated_steps: int, begins: str = ""
) -> Variant:
    """A row of RL after all SFT stages; its first steps are in the simulated environment."""
    changes = (f"max_steps={scale.rl_steps}", f"simulated_steps={simulated_steps}")
    return Variant(row, "grpo", FULL, changes, begins=begins)


def table_rows(scale: ScaleConfig) -> dict[str, str]:
    """The names of the run folders in the table's order, with the paper's names of their rows."""
    return UNTRAINED_ROWS | {variant.name: variant.row for variant in variants(scale)}


def variant_commands(scale: ScaleConfig, out: Path, seed: int, variant: Variant) -> list[Command]:
    """The training and the evaluations of a variant."""
    name = variant.name
    training = training_command(scale, out, seed, variant)
    runs = [evaluation_command(scale, out, seed, name, variant.solver, name, training.name)]
    if scale.closed_book:
        known, closed = replace(scale, tasks=scale.known_tasks), closed_book_run(name)
        runs.append(evaluation_command(known, out, seed, closed, MODEL_ONLY, name, training.name))
    return [training, *runs]


def experiment_after_sft(
    scale: ScaleConfig, out: Path, seed: int, after: Sequence[Variant]
) -> Experiment:
    """Variants that start from the row of all SFT stages, and what that row needs.

    Commands that Table 1 has too are the same, so that a folder of it is continued.
    """
    rows = {variant.row: variant for variant in variants(scale)}
    sequence = data_commands(scale, out, seed) + replay_commands(scale, out, seed)
    for row in ("SFT-stage1", "SFT-stage1&2", FULL):
        sequence.append(training_command(scale, out, seed, rows[row]))
    # A variant that begins as another one comes after it, for readers who type the commands.
    for variant in sorted(after, key=lambda variant: bool(variant.begins)):
        sequence += variant_commands(scale, out, seed, variant)
    return Experiment(
        tuple(dict.fromkeys((*rows.values(), *after))), tuple(dict.fromkeys(sequence))
    )


def closed_book_run(name: str) -> str:
    """The name of the run that asks a row's model for known facts without a search engine.

    Rows that use the base share the one of Table 1, which has the same questions and others.
    """
    return MODEL_ONLY if name in UNTRAINED_ROWS else f"{name}-closed"


def data_folder(out: Path, kind: str) -> Path:
    """The folder of one kind of data."""
    return out / "data" / kind.replace("+", "-")


def _replay_file(out: Path) -> Path:
    return out / "data" / "replay.jsonl"


def data_commands(scale: ScaleConfig, out: Path, seed: int) -> list[Command]:
    """The commands that synthesise the data of the supervised stages."""
    commands = []
    single = (scale.single_tasks,) if scale.single_tasks else ()
    kinds = {
        "coa": ("coa", scale.tasks),
        "cot": ("cot", ",".join((scale.known_tasks, *single))),
        "cot+a": ("cot+a", ",".join((scale.tasks, *single))),
        UNKNOWN: ("coa", scale.single_tasks),
        OBSERVED: ("coa", scale.observed_tasks),
    }
    for name, (kind, tasks) in kinds.items():
        if not tasks:
            continue
        options = ("--tasks", tasks, "--seed", str(seed), "--count", str(scale.counts[name]))
        search_options = scale.synth if kind != "cot" else ()
        folder = str(data_folder(out, name))
        arguments = ("synth", kind, *options, *search_options, "--out", folder)
        commands.append(Command(f"data {name}", arguments))
    return commands


def replay_commands(scale: ScaleConfig, out: Path, seed: int) -> list[Command]:
    """The command that writes what every stage replays, if the scale replays anything."""
    base = str(out / "models" / BASE)
    options = ("--base", base, "--seed", str(seed), "--out", str(_replay_file(out)))
    return [Command(_REPLAY, ("reproduce", "nano-replay", *options))] if scale.replay else []


def training_command(scale: ScaleConfig, out: Path, seed: int, variant: Variant) -> Command:
    """The training of a variant."""
    model = out / "models" / (file_name(variant.start) or BASE)
    changes = [f"model={model}", f"seed={seed}", *variant.changes]
    kinds = _STAGE_DATA.get(variant.stage, ())
    if "coa" in kinds and scale.single_tasks:
        kinds = (*kinds, UNKNOWN)
    observed = (OBSERVED,) if scale.observed_tasks and variant.stage == "sft3" else ()
    if kinds:
        changes.append(f"data={_data_files(out, variant.stage, kinds)}")
    if observed:
        changes.append(f"observations={_data_files(out, variant.stage, observed)}")
    replays = scale.replay and variant.replay
    if replays:
        changes.append(f"replay.data={[str(_replay_file(out))]}")
    if variant.begins:
        changes.append(f"begins={out / 'train' / file_name(variant.begins)}")
    recipe = scale.recipes / f"{variant.stage}.toml"
    earlier = (f"train {file_name(row)}" for row in (variant.start, variant.begins) if row)
    return Command(
        f"train {variant.name}",
        train_arguments(variant.stage, recipe, out / "train" / variant.name, changes),
        (
            *earlier,
            *(f"data {kind}" for kind in (*kinds, *observed)),
            *((_REPLAY,) if replays else ()),
        ),
    )


def _data_files(out: Path, stage: str, kinds: Sequence[str]) -> list[str]:
    file = "pairs.jsonl" if stage == "sft1" else "records.jsonl"
    return [str(data_folder(out, kind) / file) for kind in kinds]


def train_arguments(stage: str, recipe: Path, out: Path, changes: Sequence[str]) -> tuple[str, ...]:
    """The arguments of `autocoa-bench train` with a recipe and changes to it."""
    settings = (argument for change in changes for argument in ("--set", change))
    return ("train", stage, "--config", str(recipe), "--out", str(out), *settings)


def evaluation_command(
    scale: ScaleConfig, out: Path, seed: int, name: str, solver: str, model: str, *needs: str
) -> Command:
    options = ("--solver", solver, "--tasks", scale.tasks, "--limit", str(scale.limit))
    files = ("--model", str(out / "models" / model), "--out", str(out / "runs" / name))
    return Command(f"run {name}", ("run", *options, *scale.run, *files, "--seed", str(seed)), needs)


def model_links(rows: Sequence[Variant], out: Path, base: Path) -> dict[Path, Path]:
    """Symbolic links and their targets: `out/models/NAME`, so that tables call models by row.

    Raises UserError if `base` is not a model folder, or `out` was started from another base.
    """
    if not (base / "config.json").is_file():
        raise UserError(
            f"'{base}' is not a model folder in transformers' format (it has no config.json); give "
            "another --base, or none for the base that ships"
        )
    base_link = out / "models" / BASE
    if base_link.exists() and base_link.resolve() != base.resolve():
        raise UserError(
            f"'{out}' was started from the base '{base_link.resolve()}', not '{base}'; give "
            "another --out"
        )
    links = {base_link: base.resolve()}
    for variant in rows:
        links[out / "models" / variant.name] = Path("..") / "train" / variant.name / "model"
    return links


def link_models(rows: Sequence[Variant], out: Path, base: Path) -> None:
    """Create the missing links. Raises UserError as `model_links` does, or if a link fails."""
    links = model_links(rows, out, base)
    make_folder(out / "models")
    for link, target in links.items():
        if link.is_symlink():
            continue
        try:
            link.symlink_to(target)
        except OSError as error:
            raise UserError(
                f"cannot link '{link}' to '{target}': {error.strerror}; a folder that was copied "
                "with its links followed cannot be resumed"
            ) from None


def shell_script(experiment: Experiment, out: Path, base: Path) -> Iterator[str]:
    """An experiment as lines for a shell. Raises UserError as `model_links` does."""
    links = model_links(experiment.variants, out, base)
    yield shlex.join(("mkdir", "-p", str(out / "models")))
    for link, target in links.items():
        yield shlex.join(("ln", "-s", str(target), str(link)))
    for command in experiment.commands:
        yield command.line


def run_experiment(
    experiment: Experiment, out: Path, base: Path, jobs: int, console: Console
) -> str:
    """Run the commands that have not finished; return a sentence on the time they took.

    Raises UserError as `link_models` and `run_commands` do.
    """
    link_models(experiment.variants, out, base)
    start = time.monotonic()
    records = run_commands(experiment.commands, out, jobs, console)
    total = sum(record.seconds for record in records.values())
    return (
        f"{len(records)} commands took {total / 60:.0f} minutes in total; this call took "
        f"{(time.monotonic() - start) / 60:.0f}"
    )


def save_report(tables: Report, file: Path, console: Console) -> None:
    """Write a report as Markdown and print it. Raises UserError."""
    write_text(file, report.render(tables, "markdown"))
    report.print_terminal(tables, console)


def write_text(file: Path, text: str) -> None:
    """Write a file of results. Raises UserError."""
    with write_errors(file):
        file.write_text(text, encoding="utf-8")
