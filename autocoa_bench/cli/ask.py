"""`autocoa-bench ask`: one question, answered while the user watches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from msgspec.structs import replace

from autocoa_bench.cli.common import check_budget, solver_option
from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.options_from_config import options_from
from autocoa_bench.cli.output import stderr, stdout
from autocoa_bench.episode import n_actions
from autocoa_bench.errors import UserError
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.types import (
    Completion,
    Generate,
    Observation,
    Passage,
    Record,
    Refused,
    Search,
    Trajectory,
)
from autocoa_bench.util.text import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console

_OF_RUNS = (
    *("tasks", "split", "limit", "sample_seed", "samples", "concurrency", "scorers"),
    *("executor", "record", "replay", "search_cache", "out"),
)
"""The options of `run` about many questions, and about files."""

_LONGEST_TITLE = 80
_LONGEST_LINE = 120


@options_from(RunConfig, without=_OF_RUNS, environment=True)
def ask(
    config: RunConfig,
    question: Annotated[str, typer.Argument(help="The question, in quotes.", metavar="QUESTION")],
    solver: Annotated[str, solver_option()] = RunConfig().solver,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only the record, as one line of JSON.")
    ] = False,
) -> None:
    """Answer one question and print each step as it happens: thoughts, searches, the answer.

    Without --corpus it searches the closed world of the embedded tasks. No run is recorded.
    An option that is not given comes from AUTOCOA_BENCH_NAME in the environment.
    """
    from autocoa_bench.runs import ask as runner

    if not question.strip():
        raise UserError('the question is empty; ask one in quotes: autocoa-bench ask "Who ...?"')
    check_budget(config.budget)
    display = _Display(stdout())
    with stopped_safely(advice=""):
        record = runner.ask(
            replace(config, solver=solver),
            question.strip(),
            _ignore if as_json else display.watch,
            stderr(),
        )
        if as_json:
            typer.echo(_json_line(record))
        elif record.trajectory:
            display.end(record.trajectory, record.seconds)
    if record.fault:
        message = one_line(record.fault.message, 1000)
        raise UserError(f"the question has no answer, because of {record.fault.kind}: {message}")


def _ignore(_: object) -> None:
    """Show nothing of an episode."""


def _json_line(record: Record) -> str:
    """The record as JSON in plain ASCII, which passes through the filter of stdout unchanged."""
    # JSON leaves one control character as it is.
    return json.dumps(msgspec.to_builtins(record)).replace("\x7f", "\\u007f")


class _Display:
    """Prints an episode as it happens: the model's text plain, the environment's in colour."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._text = ""
        self._forced = False
        self._watched = False

    def watch(self, event: Generate | Search | Completion | Observation | Refused) -> None:
        """Print a reply. A completion waits for the next event, which tells its query."""
        self._watched = True
        match event:
            case Generate():
                self._print_text()
                self._forced = event.forced
            case Search():
                self._print_text(event.query)
            case Completion():
                self._text = event.sampled_text
            case Observation():
                self._print_passages(event.passages)

    def end(self, trajectory: Trajectory, seconds: float) -> None:
        """Print the end of an episode; all of one whose solver showed nothing before."""
        if not self._watched:
            for step in trajectory.steps:
                self._text = step.text
                self._print_text(step.argument if step.kind == "search" else "")
                if step.kind == "search":
                    self._print_passages(step.passages)
        # A forced answer continues a text of the environment.
        elif not self._forced:
            self._print_text()
        self._print(f"answer: {trajectory.answer or 'none'}", "bold")
        self._print(_figures(trajectory, seconds), "dim")

    def _print_text(self, query: str = "") -> None:
        """Print what the model wrote, with its query in colour or, if it has none, on a line."""
        from autocoa_bench.util.terminal import styled

        text, self._text = styled(self._text.strip()), ""
        position = text.plain.rfind(printable(query)) if query else -1
        if position >= 0:
            text.stylize("bold cyan", position, position + len(printable(query)))
        if text.plain:
            self._console.print(text, soft_wrap=True)
        if query and position < 0:
            self._print(f"search: {query}", "bold cyan")

    def _print_passages(self, passages: Sequence[Passage]) -> None:
        """Print the title and the first line of each passage."""
        for passage in passages:
            title = one_line(passage.title, _LONGEST_TITLE)
            first = one_line(printable(passage.text).strip().partition("\n")[0], _LONGEST_LINE)
            self._print(f"→ {title}: {first}", "cyan")
        if not passages:
            self._print("→ nothing found", "cyan")
        self._console.print()

    def _print(self, text: str, style: str) -> None:
        from autocoa_bench.util.terminal import styled

        self._console.print(styled(text, style), soft_wrap=True)


def _figures(trajectory: Trajectory, seconds: float) -> str:
    """The cost of an episode, and what forced its answer."""
    searches = n_actions(trajectory)
    parts = [f"{searches} search" if searches == 1 else f"{searches} searches"]
    tokens = [step.completion_tokens for step in trajectory.steps]
    if None not in tokens:
        parts.append(f"{sum(map(int, filter(None, tokens))):,} tokens")
    parts.append(f"{seconds:.1f} s")
    if trajectory.ending != "answered":
        parts.append(trajectory.ending)
    return ", ".join(parts)
