"""`autocoa-bench tasks`: list tasks, show their questions, and fetch real datasets."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.output import list_table, stdout
from autocoa_bench.errors import UserError
from autocoa_bench.types import Question, Split, TaskInfo

if TYPE_CHECKING:
    from rich.console import Console

    from autocoa_bench.tasks import Task

app = typer.Typer(
    help="List the tasks, show questions of one, and fetch real datasets.",
    invoke_without_command=True,
)

SplitOption = Annotated[Split, typer.Option(help="The split of the tasks.")]


@app.callback()
def tasks(context: typer.Context) -> None:
    """List the tasks with source, licence, count and hash."""
    if context.invoked_subcommand is not None:
        return
    from autocoa_bench.tasks import catalogue

    infos = catalogue()
    console = stdout()
    embedded = [info for info in infos if info.edition != "real"]
    table = list_table("Tasks", ("name", "groups", "questions", "sha256", "shape"))
    for info in embedded:
        groups, sha256 = " ".join(info.groups), (info.sha256 or "")[:10]
        table.add_row(info.name, groups, _count(info), sha256, info.shape)
    console.print(table)
    by_licence = defaultdict(list)
    for info in embedded:
        by_licence[info.edition, info.source, info.licence].append(info.name)
    for (edition, source, licence), names in by_licence.items():
        console.print()
        console.print(f"{edition}:", ", ".join(names))
        console.print(f"  source: {source}; licence: {licence}")
    if real := [info for info in infos if info.edition == "real"]:
        console.print()
        table = list_table("Real datasets", ("name", "groups", "questions", "splits", "licence"))
        for info in real:
            table.add_row(info.name, " ".join(info.groups), _count(info), info.shape, info.licence)
        console.print(table)
        by_source = defaultdict(list)
        for info in real:
            by_source[info.source].append(info.name)
        for source, names in by_source.items():
            datasets = ", ".join(name.partition("@")[0] for name in names)
            console.print(f"  source: {source} ({datasets})")
        console.print(
            "Instead of all: NAME@paper (the paper's own sample), NAME@500:seed=3 (any number, any "
            "seed); a group too: multihop@paper. Fetch ahead: "
            "autocoa-bench tasks pull multihop@paper"
        )
    console.print(
        "\nA path to a file of questions is a task too, and so is any dataset of the Hugging Face "
        "Hub: hf:ORG/NAME:SPLIT."
    )


@app.command("show")
def show_tasks(
    names: Annotated[list[str], typer.Argument(help="Tasks, groups or files.")],
    split: SplitOption = "test",
    limit: Annotated[int, typer.Option(min=1, help="Most questions.")] = 3,
    fields: Annotated[
        str, typer.Option(help="Columns of files and hf: datasets, as in run.", show_default=False)
    ] = "",
) -> None:
    """Print questions with their gold answers and, where known, their gold passages."""
    from autocoa_bench.tasks import resolve
    from autocoa_bench.util.terminal import styled

    console = stdout()
    for task in resolve(",".join(names), fields):
        questions = _load(console, task, split)
        console.print(styled(task.info.title, "bold"), f"({task.info.edition} edition)")
        for question in questions[:limit]:
            _print_question(console, question)


@app.command("pull")
def pull_tasks(
    names: Annotated[list[str], typer.Argument(help="Real tasks or groups: multihop@paper.")],
    split: SplitOption = "test",
) -> None:
    """Fetch and check the files of real datasets, so that runs need no network."""
    from autocoa_bench.tasks import resolve

    chosen = resolve(",".join(names))
    for task in chosen:
        if task.info.edition == "hub":
            raise UserError(
                f"'{task.info.source}' is streamed, and not stored; fetch it with `hf download "
                "ORG/NAME --repo-type dataset --local-dir FOLDER`, and give hf:./FOLDER:SPLIT"
            )
        if task.info.edition != "real":
            raise UserError(
                f"'{task.info.name}' belongs to the {task.info.edition} edition and needs no "
                "fetching; a real dataset has an @, such as hotpotqa@paper"
            )
    console = stdout()
    with stopped_safely("what was fetched is whole, and the same command fetches the rest"):
        for task in chosen:
            count = len(_load(console, task, split))
            console.print(f"{task.info.name}, {split} split: {count:,} questions are here")


def _load(console: Console, task: Task, split: Split) -> list[Question]:
    """Load a task's questions and print its warnings."""
    from autocoa_bench.tasks import load_warnings
    from autocoa_bench.util.terminal import styled

    questions = task.load(split)
    for warning in load_warnings(task):
        console.print(styled(warning, "yellow"))
    return list(questions)


def _count(info: TaskInfo) -> str:
    return "" if info.count is None else str(info.count)


def _print_question(console: Console, question: Question) -> None:
    from autocoa_bench.util.terminal import styled

    console.print()
    console.print(styled(f"{question.id} {question.kind or ''}".rstrip(), "dim"))
    console.print(styled(question.text))
    console.print(styled(f"  {' | '.join(question.golden_answers)}", "green"))
    for hop in question.hops:
        passage = f" ({hop.passage_id})" if hop.passage_id else ""
        console.print(styled(f"  {hop.question} → {hop.answer}{passage}", "dim"))
    if question.gold_titles:
        console.print(styled(f"  gold pages: {'; '.join(question.gold_titles)}", "dim"))
