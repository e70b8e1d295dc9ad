"""Reproduces Table 1: all steps, then the tables over their runs."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec.structs import replace
from rich.console import Console

from agent_model.reproduction import table1
from agent_model.reproduction.spent import spent
from agent_model.reproduction.steps import run_steps
from autocoa_bench import grading, report
from autocoa_bench.report.page import page

_TABLES = ("leaderboard", "claims", "acting", "actions", "paper")


def reproduce(
    scale: table1.Scale, out: Path, base: Path, seed: int, jobs: int, console: Console
) -> None:
    """Run what is not done, at most `jobs` commands at once; write `out/table1.md` and `.html`.

    `base` is the folder of the model that everything starts from. Raises UserError where a command
    fails or `out` holds another reproduction.
    """
    start = time.monotonic()
    table1.link_models(scale, out, base)
    done = run_steps(table1.steps(scale, out, seed), out, jobs, console)
    lines = table1.lines(scale, out)
    runs = [grading.load_scored(line.folder) for line in lines]
    beside = {line.folder.name: line.row for line in lines}
    made = report.build(runs, _TABLES, ["em"], beside=beside)
    made = replace(made, tables=(*made.tables, spent(scale, out)))
    seconds = sum(each.seconds for each in done.values())
    (out / "table1.md").write_text(report.render(made, "markdown"), encoding="utf-8")
    (out / "table1.html").write_text(page(made, runs), encoding="utf-8")
    report.print_terminal(made, console)
    console.print(
        f"{len(done)} commands took {seconds / 60:.0f} minutes, added up; this time "
        f"{(time.monotonic() - start) / 60:.0f}. All of it: {out / 'table1.md'}, and table1.html "
        "with every trajectory",
        highlight=False,
    )
