"""`autocoa-bench fidelity`: compare the search results that a model imagines with real ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.options_from_config import options_from
from autocoa_bench.cli.output import TableConfig, check_file, write_report
from autocoa_bench.engines import RequestOptions
from autocoa_bench.errors import UserError
from autocoa_bench.runs.config import RunConfig

if TYPE_CHECKING:
    from agent_model.fidelity.measure import FidelityRun

app = typer.Typer(help="Measure a model's simulated search results against the real ones.")

_MODEL = (
    *("model", "adapter", "base_url", "key_file", "engine", "protocol", "concurrency"),
    *RequestOptions.__struct_fields__,
)
_SAMPLING = ("context_tokens", "temperature", "top_p", "seed")


@app.command()
@options_from(TableConfig, only=("out",))
@options_from(RunConfig, only=(*_MODEL, *_SAMPLING), defaults={"adapter": "none", "concurrency": 8})
def fidelity(
    records: Annotated[
        list[Path], typer.Argument(help="Folders of run or synth, or files of records (.jsonl).")
    ],
    config: RunConfig,
    tables: TableConfig,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most searches, evenly spread over the records.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of one result block.")] = 1024,
    written: Annotated[
        Path | None,
        typer.Option(
            help="Store every search and what the model wrote for it in this file (.jsonl); the "
            "same command resumes."
        ),
    ] = None,
) -> None:
    """At each search of recorded trajectories, let the model write the results, and check them."""
    import asyncio

    from agent_model.fidelity import measure
    from agent_model.fidelity.facts import searches_of
    from agent_model.fidelity.report import report
    from autocoa_bench.engines import open_engine

    tables.chosen_format()
    if written is not None:
        check_file(written, "--written")
    loaded = [record for path in records for record in measure.read_records(path)]
    searches = [search for record in loaded for search in searches_of(record)]
    if not searches:
        raise UserError(
            f"none of the {len(loaded)} records has a search and a gold chain; give records of an "
            "agent over the embedded tasks"
        )
    settings = measure.FidelitySettings(
        dialect=measure.dialect_of(loaded),
        sampling=config.sampling,
        top_k=max(1, *(len(search.real) for search in searches)),
        max_tokens=max_tokens,
    )
    adapter = "" if config.adapter == "none" else config.adapter
    options = config.engine_config(config.budget.context_tokens, config.protocol, adapter)
    engine = open_engine(config.engine, options)
    safety = "what was written is safe, and" if written else "with --written FILE"
    with stopped_safely(f"{safety} the same command resumes"):
        measured = asyncio.run(
            measure.measure(searches, limit, engine, settings, config.concurrency, written)
        )
    if measured.faults:
        _print_faults(measured, resumable=written is not None)
    write_report(report(measured.verdicts, measured.model, measured.faults), tables)


def _print_faults(measured: FidelityRun, *, resumable: bool) -> None:
    """Say how many searches failed. Raises UserError if all did."""
    first = f"{measured.faults[0].kind}: {measured.faults[0].message}"
    if not measured.verdicts:
        raise UserError(f"every search failed, the first with {first}; nothing was measured")
    advice = "the same command asks them again" if resumable else "with --written they are resumed"
    typer.echo(
        f"searches left out, the model server failed: {len(measured.faults)} "
        f"(first with {first}); {advice}",
        err=True,
    )
