"""The command line: its commands, of which the larger ones have modules of their own.

Nothing heavy is imported before a command needs it, so that `--help` is instant.
"""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench import registry
from autocoa_bench.cli.export import export
from autocoa_bench.cli.judge import judge_app
from autocoa_bench.cli.options import (
    AllowDifferences,
    Format,
    JudgeAudit,
    Outcome,
    RunFolders,
    Split,
    TableFile,
    TableFormat,
    check_file,
    format_of,
    load_report,
    print_report,
    rows_of,
    write_report,
    write_table,
)
from autocoa_bench.cli.run import run, score
from autocoa_bench.cli.serve import serve_search
from autocoa_bench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from autocoa_bench.runs.run_folder import Run
    from autocoa_bench.types import Record, Score

app = typer.Typer(
    name="autocoa-bench",
    help="Evaluate search agents: a model alone, a ReAct workflow, or a trained agent model.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(
    help="List the models that install by name, and pull one.", invoke_without_command=True
)
app.add_typer(models_app, name="models")
tasks_app = typer.Typer(
    help="List the tasks, show questions of one, and fetch real datasets.",
    invoke_without_command=True,
)
app.add_typer(tasks_app, name="tasks")
app.add_typer(judge_app, name="judge")
app.command()(run)
app.command()(score)


class Only(StrEnum):
    """Which trajectories `show` prints, by the run's first scorer."""

    CORRECT = "correct"
    WRONG = "wrong"
    FAULT = "fault"

    def fits(self, record: Record, scores: Mapping[str, Score]) -> bool:
        """Whether a record is of this kind."""
        if record.trajectory is None or self is Only.FAULT:
            return record.trajectory is None and self is Only.FAULT
        right = any(score.value == 1.0 for score in list(scores.values())[:1])
        return right == (self is Only.CORRECT)


class OutType(StrEnum):
    """How `models convert` stores weights; auto: see engines/weights/convert.py."""

    AUTO = "auto"
    Q8_0 = "q8_0"
    F16 = "f16"
    F32 = "f32"


@app.command()
def report(
    runs: RunFolders,
    by: Annotated[
        str | None,
        typer.Option(
            help="Tables, by commas: leaderboard, actions, evidence, cost, faults, kinds, acting, "
            "samples, temporal, paper, claims; default: the first five, and acting, samples and "
            "temporal where they fit.",
            show_default=False,
        ),
    ] = None,
    format: TableFormat = None,  # noqa: A002 - the option's name
    out: TableFile = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write one page instead: tables, plots and a reader of all trajectories, which "
            "opens from disk in a browser.",
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            help="Write the tables' plots into this folder instead, as .svg, .pdf and .png.",
        ),
    ] = None,
    allow_differences: AllowDifferences = False,
    beside: Annotated[
        list[str],
        typer.Option(
            "--as",
            metavar="RUN=ROW",
            help="The paper's row that a run (its name in the table, solver or folder) stands "
            "beside with --by paper and claims; default: that of its section and model. May be "
            "given again.",
        ),
    ] = [],  # noqa: B006 - typer reads the default and never changes it
    judge_audit: JudgeAudit = None,
) -> None:
    """Print or write the tables of one or more runs."""
    if html is None and plots is None:
        form = format or format_of(out)
        print_report(runs, by, form, out, allow_differences, rows_of(beside), judge_audit)
        return
    if format or out:
        option = "--plots" if html is None else "--html"
        raise UserError(f"{option} writes files of its own: leave out --format and --out")
    if html is not None:
        check_file(html, "--html")
    loaded, made = load_report(runs, by, allow_differences, rows_of(beside), judge_audit)
    if html is not None:
        from autocoa_bench.report.page import page

        write_table(html, page(made, loaded))
        typer.echo(f"written to {html}: open it in a browser")
    if plots is not None:
        from autocoa_bench.report.render.plot_figures import write_plots

        for file in write_plots(made, loaded, plots):
            typer.echo(file)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    second: Annotated[Path, typer.Argument(help="Another, of the same questions.", metavar="RUN")],
    scorer: Annotated[str, typer.Option(help="The scorer that says what is better.")] = "em",
    format: TableFormat = None,  # noqa: A002 - the option's name
    out: TableFile = None,
    allow_differences: AllowDifferences = False,
    show: Annotated[
        Outcome | None,
        typer.Option(help="Print trajectories side by side, of questions that the first run ..."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many questions of --show.")] = 3,
) -> None:
    """Compare two runs question by question: won, lost, tied, a paired test, gained by search."""
    from autocoa_bench import report as reports
    from autocoa_bench.runs import scores as grading

    written = format or format_of(out)
    if show and written is not Format.TERMINAL:
        raise UserError(f"--show {show.value} prints to the terminal: leave out --format and --out")
    ours, theirs = grading.load_scored(first), grading.load_scored(second)
    audits = grading.shipped_audits([ours, theirs])
    made = reports.compare_runs(ours, theirs, scorer, allow_differences, audits)
    write_report(made, written, out)
    if show:
        _show_pairs(ours, theirs, scorer, show, limit)


def _show_pairs(ours: Run, theirs: Run, scorer: str, outcome: Outcome, limit: int) -> None:
    """Print the trajectories of questions with this outcome side by side."""
    from autocoa_bench import report as reports
    from autocoa_bench.cli import show as listing

    pairs = reports.records_by_outcome(ours, theirs, scorer, outcome.value)
    first, second = (f"{run.info.spec.solver} ({run.path.name})" for run in (ours, theirs))
    for pair in pairs[:limit]:
        scores = _scores_of(ours, pair[0]), _scores_of(theirs, pair[1])
        listing.print_pair(_stdout(), (f"first: {first}", f"second: {second}"), pair, scores)
    if len(pairs) > limit:
        typer.echo(f"{limit} of {len(pairs)} {outcome.value} questions; more with --limit")
    elif not pairs:
        typer.echo(f"no question is {outcome.value}")


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    question: Annotated[str | None, typer.Option(help="One question, by its id.")] = None,
    only: Annotated[Only | None, typer.Option(help="Which trajectories.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 3,
) -> None:
    """Print trajectories in full: what the model wrote, and what the environment replied."""
    from autocoa_bench.cli import show as listing
    from autocoa_bench.engines import model_name
    from autocoa_bench.report.model import printable
    from autocoa_bench.runs import scores as grading

    loaded = grading.load_scored(folder)
    spec = loaded.info.spec
    typer.echo(printable(f"{spec.solver}, {model_name(spec.engine)}"))
    shown = 0
    for record in loaded.records:
        scores = _scores_of(loaded, record)
        if question not in (None, record.question.id) or (only and not only.fits(record, scores)):
            continue
        listing.print_record(_stdout(), record, scores)
        shown += 1
        if shown == limit:
            return
    if not shown:
        raise UserError(f"no trajectory in '{folder}' fits; {len(loaded.records)} are recorded")


@tasks_app.callback()
def tasks(context: typer.Context) -> None:
    """List the tasks with source, licence, count and hash."""
    if context.invoked_subcommand is None:
        from autocoa_bench import tasks as task_room
        from autocoa_bench.cli import show as listing

        listing.print_tasks(_stdout(), task_room.catalogue())


@tasks_app.command("show")
def show_tasks(
    names: Annotated[list[str], typer.Argument(help="Tasks, groups or files.")],
    split: Annotated[Split, typer.Option(help="The tasks' split.")] = Split.TEST,
    limit: Annotated[int, typer.Option(min=1, help="Questions to show.")] = 3,
) -> None:
    """Print questions with their golds and what is known of their gold passages."""
    from autocoa_bench import tasks as task_room
    from autocoa_bench.cli import show as listing

    for task in task_room.resolve(",".join(names)):
        listing.print_questions(_stdout(), task, split.value, limit)


@tasks_app.command("pull")
def pull_tasks(
    names: Annotated[list[str], typer.Argument(help="Real tasks or groups: multihop@paper.")],
    split: Annotated[Split, typer.Option(help="The tasks' split.")] = Split.TEST,
) -> None:
    """Fetch and check the files of real datasets, so that runs need no network."""
    from autocoa_bench import tasks as task_room
    from autocoa_bench.cli import show as listing

    found = task_room.resolve(",".join(names))
    for task in found:
        if task.info.edition != "real":
            raise UserError(
                f"'{task.info.name}' is of the {task.info.edition} edition and needs no fetching; "
                "a real dataset has an @, such as hotpotqa@paper"
            )
    for task in found:
        listing.print_pulled(_stdout(), task, split.value)


@models_app.callback()
def models(context: typer.Context) -> None:
    """List the models that install by name, and what each engine can do."""
    if context.invoked_subcommand is None:
        from autocoa_bench.cli import show as listing
        from autocoa_bench.engines import catalogue
        from autocoa_bench.engines.weights.models import known_models

        listing.print_models(_stdout(), known_models())
        listing.print_engines(_stdout(), catalogue())


@models_app.command()
def pull(name: Annotated[str, typer.Argument(help="A model of the list.")]) -> None:
    """Download a model, check it and keep it."""
    from autocoa_bench.engines.weights.models import pull as pull_model

    typer.echo(pull_model(name))


@models_app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A PEFT or transformers folder, or an adapter.")],
    target: Annotated[str, typer.Argument(help="What to make: a .gguf, or a PEFT folder.")],
    base: Annotated[
        str, typer.Option(help="The adapter's model; or the GGUF whose tokenizer a model takes.")
    ] = "",
    outtype: Annotated[OutType, typer.Option(help="Type of the weights.")] = OutType.AUTO,
) -> None:
    """Convert a trained adapter or model for another server; without network or torch."""
    from autocoa_bench.engines.weights.convert import convert as convert_model

    typer.echo(convert_model(source, target, base, outtype.value))


@models_app.command()
def merge(
    adapter: Annotated[str, typer.Argument(help="A PEFT folder or a .gguf adapter.")],
    target: Annotated[str, typer.Argument(help="The folder to make.")],
    base: Annotated[str, typer.Option(help="A transformers folder, or a named model.")],
) -> None:
    """Add an adapter to its base for good, as a transformers folder."""
    from autocoa_bench.engines.weights.huggingface import merge as merge_model

    typer.echo(merge_model(adapter, target, base))


app.command("export")(export)
app.command("serve-search")(serve_search)


def main() -> None:
    """The console entry point: errors become one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may not know every letter
            stream.reconfigure(errors="replace")
    try:
        for argument in sys.argv[1:]:
            if not argument.isascii() and _is_broken(argument):
                raise UserError(f"the argument {argument!a} is not UTF-8 text")
        _add_plugins()
        app()
        sys.stdout.flush()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read our output has closed it
        sys.stdout = None  # nothing is left to flush
        sys.exit(141)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # of a path, or of a name that could be one
            given = f"{str(error.filename)[:60]}..."
            typer.echo(f"error: no file can have a name as long as '{given}'", err=True)
            sys.exit(2)
        if error.errno != errno.ENOSPC:
            raise
        sys.stdout = None  # as above
        typer.echo("error: the output cannot be written: the disk is full", err=True)
        sys.exit(2)


def _add_plugins() -> None:
    """Put the commands of installed packages (`autocoa_bench.commands`) after our own.

    One named GROUP.NAME goes into a group of ours.
    """
    known = {each.name for each in app.registered_groups}
    known |= {each.name for each in app.registered_commands}
    groups = {"tasks": tasks_app, "models": models_app, "judge": judge_app}
    for full in registry.names("commands"):
        group, _, name = full.rpartition(".")
        target = groups.get(group, app)
        if target is app and full in known:
            continue
        try:
            plugin: typer.Typer = registry.load("commands", full)
        except UserError as error:
            _add_complaint(target, name, error)
            continue
        only = plugin.registered_commands[0].callback if plugin.registered_commands else None
        if only is None or len(plugin.registered_commands) > 1 or plugin.registered_callback:
            target.add_typer(plugin, name=name)
        else:  # no group around one command
            target.command(name)(only)


def _add_complaint(target: typer.Typer, name: str, error: UserError) -> None:
    """Put a command in place of one that cannot be loaded: it says why, once it is called."""
    anything = {"ignore_unknown_options": True, "allow_extra_args": True}

    @target.command(name, help=str(error), context_settings=anything)
    def complain() -> None:
        raise error


def _is_broken(text: str) -> bool:
    """Whether text holds bytes that were not UTF-8."""
    return any("\ud800" <= char <= "\udfff" for char in text)


def _scores_of(run: Run, record: Record) -> dict[str, Score]:
    """A record's scores, by scorer."""
    return {name: rows[record.key] for name, rows in run.scores.items() if record.key in rows}


def _stdout() -> Console:
    from rich.console import Console

    return Console()
