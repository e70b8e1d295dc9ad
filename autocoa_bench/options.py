"""What commands share: closed choices of options, and files that tables are written to."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench.errors import UserError

if TYPE_CHECKING:
    from autocoa_bench.report.model import Report


class Split(StrEnum):
    """A task's split."""

    TEST = "test"
    TRAIN = "train"


class Protocol(StrEnum):
    """How prompts reach a server (see engines/wire.py)."""

    AUTO = "auto"
    CONTINUE = "continue"
    TEMPLATE = "template"
    CHAT = "chat"
    COMPLETIONS = "completions"


class Format(StrEnum):
    """How a report is written."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


class Outcome(StrEnum):
    """How the first of two runs does on a question."""

    WON = "won"
    LOST = "lost"
    TIED = "tied"


AllowDifferences = Annotated[
    bool,
    typer.Option(
        "--allow-differences",
        help="Put runs of different corpora, top-k, questions, scorers, judge, sampling or "
        "budgets in one table, and list the differences under it.",
    ),
]

TableFormat = Annotated[
    Format | None, typer.Option(help="How it is written; default: terminal, or by --out.")
]

TableFile = Annotated[
    Path | None, typer.Option(help="Write to a file instead (.md, .tex, .csv or .json).")
]

BaseUrl = Annotated[
    list[str],
    typer.Option(
        help="An OpenAI-compatible server; none: the embedded engine. Given again: servers of the "
        "same model that share the work."
    ),
]

KeyFile = Annotated[
    str, typer.Option(help="A file with the server's API key, readable by nobody else.")
]


def check_key_file(key_file: str, base_url: str) -> None:
    """Refuse a key that no server would be sent."""
    if key_file and not base_url:
        raise UserError(f"--key-file '{key_file}' is for a server: give --base-url too")


def addresses(given: list[str]) -> str:
    """Servers' addresses, each once, as one text that does not depend on their order."""
    found = {address.strip() for each in given for address in each.split(",")}
    return ",".join(sorted(found - {""}))


def engine_of(engine: str, base_url: str) -> str:
    """The model engine that was asked for; else a server's where one is named, or the embedded."""
    return engine or ("openai" if base_url else "embedded")


def concurrency_of(concurrency: int | None, engine: str) -> int:
    """How many episodes are in flight, where nobody said: few on this machine, many elsewhere."""
    return concurrency or (8 if engine == "embedded" else 64)


def format_of(out: Path | None) -> Format:
    """The format that a file's name asks for; the terminal's for none. Raises UserError."""
    if out is None:
        return Format.TERMINAL
    formats = {
        ".md": Format.MARKDOWN,
        ".tex": Format.LATEX,
        ".csv": Format.CSV,
        ".json": Format.JSON,
    }
    if out.suffix not in formats:
        raise UserError(
            f"'{out}' does not say its format: end it in .md, .tex, .csv or .json (a page: --html)"
        )
    return formats[out.suffix]


def rows_of(given: list[str]) -> dict[str, str]:
    """What `--as RUN=ROW` says; no row of the paper has a = in its name, but a run may."""
    pairs = {}
    for text in given:
        run, equals, row = text.rpartition("=")
        if not (run and equals and row):
            raise UserError(f"--as takes RUN=ROW, such as 'agent=SFT-stage2', not '{text}'")
        if run in pairs:
            raise UserError(f"--as is given twice for '{run}'")
        pairs[run] = row
    return pairs


def check_file(out: Path, option: str = "--out") -> None:
    """Refuse a file that cannot be written, or is a run folder's own; leaves it as it is."""
    from autocoa_bench import store

    if out.name in store.FILES:
        raise UserError(f"'{out}' is a name that a run folder uses; choose another {option}")
    there = out.exists()
    try:
        out.open("ab").close()
        if not there:
            out.unlink()
    except OSError as error:
        raise _cannot_write(out, error) from None


def write_table(out: Path, text: str) -> None:
    """Write a rendered report. Raises UserError as `check_file` does."""
    check_file(out)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _cannot_write(out, error) from None


def write_report(made: Report, form: Format, out: Path | None) -> None:
    """Print a report, or write it to a file. Raises UserError."""
    from rich.console import Console

    from autocoa_bench import report as reports

    if form is Format.TERMINAL:
        if out is not None:
            raise UserError(f"'{out}' takes --format markdown, latex, csv or json, not terminal")
        reports.print_terminal(made, Console())
        return
    text = reports.render(made, form.value)
    if out is None:
        typer.echo(text)
        return
    write_table(out, text)


def _cannot_write(file: Path, error: OSError) -> UserError:
    return UserError(f"cannot write '{file}': {error.strerror}")
