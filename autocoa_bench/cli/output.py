"""Output of commands: consoles, tables on them, and files that reports are written to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.types import Option
from autocoa_bench.util.json_lines import write_errors

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from autocoa_bench.report.model import Report

Format = Literal["terminal", "markdown", "latex", "csv", "json"]

_FORMATS: dict[str, Format] = {".md": "markdown", ".tex": "latex", ".csv": "csv", ".json": "json"}


class TableConfig(Struct, frozen=True, kw_only=True):
    """The format of tables, and the file that they are written to."""

    format: Annotated[
        Format | None, Option(help="Format of the tables; default: terminal, or by --out.")
    ] = None
    out: Annotated[
        Path | None, Option(help="Write to a file instead (.md, .tex, .csv or .json).")
    ] = None

    def chosen_format(self) -> Format:
        """The format, after the file is checked as by `check_file`. Raises UserError."""
        chosen = self.format or format_of(self.out)
        if self.out is not None:
            if chosen == "terminal":
                raise UserError(
                    f"'{self.out}' takes --format markdown, latex, csv or json, not terminal"
                )
            check_file(self.out)
        return chosen


_TERMINAL = TableConfig()


def stdout() -> Console:
    """A console for the result of a command."""
    from autocoa_bench.util.terminal import stdout_console

    return stdout_console()


def stderr() -> Console:
    """A console for progress and warnings."""
    from autocoa_bench.util.terminal import stderr_console

    return stderr_console()


def list_table(title: str, columns: Iterable[str]) -> Table:
    """An empty table without rules, for lists."""
    from rich.table import Table

    table = Table(
        title=title,
        title_style="bold",
        title_justify="left",
        box=None,
        header_style="dim",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in ("questions", "size") else "left",
            no_wrap=column in ("name", "groups", "sha256"),
        )
    return table


def count_table(title: str, *more: str) -> Table:
    """An empty table of labels and numbers, and of `more` columns of numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("number", *more):
        table.add_column(column, justify="right")
    return table


def format_of(out: Path | None) -> Format:
    """The format that a file's suffix names; terminal without a file. Raises UserError."""
    if out is None:
        return "terminal"
    if out.suffix not in _FORMATS:
        raise UserError(
            f"'{out}' does not name its format: end it in .md, .tex, .csv or .json (a page: --html)"
        )
    return _FORMATS[out.suffix]


def check_file(out: Path, option: str = "--out") -> None:
    """Refuse a file that cannot be written or that belongs to a run folder; leave it unchanged."""
    from autocoa_bench.runs import run_folder

    if out.name in run_folder.FILES:
        raise UserError(f"'{out}' is a name that a run folder uses; choose another {option}")
    existed = out.exists()
    with write_errors(out):
        out.open("ab").close()
        if not existed:
            out.unlink()


def write_table(out: Path, text: str) -> None:
    """Write a rendered report. Raises UserError as `check_file` does."""
    check_file(out)
    with write_errors(out):
        out.write_text(text, encoding="utf-8")


def write_report(report: Report, config: TableConfig = _TERMINAL) -> None:
    """Print a report, or write it to a file. Raises UserError."""
    from autocoa_bench.report import print_terminal, render

    chosen = config.chosen_format()
    if chosen == "terminal":
        print_terminal(report, stdout())
    elif config.out is None:
        typer.echo(render(report, chosen))
    else:
        write_table(config.out, render(report, chosen))
