"""`autocoa-bench tasks compose`: questions over a corpus of real text, to train on."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from autocoa_bench.cli.output import count_table, stdout
from autocoa_bench.errors import UserError

app = typer.Typer()


@app.command()
def compose(
    corpus: Annotated[str, typer.Argument(help="Passages of an encyclopedia: a name or a file.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    count: Annotated[int, typer.Option(min=1, help="Most questions to compose.")] = 3000,
    questions: Annotated[
        str,
        typer.Option(
            help="Tasks or files; of their train questions, keep those that are answered."
        ),
    ] = "",
    exclude: Annotated[
        str,
        typer.Option(help="Tasks or files that are evaluated on; nothing that they name is asked."),
    ] = "",
    held_out: Annotated[
        int, typer.Option(min=0, help="Questions of each kind that are written to held-out.jsonl.")
    ] = 0,
) -> None:
    """Compose questions of several hops about the passages of a corpus, without a model.

    composed.jsonl has chains and comparisons with their sub-questions, read out of first sentences
    by patterns; answered.jsonl has those of --questions for which a search for the question shows
    a passage that supports the answer.
    """
    from tasks.composed.build import build

    built = build(corpus, count, questions, exclude)
    if not (built.composed or built.answered):
        raise UserError("no question was composed; the corpus must be passages of an encyclopedia")
    table = count_table("questions")
    table.add_row("entities", f"{built.entities:,}")
    table.add_row("statements about them", f"{built.statements:,}")
    for kind, number in sorted(Counter(one.kind for one in built.composed).items()):
        table.add_row(f"composed: {kind}", f"{number:,}")
    if questions:
        table.add_row("answered", f"{len(built.answered):,}")
        table.add_row("not answered, or excluded", f"{built.left_out:,}")
    stdout().print(table)
    for file in built.write(out, held_out):
        typer.echo(file)
