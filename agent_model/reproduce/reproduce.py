"""Reproduces Table 1: all steps, then the tables over their runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace
from rich.console import Console

from agent_model.reproduce import seeds, switch, table1
from agent_model.reproduce.steps import Command, make_folder, record_of, run_steps
from agent_model.reproduce.training_cost import real_calls, training_cost
from autocoa_bench import report
from autocoa_bench.errors import UserError
from autocoa_bench.report.model import Report
from autocoa_bench.report.page import page
from autocoa_bench.report.tables.claims import claims
from autocoa_bench.runs import scores


def reproduce(
    scale: table1.ScaleConfig, out: Path, base: Path, seed: int, jobs: int, console: Console
) -> None:
    """Run what is not done, at most `jobs` commands at once; write `out/table1.md` and `.html`.

    `base` is the folder of the model that everything starts from. Raises UserError where a command
    fails or `out` holds another reproduction.
    """
    table1.link_models(table1.variants(scale), out, base)
    took = _run(table1.steps(scale, out, seed), out, jobs, console)
    lines = table1.lines(scale, out)
    runs = [scores.load_scored(line.folder) for line in lines]
    beside = {line.folder.name: line.row for line in lines}
    made = report.build(runs, scale.tables, ["em"], paper_rows=beside)
    decided = claims(runs, "em", report.make_catalogue(runs), beside, real_calls(scale, [out]))
    shown = (made.tables[0], decided, *made.tables[1:], training_cost(scale, out))
    made = replace(made, tables=shown)
    _write(made, out / "table1.md")
    _write_text(out / "table1.html", page(made, runs))
    report.print_terminal(made, console)
    console.print(
        f"{took}. All of it: {out / 'table1.md'}, and table1.html with every trajectory",
        highlight=False,
    )


def reproduce_switch(
    scale: table1.ScaleConfig, out: Path, base: Path, seed: int, jobs: int, console: Console
) -> None:
    """Likewise for the curve over the switch of environments: `out/switch.md` and `.png`.

    `out` may be one of Table 1, whose commands are then not run again. Raises as `reproduce` does.
    """
    table1.link_models(switch.rows(scale), out, base)
    took = _run(switch.steps(scale, out, seed), out, jobs, console)
    found = switch.points(scale, [out])
    made = Report((switch.table(found, scale.rl_steps),), ())
    _write(made, out / "switch.md")
    switch.write_plot(found, scale.rl_steps, out / "switch.png")
    report.print_terminal(made, console)
    console.print(f"{took}. All of it: {out / 'switch.md'} and switch.png", highlight=False)


def over_seeds(scale: table1.ScaleConfig, outs: Sequence[Path], to: Path, console: Console) -> None:
    """Tables over complete reproductions in several folders: `to/seeds.md`.

    Where all of them have the curve over the switch too, that is in it, and in `to/switch.png`.
    Raises UserError where a folder lacks a row's run, or `to` cannot be written.
    """
    by_row = seeds.runs_by_row(scale, outs)
    runs = [run for found in by_row.values() for run in found]
    beside = {str(run.path): row for row, found in by_row.items() for run in found}
    calls = real_calls(scale, outs)
    decided = claims(runs, "em", report.make_catalogue(runs), beside, calls)
    # That rows differ in model and seed is what the tables are about.
    notes = tuple(note for note in decided.notes if not note.startswith("runs differ in "))
    tables = [seeds.table(by_row, outs), replace(decided, notes=notes)]
    make_folder(to)
    names = [each.name for each in switch.variants_by_switch(scale).values()]
    if all(record_of(f"run {name}", out) for out in outs for name in names):
        found = switch.points(scale, outs)
        tables.append(switch.table(found, scale.rl_steps))
        switch.write_plot(found, scale.rl_steps, to / "switch.png")
    made = Report(tuple(tables), ())
    _write(made, to / "seeds.md")
    report.print_terminal(made, console)
    console.print(f"All of it: {to / 'seeds.md'}", highlight=False)


def _run(steps: Sequence[Command], out: Path, jobs: int, console: Console) -> str:
    """Run the steps; what it took, in words."""
    start = time.monotonic()
    done = run_steps(steps, out, jobs, console)
    seconds = sum(each.seconds for each in done.values())
    return (
        f"{len(done)} commands took {seconds / 60:.0f} minutes, added up; this time "
        f"{(time.monotonic() - start) / 60:.0f}"
    )


def _write(made: Report, file: Path) -> None:
    _write_text(file, report.render(made, "markdown"))


def _write_text(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write '{file}': {error.strerror}; all that it is made of is kept, and the "
            "same command writes it"
        ) from None
