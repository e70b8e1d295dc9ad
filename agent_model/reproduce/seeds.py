"""Table 1 over several seeds: each row's score with each seed, and how much it varies."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import stdev

from msgspec.structs import replace
from rich.console import Console

from agent_model.reproduce import ablation, commands, switch
from agent_model.reproduce.known_facts import known_facts, runs_of_rows
from agent_model.reproduce.measures import average_score
from agent_model.reproduce.runner import make_folder, read_record
from agent_model.reproduce.scale import ScaleConfig
from agent_model.reproduce.table1 import table1_experiment
from agent_model.reproduce.training_cost import real_searches
from autocoa_bench import report
from autocoa_bench.errors import UserError
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import EMPTY_CATALOGUE, make_entries, make_inputs
from autocoa_bench.report.model import Report, Table, columns, percent
from autocoa_bench.report.tables.claims import claims
from autocoa_bench.runs import scores
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.util.commands import command_line

_LABELS = {row: solver for solver, row in commands.UNTRAINED_ROWS.items()}
"""Labels of the rows whose name in the paper is that of the paper's own base model."""


def report_seeds(scale: ScaleConfig, folders: Sequence[Path], out: Path, console: Console) -> None:
    """Write and print tables over complete reproductions of several seeds: `out/seeds.md`.

    If all of them have the curve over the switch or the ablation too, it is added, and plotted in
    `switch.png` or `ablation.png`.
    Raises UserError if a folder lacks the run of a row, or `out` is not writable.
    """
    runs = runs_by_row(scale, folders)
    make_folder(out)
    tables = [seed_table(runs, folders), _claim_table(scale, runs, folders)]
    if scale.closed_book:
        tables.append(known_facts(runs_of_rows(scale, folders)))
    if all_have(folders, switch.switch_experiment(scale, Path(), 0)):
        points = switch.switch_points(scale, folders)
        tables.append(switch.switch_table(points, scale.rl_steps))
        switch.write_plot(points, scale.rl_steps, out / "switch.png")
    if ablation.has_arms(scale) and all_have(
        folders, ablation.ablation_experiment(scale, Path(), 0)
    ):
        outcomes = ablation.arm_outcomes(scale, folders)
        tables.append(ablation.ablation_table(outcomes))
        ablation.write_plot(outcomes, out / "ablation.png")
    commands.save_report(Report(tuple(tables), ()), out / "seeds.md", console)
    console.print(f"Results: {out / 'seeds.md'}", highlight=False)


def all_have(folders: Sequence[Path], experiment: commands.Experiment) -> bool:
    """True if every folder has the records of all commands of an experiment."""
    names = [command.name for command in experiment.commands]
    return all(read_record(name, folder) for folder in folders for name in names)


def _claim_table(
    scale: ScaleConfig, runs: Mapping[str, Sequence[Run]], folders: Sequence[Path]
) -> Table:
    """The paper's claims over the runs of all seeds."""
    all_runs = [run for row_runs in runs.values() for run in row_runs]
    rows = {str(run.path): row for row, row_runs in runs.items() for run in row_runs}
    searches = real_searches(scale, folders)
    inputs = make_inputs(all_runs, ["em"], report.make_catalogue(all_runs), rows)
    table = claims(inputs, searches)
    # Rows are expected to differ in model and seed.
    notes = tuple(note for note in table.notes if not note.startswith("runs differ in "))
    return replace(table, notes=notes)


def runs_by_row(scale: ScaleConfig, folders: Sequence[Path]) -> dict[str, list[Run]]:
    """The runs of each row, one a folder.

    Raises UserError if a folder is not a complete reproduction at this scale, or is given twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("a folder is given twice; give the folder of each seed once")
    runs: dict[str, list[Run]] = {}
    for folder in folders:
        _check_complete(scale, folder)
        for name, row in commands.table_rows(scale).items():
            runs.setdefault(row, []).append(scores.load_scored(folder / "runs" / name))
    return runs


def _check_complete(scale: ScaleConfig, folder: Path) -> None:
    for command in table1_experiment(scale, folder, seed=0).commands:
        record = read_record(command.name, folder)
        if record is None:
            raise UserError(
                f"'{folder}' is not a complete Table 1 of the scale {scale.name}: "
                f"'{command.name}' has not finished; "
                f"`{command_line('reproduce', 'table1', '--out', folder)}` resumes it"
            )
        if _without_seed(record.arguments) != _without_seed(command.arguments):
            raise UserError(
                f"'{folder}' is a Table 1 of another scale or share: its command '{command.name}' "
                f"was `{command_line(*record.arguments)}`; give folders of one scale, with the "
                "--scale and --share that they were made with"
            )


def _without_seed(arguments: Sequence[str]) -> list[str]:
    """Arguments without those that depend on the seed or the folder."""
    return [
        argument
        for argument, previous in zip(arguments, ("", *arguments), strict=False)
        if "/" not in argument and previous != "--seed" and not argument.startswith("seed=")
    ]


def seed_table(runs: Mapping[str, Sequence[Run]], folders: Sequence[Path]) -> Table:
    """The average score of each row with each seed, and over all seeds."""
    builder = TableBuilder("seeds")
    for row, row_runs in runs.items():
        entries = make_entries(row_runs, EMPTY_CATALOGUE)
        average = average_score(entries)
        means = [average_score([entry]).mean for entry in entries]
        scored = [mean for mean in means if mean is not None]
        builder.add_row(
            _LABELS.get(row, row),
            (
                *(None if mean is None else percent(mean) for mean in means),
                average,
                percent(stdev(scored)) if len(scored) > 1 else None,
            ),
        )
        builder.add_estimate(None, f"em:{row}", average)
    notes = (
        "one column a reproduction: the mean over datasets, in percent; all: each question's "
        "score is averaged over the reproductions first, with its 95 % interval over questions",
        "deviation: the standard deviation of the averages of the seeds, in points: how much "
        "another training run may differ",
    )
    headings = columns(*(folder.name for folder in folders), "all", "deviation")
    return builder.build("Average EM by seed", "Row", headings, notes, lead=0)
