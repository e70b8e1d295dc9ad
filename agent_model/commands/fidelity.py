"""`autocoa-bench fidelity`: how true the search results are that a model imagines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench.cli.options import (
    BaseUrl,
    KeyFile,
    Protocol,
    TableFile,
    addresses,
    check_file,
    check_key_file,
    engine_of,
    format_of,
    write_report,
)
from autocoa_bench.errors import UserError

if TYPE_CHECKING:
    from agent_model.fidelity.measure import FidelityRun

app = typer.Typer(
    help="Measure a model's simulated search results against the real ones.",
    rich_markup_mode=None,
)


@app.command()
def fidelity(
    records: Annotated[
        list[Path], typer.Argument(help="Folders of run or synth, or files of records (.jsonl).")
    ],
    model: Annotated[str, typer.Option(help="The model, as in `run`.")] = "",
    adapter: Annotated[str, typer.Option(help="A LoRA adapter for it, or none.")] = "none",
    base_url: BaseUrl = [],  # noqa: B006 - typer reads the default and never changes it
    key_file: KeyFile = "",
    engine: Annotated[str, typer.Option(help="Its engine, as in `run`.")] = "",
    protocol: Annotated[
        Protocol, typer.Option(help="How prompts reach it; auto asks the server.")
    ] = Protocol.AUTO,
    limit: Annotated[int | None, typer.Option(min=1, help="Searches: an even spread.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of one result block.")] = 1024,
    context_tokens: Annotated[int, typer.Option(min=1024, help="Tokens of a turn.")] = 8192,
    temperature: Annotated[float, typer.Option(min=0.0, max=100.0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="1 samples from all.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seeds the sampling.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Searches in flight.")] = 8,
    written: Annotated[
        Path | None,
        typer.Option(
            help="Keep every search and what was written for it (.jsonl); the same command resumes."
        ),
    ] = None,
    out: TableFile = None,
) -> None:
    """At each search of recorded trajectories, let the model write the results, and check them."""
    from agent_model.fidelity import measure
    from agent_model.fidelity.facts import searches_of
    from agent_model.fidelity.report import report
    from autocoa_bench.engines import EngineConfig, open_engine
    from autocoa_bench.types import Sampling

    form = format_of(out)
    for file, option in ((out, "--out"), (written, "--written")):
        if file is not None:
            check_file(file, option)
    read = [record for path in records for record in measure.read_records(path)]
    found = [look_up for record in read for look_up in searches_of(record)]
    if not found:
        raise UserError(
            f"none of the {len(read)} records has a search and a gold chain; give records of an "
            "agent over the embedded tasks"
        )
    settings = measure.FidelitySettings(
        dialect=measure.dialect_of(read),
        sampling=Sampling(temperature, top_p, seed=seed),
        top_k=max(1, *(len(look_up.real) for look_up in found)),
        max_tokens=max_tokens,
    )
    servers = addresses(base_url)
    check_key_file(key_file, servers)
    made = open_engine(
        engine_of(engine, servers),
        EngineConfig(
            model=model,
            base_url=servers,
            protocol=protocol.value,
            concurrency=concurrency,
            context_tokens=context_tokens,
            adapter="" if adapter == "none" else adapter,
            key_file=key_file,
        ),
    )
    try:
        measured = measure.measure(found, limit, made, settings, concurrency, written)
    except KeyboardInterrupt:
        kept = "what was written is safe, and" if written else "with --written FILE"
        typer.echo(f"\nstopped; {kept} the same command resumes", err=True)
        raise typer.Exit(130) from None
    _tell_faults(measured, written)
    write_report(report(measured.verdicts, measured.model, measured.faults), form, out)


def _tell_faults(measured: FidelityRun, written: Path | None) -> None:
    """Say on stderr at how many searches the server failed, and how the first did."""
    faults = measured.faults
    if not faults:
        return
    again = "the same command asks them again" if written else "with --written they are resumed"
    typer.echo(
        f"searches left out, the model server failed: {len(faults)} (first with {faults[0].kind}: "
        f"{faults[0].message}); {again}",
        err=True,
    )
