"""What commands share: closed choices of options, and files that tables are written to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from autocoa_bench.judge import JudgeConfig
    from autocoa_bench.report.model import Report
    from autocoa_bench.runs.run_folder import Run


class Split(StrEnum):
    """A task's split."""

    TEST = "test"
    TRAIN = "train"


class Protocol(StrEnum):
    """How prompts reach a server (see engines/openai/protocol.py)."""

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


RunFolders = Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)]

JudgeModel = Annotated[
    str,
    typer.Option(
        "--judge",
        help="Have this model judge answers too, as the scorer `judge`; none: nobody. `run` on the "
        "embedded engine has the judge that ships, unless told otherwise.",
    ),
]

NO_JUDGE = "none"
"""What `--judge` takes for nobody."""

JudgeBaseUrl = Annotated[
    list[str], typer.Option(help="The judge's server; none: the embedded engine.")
]

JudgeKeyFile = Annotated[str, typer.Option(help="As --key-file, for the judge's server.")]

JudgeEngine = Annotated[
    str,
    typer.Option(
        help="The judge's model engine, as --engine; default: openai with --judge-base-url, else "
        "embedded."
    ),
]

JudgePrompt = Annotated[
    str,
    typer.Option(help="How the judge is asked: brief (default), reasoned, or a plug-in's prompt."),
]

JudgeVotes = Annotated[
    int | None,
    typer.Option(min=1, help="The judge's votes an answer; default: 1, greedy. More are sampled."),
]


JudgeAudit = Annotated[
    Path | None,
    typer.Option(
        help="An audit of the runs' judge (judge audit --save): its means corrected by it, too."
    ),
]


def judge_plan(
    model: str,
    base_url: list[str],
    key_file: str,
    engine: str,
    prompt: str,
    votes: int | None,
    concurrency: int | None = None,
) -> JudgeConfig | None:
    """The judge that the options name; None for none. Raises UserError for some without --judge."""
    from autocoa_bench.judge import DEFAULT_PROMPT, JudgeConfig

    given = {
        "base-url": base_url,
        "key-file": key_file,
        "engine": engine,
        "prompt": prompt,
        "votes": votes,
    }
    if model in ("", NO_JUDGE):
        if named := [f"--judge-{name}" for name, value in given.items() if value]:
            raise UserError(f"{', '.join(named)} need --judge MODEL, which says who judges")
        return None
    servers = addresses(base_url)
    check_key_file(key_file, servers, "--judge-")
    engine = engine_of(engine, servers)
    return JudgeConfig(
        model=model,
        engine=engine,
        base_url=servers,
        key_file=key_file,
        prompt=prompt or DEFAULT_PROMPT,
        votes=votes or 1,
        concurrency=concurrency_of(concurrency, engine),
    )


def check_key_file(key_file: str, base_url: str, prefix: str = "--") -> None:
    """Refuse a key that no server would be sent."""
    if key_file and not base_url:
        raise UserError(f"{prefix}key-file '{key_file}' is for a server: give {prefix}base-url too")


def addresses(given: list[str]) -> str:
    """Servers' addresses, each once, as one text that does not depend on their order."""
    found = {address.strip() for each in given for address in each.split(",")}
    return ",".join(sorted(found - {""}))


def engine_of(engine: str, base_url: str) -> str:
    """The model engine that was asked for; else a server's where one is named, or the embedded."""
    return engine or ("openai" if base_url else "embedded")


def concurrency_of(concurrency: int | None, engine: str) -> int:
    """How many episodes are in flight, where nobody said: few on this machine, many elsewhere."""
    return concurrency or (8 if engine.partition(":")[0] == "embedded" else 64)


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
    from autocoa_bench.runs import run_folder

    if out.name in run_folder.FILES:
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


def print_report(
    folders: Sequence[Path | Run],
    by: str | None,
    form: Format = Format.TERMINAL,
    out: Path | None = None,
    allow_differences: bool = False,
    beside: Mapping[str, str] | None = None,
    judge_audit: Path | None = None,
) -> None:
    """Print the tables of runs, or write them to a file. Raises UserError."""
    _, made = load_report(folders, by, allow_differences, beside, judge_audit)
    write_report(made, form, out)


def load_report(
    folders: Sequence[Path | Run],
    by: str | None,
    allow_differences: bool,
    beside: Mapping[str, str] | None,
    judge_audit: Path | None,
) -> tuple[list[Run], Report]:
    """Runs and their report; the tables are those that fit unless `by` names them."""
    from autocoa_bench import report as reports
    from autocoa_bench.judge.agreement import read_audit
    from autocoa_bench.runs import scores
    from autocoa_bench.runs.run_folder import Run

    correcting = read_audit(judge_audit) if judge_audit is not None else None
    runs = [run if isinstance(run, Run) else scores.load_scored(run) for run in folders]
    tables = reports.default_tables(runs) if by is None else names_in(by)
    return runs, reports.build(
        runs,
        tables=tables,
        allow_differences=allow_differences,
        paper_rows=beside,
        audits=scores.shipped_audits(runs),
        correction_audit=correcting,
    )


def names_in(text: str) -> list[str]:
    """The names that stand in a text, by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def stderr() -> Console:
    """A console for what is not a command's result."""
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def stopped_safely() -> Iterator[None]:
    """Ctrl-C ends the command with word of what it has lost, which is nothing."""
    try:
        yield
    except KeyboardInterrupt:
        said = "\nstopped; what was recorded is safe, and the same command resumes"
        typer.echo(said, err=True)
        raise typer.Exit(130) from None


def _cannot_write(file: Path, error: OSError) -> UserError:
    return UserError(f"cannot write '{file}': {error.strerror}")
