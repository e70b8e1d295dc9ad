"""The steps of Table 1: data, training of every variant, and an evaluation of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from agent_model.reproduce.steps import Command, make_folder
from autocoa_bench.errors import UserError

RECIPES = Path(__file__).parent
BASE = "base"
"""How tables call the model that everything starts from."""

FULL = "SFT-stage1&2&3"
"""The row of all supervised stages."""

_SIMULATED = f"{FULL}+RL-stage1"

_STAGE_DATA = {"sft1": ("cot+a",), "sft2": ("coa", "cot"), "sft3": ("coa", "cot")}


class ScaleConfig(Struct, frozen=True):
    """What Table 1 is reproduced with.

    `base` finds the folder of the model that everything starts from, unless another one is given;
    `counts` is how much data there is of each kind; `rl_steps` are of a variant in one environment;
    `limit` is the number of questions a dataset. `synth` and `run` are options of those commands;
    `shots` is the solver of a model that was not taught to act; `tables` are reported beside the
    claims (`acting` where questions are of known and unknown facts).
    """

    name: str
    base: Callable[[], Path]
    tasks: str
    known: str
    limit: int
    counts: dict[str, int]
    rl_steps: int
    synth: tuple[str, ...]
    run: tuple[str, ...]
    shots: str = "agent:shots=2"
    tables: tuple[str, ...] = ("leaderboard", "acting", "actions", "paper")


class Variant(Struct, frozen=True):
    """A trained row: its name in the paper, the stage that makes it, what it goes on from (empty:
    the base), the changes to the stage's recipe, what solves with it, and the row whose training
    is this one's up to a step (empty: none's)."""

    row: str
    stage: Literal["sft1", "sft2", "sft3", "grpo"]
    start: str = ""
    changes: tuple[str, ...] = ()
    solver: str = "agent"
    begins: str = ""

    @property
    def name(self) -> str:
        """As files are named."""
        return slug(self.row)


class TableRow(Struct, frozen=True):
    """A row of the table: the folder of its run, and the row of the paper that it is."""

    folder: Path
    row: str


UNTRAINED = {"model-only": "R1-Distill-Qwen-7B", "react": "R1-Distill-Qwen-7B (ReAct)"}
"""Solvers that play the base as it is, and the paper's rows of its base."""


def slug(row: str) -> str:
    """A row's name as a file's."""
    return row.replace("&", "-")


def variants(scale: ScaleConfig) -> tuple[Variant, ...]:
    """The eight rows that are trained (paper 4.2), each after what it goes on from.

    RL alone takes half as many steps again; of the steps in two environments 5 of 6 are simulated.
    """
    rl_steps = scale.rl_steps
    shown = f"solver={scale.shots}"
    return (
        Variant("SFT-stage1", "sft1"),
        Variant("SFT-stage2", "sft2"),
        Variant("SFT-stage1&2", "sft2", "SFT-stage1"),
        Variant(FULL, "sft3", "SFT-stage1&2"),
        Variant("RL-stage2", "grpo", "", (_steps(rl_steps * 3 // 2), shown), scale.shots),
        mixed(scale, _SIMULATED, rl_steps),
        mixed(scale, f"{FULL}+RL-stage1&2", rl_steps * 5 // 6, _SIMULATED),
        Variant("SFT-stage1&2+RL-stage2", "grpo", "SFT-stage1&2", (_steps(rl_steps),)),
    )


def mixed(scale: ScaleConfig, row: str, simulated: int, begins: str = "") -> Variant:
    """A row of RL after all SFT stages, its first `simulated` steps in that environment."""
    changes = (_steps(scale.rl_steps), f"simulated_steps={simulated}")
    return Variant(row, "grpo", FULL, changes, begins=begins)


def _steps(number: int) -> str:
    return f"max_steps={number}"


def lines(scale: ScaleConfig, out: Path) -> tuple[TableRow, ...]:
    """The rows in the table's order."""
    return (
        *(TableRow(out / "runs" / solver, row) for solver, row in UNTRAINED.items()),
        *(TableRow(out / "runs" / each.name, each.row) for each in variants(scale)),
    )


def steps(scale: ScaleConfig, out: Path, seed: int) -> list[Command]:
    """Every command, each after those that it needs; a row is evaluated once it is trained."""
    found = data_steps(scale, out, seed)
    found += [_played(scale, out, seed, solver, solver, BASE) for solver in UNTRAINED]
    return found + [step for each in variants(scale) for step in row_steps(scale, out, seed, each)]


def row_steps(scale: ScaleConfig, out: Path, seed: int, each: Variant) -> list[Command]:
    """A row's training and its evaluation."""
    training = trained(scale, out, seed, each)
    return [training, _played(scale, out, seed, each.name, each.solver, each.name, training)]


def data_folder(out: Path, kind: str) -> Path:
    """Where data of a kind lies."""
    return out / "data" / kind.replace("+", "-")


def data_steps(scale: ScaleConfig, out: Path, seed: int) -> list[Command]:
    """The commands that make the data of the supervised stages."""
    return list(_data(scale, out, seed))


def _data(scale: ScaleConfig, out: Path, seed: int) -> Iterator[Command]:
    tasks = {"coa": scale.tasks, "cot": scale.known, "cot+a": scale.tasks}
    for kind, asked in tasks.items():
        given = ("--tasks", asked, "--seed", str(seed), "--count", str(scale.counts[kind]))
        searching = () if kind == "cot" else scale.synth
        placed = ("--out", str(data_folder(out, kind)))
        yield Command(f"data {kind}", ("synth", kind, *given, *searching, *placed))


def trained(scale: ScaleConfig, out: Path, seed: int, each: Variant) -> Command:
    """A row's training."""
    folder = out / "train" / each.name
    recipe = RECIPES / scale.name / f"{each.stage}.toml"
    start = out / "models" / (slug(each.start) or BASE)
    given = [f"model={start}", f"seed={seed}", *each.changes]
    if each.stage != "grpo":
        given.append(f"data={_files(out, each.stage)}")
    if each.begins:
        given.append(f"begins={out / 'train' / slug(each.begins)}")
    changes = (word for change in given for word in ("--set", change))
    words = ("train", each.stage, "--config", str(recipe), "--out", str(folder), *changes)
    return Command(f"train {each.name}", words, _needs(each))


def _needs(each: Variant) -> tuple[str, ...]:
    started = tuple(f"train {slug(row)}" for row in (each.start, each.begins) if row)
    return started + tuple(f"data {kind}" for kind in _STAGE_DATA.get(each.stage, ()))


def links(rows: Sequence[Variant], out: Path, base: Path) -> dict[Path, Path]:
    """Folders of the rows' names, by which tables call their models (`out/models/NAME`), and what
    they stand for.

    Raises UserError where `base` is no model's folder, or another one was taken before.
    """
    if not (base / "config.json").is_file():
        raise UserError(
            f"'{base}' is no folder of a model in transformers' format (it has no config.json); "
            "give --base one, or leave it out for the base that ships"
        )
    taken = out / "models" / BASE
    if taken.exists() and taken.resolve() != base.resolve():
        raise UserError(
            f"'{out}' was begun from the base '{taken.resolve()}', not '{base}'; give another --out"
        )
    found = {taken: base.resolve()}
    for each in rows:
        found[out / "models" / each.name] = Path("..") / "train" / each.name / "model"
    return found


def link_models(rows: Sequence[Variant], out: Path, base: Path) -> None:
    """Make the links that are not there. Raises UserError as `links` does, and where it cannot."""
    found = links(rows, out, base)
    make_folder(out / "models")
    for link, target in found.items():
        if link.is_symlink():
            continue
        try:
            link.symlink_to(target)
        except OSError as error:
            raise UserError(
                f"cannot make '{link}' stand for '{target}': {error.strerror}; a folder that was "
                "copied with its links followed cannot be gone on from"
            ) from None


def _files(out: Path, stage: str) -> str:
    """The data of a supervised stage, as a recipe has it."""
    name = "pairs.jsonl" if stage == "sft1" else "records.jsonl"
    return str([str(data_folder(out, kind) / name) for kind in _STAGE_DATA[stage]])


def _played(
    scale: ScaleConfig, out: Path, seed: int, name: str, solver: str, model: str, *needs: Command
) -> Command:
    given = ("--solver", solver, "--tasks", scale.tasks, "--limit", str(scale.limit))
    files = ("--model", str(out / "models" / model), "--out", str(out / "runs" / name))
    words = ("run", *given, *scale.run, *files, "--seed", str(seed))
    return Command(f"run {name}", words, tuple(each.name for each in needs))
