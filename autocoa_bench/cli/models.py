"""`autocoa-bench models`: list models and engines; download, convert and merge weights."""

from typing import Annotated, Literal

import typer

from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.output import list_table, stdout

app = typer.Typer(
    help="List the models that install by name, and pull one.", invoke_without_command=True
)


_AGAIN = "nothing is left of it, and the same command begins again"


@app.callback()
def models(context: typer.Context) -> None:
    """List the models that install by name, and what each engine can do."""
    if context.invoked_subcommand is not None:
        return
    from autocoa_bench.engines import EngineCapabilities, catalogue
    from autocoa_bench.engines.weights.models import known_models

    console = stdout()
    table = list_table("Models", ("name", "size", "licence", "source", "here"))
    for model in known_models():
        size = f"{model.size / 2**20:.0f} MiB"
        table.add_row(model.name, size, model.licence, model.source, "yes" if model.path else "no")
    console.print(table)
    console.print("Any .gguf file is a model too, and any served name with --base-url.\n")
    columns = [name for name in EngineCapabilities.__struct_fields__ if name != "request_options"]
    headings = {"ids": "token ids", "lora": "LoRA (--adapter)"}
    table = list_table(
        "Engines (--engine)", ("name", *(headings.get(column, column) for column in columns))
    )
    for name, capabilities in catalogue():
        # A plug-in's engine may not declare all that it can do.
        cells = [getattr(capabilities, column, "?") for column in columns]
        table.add_row(name, *cells)
    console.print(table)
    console.print(
        "token ids: what the model sampled comes back, and goes back unchanged in the next prompt. "
        "logprobs: the server has them; runs ask for none."
    )
    for name, capabilities in catalogue():
        taken = capabilities.request_options if capabilities else ()
        flags = ", ".join("--" + field.replace("_", "-") for field in taken)
        console.print(f"options of requests, {name}: {flags or 'none'}")


@app.command()
def pull(name: Annotated[str, typer.Argument(help="A model of the list.")]) -> None:
    """Download a model, check it and keep it."""
    from autocoa_bench.engines.weights.models import pull as pull_model

    with stopped_safely(_AGAIN):
        typer.echo(pull_model(name))


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A PEFT or transformers folder, or an adapter.")],
    target: Annotated[str, typer.Argument(help="What to make: a .gguf, or a PEFT folder.")],
    base: Annotated[
        str, typer.Option(help="The adapter's model; or the GGUF whose tokenizer a model takes.")
    ] = "",
    outtype: Annotated[
        Literal["auto", "q8_0", "f16", "f32"],
        typer.Option(help="Type of the weights; auto: q8_0 for a GGUF, f32 for a PEFT folder."),
    ] = "auto",
) -> None:
    """Convert a trained adapter or model for another server; without network or torch."""
    from autocoa_bench.engines.weights.convert import convert as convert_model

    with stopped_safely(_AGAIN):
        typer.echo(convert_model(source, target, base, outtype))


@app.command()
def merge(
    adapter: Annotated[str, typer.Argument(help="A PEFT folder or a .gguf adapter.")],
    target: Annotated[str, typer.Argument(help="The folder to make.")],
    base: Annotated[str, typer.Option(help="A transformers folder, or a named model.")],
) -> None:
    """Add an adapter to its base for good, as a transformers folder."""
    from autocoa_bench.engines.weights.huggingface import merge as merge_model

    with stopped_safely(_AGAIN):
        typer.echo(merge_model(adapter, target, base))
