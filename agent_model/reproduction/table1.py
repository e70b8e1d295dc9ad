"""The steps of Table 1: data, training of every variant, and an evaluation of every row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from agent_model.reproduction.steps import Step, make_folder
from autocoa_bench.errors import UserError

RECIPES = Path(__file__).parent
BASE = "base"
"""How tables call the model that everything starts from."""

_STAGE_DATA = {"sft1": ("cot+a",), "sft2": ("coa", "cot"), "sft3": ("coa", "cot")}


class Scale(Struct, frozen=True):
    """What Table 1 is reproduced with.

    `counts` is how much data there is of each kind; `rl_steps` are of a variant in one
    environment; `limit` is the number of questions a dataset. `synth` and `run` are options of
    those commands; `shots` is the solver of a model that was not taught to act.
    """

    name: str
    tasks: str
    known: str
    limit: int
    counts: dict[str, int]
    rl_steps: int
    synth: tuple[str, ...]
    run: tuple[str, ...]
    shots: str = "agent:shots=2"


class Variant(Struct, frozen=True):
    """A trained row: its name in the paper, the stage that makes it, what it goes on from (empty:
    the base), the changes to the stage's recipe, and what solves with it."""

    row: str
    stage: str
    start: str = ""
    changes: tuple[str, ...] = ()
    solver: str = "agent"

    @property
    def name(self) -> str:
        """As files are named."""
        return slug(self.row)


class Line(Struct, frozen=True):
    """A row of the table: the folder of its run, and the row of the paper that it is."""

    folder: Path
    row: str


UNTRAINED = {"model-only": "R1-Distill-Qwen-7B", "react": "R1-Distill-Qwen-7B (ReAct)"}
"""Solvers that play the base as it is, and the paper's rows of its base."""


def slug(row: str) -> str:
    """A row's name as a file's."""
    return row.replace("&", "-")


def variants(scale: Scale) -> tuple[Variant, ...]:
    """The eight rows that are trained (paper 4.2), each after what it goes on from.

    RL alone takes half as many steps again; of the steps in two environments 5 of 6 are simulated.
    """
    rl_steps = scale.rl_steps
    simulated = rl_steps * 5 // 6
    full = "SFT-stage1&2&3"
    shown = f"solver={scale.shots}"
    return (
        Variant("SFT-stage1", "sft1"),
        Variant("SFT-stage2", "sft2"),
        Variant("SFT-stage1&2", "sft2", "SFT-stage1"),
        Variant(full, "sft3", "SFT-stage1&2"),
        Variant("RL-stage2", "grpo", "", (_steps(rl_steps * 3 // 2), shown), scale.shots),
        Variant(f"{full}+RL-stage1", "grpo", full, (_steps(rl_steps), _simulated(rl_steps))),
        Variant(f"{full}+RL-stage1&2", "grpo", full, (_steps(rl_steps), _simulated(simulated))),
        Variant("SFT-stage1&2+RL-stage2", "grpo", "SFT-stage1&2", (_steps(rl_steps),)),
    )


def _steps(number: int) -> str:
    return f"max_steps={number}"


def _simulated(number: int) -> str:
    return f"simulated_steps={number}"


def lines(scale: Scale, out: Path) -> tuple[Line, ...]:
    """The rows in the table's order."""
    return (
        *(Line(out / "runs" / solver, row) for solver, row in UNTRAINED.items()),
        *(Line(out / "runs" / each.name, each.row) for each in variants(scale)),
    )


def steps(scale: Scale, out: Path, seed: int) -> list[Step]:
    """Every command, each after those that it needs."""
    return [
        *data_steps(scale, out, seed),
        *_training(scale, out, seed),
        *_evaluation(scale, out, seed),
    ]


def data_folder(out: Path, kind: str) -> Path:
    """Where data of a kind lies."""
    return out / "data" / kind.replace("+", "-")


def data_steps(scale: Scale, out: Path, seed: int) -> list[Step]:
    """The commands that make the data of the supervised stages."""
    return list(_data(scale, out, seed))


def _data(scale: Scale, out: Path, seed: int) -> Iterator[Step]:
    tasks = {"coa": scale.tasks, "cot": scale.known, "cot+a": scale.tasks}
    for kind, asked in tasks.items():
        given = ("--tasks", asked, "--seed", str(seed), "--count", str(scale.counts[kind]))
        searching = () if kind == "cot" else scale.synth
        placed = ("--out", str(data_folder(out, kind)))
        yield Step(f"data {kind}", ("synth", kind, *given, *searching, *placed))


def _training(scale: Scale, out: Path, seed: int) -> Iterator[Step]:
    made = {"": str(out / "models" / BASE)}
    for each in variants(scale):
        folder = out / "train" / each.name
        made[each.row] = str(out / "models" / each.name)
        recipe = RECIPES / scale.name / f"{each.stage}.toml"
        given = [f"model={made[each.start]}", f"seed={seed}", *each.changes]
        if each.stage != "grpo":
            given.append(f"data={_files(out, each.stage)}")
        changes = (word for change in given for word in ("--set", change))
        words = ("train", each.stage, "--config", str(recipe), "--out", str(folder), *changes)
        yield Step(f"train {each.name}", words, _needs(each))


def _needs(each: Variant) -> tuple[str, ...]:
    if each.start:
        return (f"train {slug(each.start)}",)
    return () if each.stage == "grpo" else tuple(f"data {kind}" for kind in _STAGE_DATA[each.stage])


def link_models(scale: Scale, out: Path, base: Path) -> None:
    """Give each model a folder of its own name, by which tables call it: `out/models/NAME`.

    Raises UserError where `base` is no model's folder, or another one was taken before.
    """
    if not (base / "config.json").is_file():
        raise UserError(
            f"'{base}' is no folder of a model in transformers' format (it has no config.json); "
            "give --base one, or leave it out for the base that ships"
        )
    make_folder(out / "models")
    taken = out / "models" / BASE
    if taken.is_symlink() and taken.resolve() != base.resolve():
        raise UserError(
            f"'{out}' was begun from the base '{taken.resolve()}', not '{base}'; give another --out"
        )
    targets = {each.name: Path("..") / "train" / each.name / "model" for each in variants(scale)}
    for name, target in {BASE: base.resolve(), **targets}.items():
        link = out / "models" / name
        if not link.is_symlink():
            link.symlink_to(target)


def _files(out: Path, stage: str) -> str:
    """The data of a supervised stage, as a recipe has it."""
    name = "pairs.jsonl" if stage == "sft1" else "records.jsonl"
    return str([str(data_folder(out, kind) / name) for kind in _STAGE_DATA[stage]])


def _evaluation(scale: Scale, out: Path, seed: int) -> Iterator[Step]:
    played: list[tuple[str, str, str, tuple[str, ...]]] = [
        (solver, solver, BASE, ()) for solver in UNTRAINED
    ]
    played += [
        (each.name, each.solver, each.name, (f"train {each.name}",)) for each in variants(scale)
    ]
    for name, solver, model, needs in played:
        given = ("--solver", solver, "--tasks", scale.tasks, "--limit", str(scale.limit))
        files = ("--model", str(out / "models" / model), "--out", str(out / "runs" / name))
        placed = (*files, "--seed", str(seed))
        yield Step(f"run {name}", ("run", *given, *scale.run, *placed), needs)
