"""Reproduces Table 1: runs all commands, then reports on their runs."""

from pathlib import Path

from msgspec.structs import replace
from rich.console import Console

from agent_model.reproduce import commands
from agent_model.reproduce.known_facts import known_facts, runs_of_rows
from agent_model.reproduce.scale import ScaleConfig
from agent_model.reproduce.training_cost import real_searches, training_cost
from autocoa_bench import report
from autocoa_bench.report.entries import make_inputs
from autocoa_bench.report.page import page
from autocoa_bench.report.tables.claims import claims
from autocoa_bench.runs import scores


def table1_experiment(scale: ScaleConfig, out: Path, seed: int) -> commands.Experiment:
    """The commands of Table 1: data, then training and evaluation of every row."""
    steps = commands.data_commands(scale, out, seed)
    steps += commands.replay_commands(scale, out, seed)
    steps += [
        commands.evaluation_command(scale, out, seed, name, name, commands.BASE)
        for name in commands.UNTRAINED_ROWS
    ]
    rows = commands.variants(scale)
    for variant in rows:
        steps += commands.variant_commands(scale, out, seed, variant)
    return commands.Experiment(rows, steps)


def reproduce_table1(
    scale: ScaleConfig, out: Path, base: Path, seed: int, jobs: int, console: Console
) -> None:
    """Run what has not finished, `jobs` commands at once; write `out/table1.md` and `table1.html`.

    `base` is the folder of the model that everything starts from. Raises UserError if a command
    fails or `out` holds another reproduction.
    """
    experiment = table1_experiment(scale, out, seed)
    duration = commands.run_experiment(experiment, out, base, jobs, console)
    rows = commands.table_rows(scale)
    runs = [scores.load_scored(out / "runs" / name) for name in rows]
    tables = report.build(runs, scale.tables, ["em"], paper_rows=rows)
    inputs = make_inputs(runs, ["em"], report.make_catalogue(runs), rows)
    claim_table = claims(inputs, real_searches(scale, [out]))
    leaderboard, *others = tables.tables
    if scale.closed_book:
        others.append(known_facts(runs_of_rows(scale, [out])))
    tables = replace(tables, tables=(leaderboard, claim_table, *others, training_cost(scale, out)))
    commands.write_text(out / "table1.html", page(tables, runs))
    commands.save_report(tables, out / "table1.md", console)
    console.print(
        f"{duration}. Results: {out / 'table1.md'}, and table1.html with every trajectory",
        highlight=False,
    )
