"""`autocoa-bench export`: a run in another tool's format, or as a dataset."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from autocoa_bench.util.json_lines import write_files
from autocoa_bench.util.text import printable_tree


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    to: Annotated[
        Literal["inspect", "dataset"], typer.Option(help="Logs of Inspect, or a dataset.")
    ] = "inspect",
) -> None:
    """Write a run as logs of Inspect, one per task: `inspect view --log-dir OUT` opens them.

    With --to dataset, write its trajectories as a dataset of the Hugging Face Hub, with a card:
    `datasets.load_dataset(OUT, "records")` and `(OUT, "steps")` open it.
    """
    import json

    from autocoa_bench.runs.inspect_logs import inspect_logs
    from autocoa_bench.runs.scores import load_scored

    if to == "dataset":
        from autocoa_bench.cli.export_dataset import write_dataset

        for file in write_dataset(load_scored(run), out):
            typer.echo(file)
        return
    for name, log in inspect_logs(load_scored(run)).items():
        content = json.dumps(printable_tree(log), ensure_ascii=False).encode()
        (file,) = write_files(out, {name: content})
        typer.echo(file)
