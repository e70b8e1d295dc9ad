"""`autocoa-bench export`: a run in another tool's format."""

from pathlib import Path
from typing import Annotated

import typer

from autocoa_bench.util.json_lines import write_files
from autocoa_bench.util.text import printable_tree


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
) -> None:
    """Write a run as logs of Inspect, one per task: `inspect view --log-dir OUT` opens them."""
    import json

    from autocoa_bench.runs.inspect_logs import inspect_logs
    from autocoa_bench.runs.scores import load_scored

    for name, log in inspect_logs(load_scored(run)).items():
        content = json.dumps(printable_tree(log), ensure_ascii=False).encode()
        (file,) = write_files(out, {name: content})
        typer.echo(file)
