"""`autocoa-bench tasks build-temporal`: a temporal set out of a user's own dated reports."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench.cli.options import (
    BaseUrl,
    KeyFile,
    addresses,
    check_key_file,
    concurrency_of,
    engine_of,
    stopped_safely,
)
from autocoa_bench.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from autocoa_bench.types import EngineSpec
    from tasks.temporal.build import BuiltSet
    from tasks.temporal.chains import NewsReport

app = typer.Typer(rich_markup_mode=None)

CONTEXT_TOKENS = 8192


@app.command()
def build_temporal(
    reports: Annotated[
        Path, typer.Argument(help="Rows of title, text and date (.jsonl, .json, .parquet).")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write to; its name names the task.")],
    model: Annotated[str, typer.Option(help="The model that writes and checks.")] = "",
    base_url: BaseUrl = [],  # noqa: B006 - typer reads the default and never changes it
    key_file: KeyFile = "",
    engine: Annotated[
        str, typer.Option(help="Model engine; default: openai with --base-url, else embedded.")
    ] = "",
    count: Annotated[int, typer.Option(min=1, help="Questions, at most.")] = 192,
    facts: Annotated[int, typer.Option(min=1, help="Facts to ask for of a report.")] = 8,
    seed: Annotated[int, typer.Option(help="Draws the chains.")] = 0,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests in flight; default: as for run.")
    ] = None,
) -> None:
    """Turn dated reports into three-hop questions with sub-questions (paper, Appendix A).

    Each hop is checked: answered from its report, not without; a span of it. The same command goes
    on after a stop.
    """
    from rich.console import Console

    from autocoa_bench.engines import EngineConfig, open_engine
    from tasks.temporal.build import build, read_reports

    servers = addresses(base_url)
    check_key_file(key_file, servers)
    found = read_reports(reports)
    name = out.resolve().name
    if not name or name.startswith(".") or "@" in name or "," in name:
        raise UserError(f"--out '{out}' names the task, so its name has no @, comma or leading dot")
    chosen = engine_of(engine, servers)
    in_flight = concurrency_of(concurrency, chosen)
    options = EngineConfig(model, servers, "auto", in_flight, CONTEXT_TOKENS, key_file=key_file)
    _make(out)
    with stopped_safely():
        built, spec = build(
            found,
            open_engine(chosen, options),
            out / "replies.jsonl",
            in_flight,
            (facts, count, seed, name),
        )
    Console().print(_table(found, built))
    if not built.questions:
        raise UserError("no question was made; the table says why")
    for file in _write(out, name, found, built, spec):
        typer.echo(file)


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror}") from None


def _table(found: list[NewsReport], built: BuiltSet) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="temporal set", title_justify="left")
    table.add_column("")
    table.add_column("number", justify="right")
    table.add_row("reports", f"{len(found):,}")
    for (stage, reason), number in sorted(Counter(_causes(built)).items()):
        table.add_row(f"{stage} rejected: {escape(reason)}", f"{number:,}", style="dim")
    table.add_row("facts that can be hops", f"{len(built.facts):,}")
    table.add_row("questions of three hops", f"{len(built.questions):,}")
    return table


def _causes(built: BuiltSet) -> list[tuple[str, str]]:
    return [(each.stage, each.reason) for each in built.rejected]


def _write(
    out: Path, name: str, found: list[NewsReport], built: BuiltSet, spec: EngineSpec
) -> list[Path]:
    """The questions, their sub-questions, the reports as a corpus, and what was rejected."""
    import msgspec

    from autocoa_bench.tasks.subquestions import SUBQUESTION_SUFFIX, subquestions_of
    from autocoa_bench.util.json_lines import replace_file
    from tasks.temporal.build import json_lines
    from tasks.temporal.chains import as_row

    subs = subquestions_of(built.questions, name + SUBQUESTION_SUFFIX)
    made = {
        "model": msgspec.to_builtins(spec),
        "reports": len(found),
        "facts": len(built.facts),
        "questions": len(built.questions),
        "rejected": [[*cause, n] for cause, n in sorted(Counter(_causes(built)).items())],
    }
    content = {
        f"{name}.jsonl": json_lines(map(as_row, built.questions)),
        f"{name}{SUBQUESTION_SUFFIX}.jsonl": json_lines(
            {"id": each.id, "question": each.text, "golden_answers": list(each.golden_answers)}
            for each in subs
        ),
        "corpus.jsonl": json_lines(
            {"id": each.id, "contents": f'"{each.title}"\n{each.dated}'} for each in found
        ),
        "rejected.jsonl": json_lines(built.rejected),
        "build.json": msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n",
    }
    try:
        for file, data in content.items():
            replace_file(out / file, data)
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror}") from None
    return [out / file for file in content]
