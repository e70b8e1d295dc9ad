"""`autocoa-bench show`: trajectories in full, and two of them side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from autocoa_bench.cli.output import stdout
from autocoa_bench.engines import model_name
from autocoa_bench.episode import n_actions, n_cut, turns_of
from autocoa_bench.errors import UserError
from autocoa_bench.scoring.evidence import cause, trace
from autocoa_bench.types import Question, Record, Score, Trajectory
from autocoa_bench.util.text import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from autocoa_bench.runs.run_folder import Run

Kind = Literal["correct", "wrong", "fault"]


def show(
    folder: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    question: Annotated[str | None, typer.Option(help="One question, by its id.")] = None,
    only: Annotated[
        Kind | None, typer.Option(help="Trajectories of this kind, by the run's first scorer.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of trajectories.")] = 3,
) -> None:
    """Print trajectories in full: what the model wrote, and what the environment replied."""
    from autocoa_bench.runs.scores import load_scored

    run = load_scored(folder)
    spec = run.info.spec
    typer.echo(one_line(f"{spec.solver}, {model_name(spec.engine)}", 200))
    records = [
        record
        for record in run.records
        if question in (None, record.question.id) and only in (None, _kind(run, record))
    ]
    if not records:
        raise UserError(
            f"no trajectory in '{folder}' fits the options; {len(run.records)} are recorded"
        )
    for record in records[:limit]:
        _print_record(stdout(), record, _scores(run, record), spec.can_search)


def _print_record(
    console: Console, record: Record, scores: Mapping[str, Score], can_search: bool
) -> None:
    """Print a trajectory in full: the model's text plain, the environment's in colour."""
    from autocoa_bench.util.terminal import styled

    _print_question(console, record.question)
    trajectory = record.trajectory
    if trajectory is None:
        fault = record.fault
        message = f"{fault.kind}: {fault.message}" if fault else "?"
        console.print(styled(f"fault: {message}", "red"))
        return
    for turn in turns_of(trajectory):
        style = "cyan" if turn.source == "environment" else ""
        console.print(styled(turn.text, style), end="")
    ending = _ending(trajectory, scores)
    if trajectory.refusals:
        ending = f"prompts refused for their length: {trajectory.refusals}; {ending}"
    answer = styled(trajectory.answer or "none", "bold")
    console.print("\n\nanswer:", answer, styled(f"({ending})", "dim"))
    if can_search or n_actions(trajectory):
        console.print(styled(_evidence(record.question, trajectory, scores), "dim"))
    console.print()


def print_pair(runs: tuple[Run, Run], records: tuple[Record, Record]) -> None:
    """Print two runs' records of one question side by side, with the titles of each search."""
    from rich.table import Table

    console = stdout()
    _print_question(console, records[0].question)
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 3, 0, 0))
    for position, run in zip(("first", "second"), runs, strict=True):
        name = f"{position}: {run.info.spec.solver} ({run.path.name})"
        table.add_column(name, ratio=1, header_style="bold")
    pairs = zip(runs, records, strict=True)
    table.add_row(*(_summary(record, _scores(run, record)) for run, record in pairs))
    console.print(table)
    console.print()


def _kind(run: Run, record: Record) -> Kind:
    """The kind of a record by the run's first scorer."""
    if record.trajectory is None:
        return "fault"
    first = next(iter(_scores(run, record).values()), Score(None))
    return "correct" if first.value == 1.0 else "wrong"


def _scores(run: Run, record: Record) -> dict[str, Score]:
    return {name: rows[record.key] for name, rows in run.scores.items() if record.key in rows}


def _print_question(console: Console, question: Question) -> None:
    from autocoa_bench.util.terminal import styled

    title = styled(one_line(question.task), "bold").append(f" {one_line(question.id)}", "not bold")
    console.rule(title, align="left")
    console.print(styled(question.text, "bold"))
    console.print("gold:", styled(" | ".join(question.golden_answers), "green"), end="\n\n")


def _summary(record: Record, scores: Mapping[str, Score]) -> Text:
    """A trajectory in short: what the model wrote, and the titles of each search's passages."""
    from autocoa_bench.util.terminal import styled

    if record.trajectory is None:
        return styled(f"fault: {record.fault.kind if record.fault else '?'}", "red")
    text = styled("")
    for step in record.trajectory.steps:
        if step.text:
            text.append(styled(step.text.strip() + "\n"))
        if step.kind == "search":
            titles = "; ".join(passage.title for passage in step.passages) or "nothing found"
            text.append(styled(f"→ {one_line(titles)}\n", "cyan"))
    text.append(styled(f"answer: {record.trajectory.answer or 'none'}", "bold"))
    return text.append(styled(f"\n{_ending(record.trajectory, scores)}", "dim"))


def _ending(trajectory: Trajectory, scores: Mapping[str, Score]) -> str:
    values = ", ".join(
        f"{name} {'–' if score.value is None else f'{score.value:.2g}'}"
        for name, score in scores.items()
    )
    cut = ", cut by --answer-tokens" if n_cut(trajectory) else ""
    return f"{trajectory.ending}{cut}, {n_actions(trajectory)} actions; {values}"


def _evidence(question: Question, trajectory: Trajectory, scores: Mapping[str, Score]) -> str:
    """The searches that returned what the question needs, and the cause of a wrong answer."""
    evidence = trace(question, trajectory)
    searches = [(f"gold passage {name}", search) for name, search in evidence.passages]
    if not searches and evidence.by_answer:
        searches = [("gold answer", evidence.answer)]
    notes = [
        f"{name} at search {search}" if search else f"{name} never shown"
        for name, search in searches
    ]
    score = scores.get("em", next(iter(scores.values()), Score(None)))
    if score.value is not None and score.value < 1 and (reason := cause(evidence)):
        notes.append(reason)
    return "; ".join(notes) or "no evidence to trace"
