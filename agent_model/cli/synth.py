"""`autocoa-bench synth`: training data from a teacher, and its export to other trainers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from msgspec.structs import replace

from agent_model.data import DataConfig, DataKind
from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.options_from_config import flags_given, options_from
from autocoa_bench.cli.output import count_table, stderr, stdout
from autocoa_bench.engines import RequestOptions
from autocoa_bench.errors import UserError
from autocoa_bench.runs.config import RunConfig

if TYPE_CHECKING:
    from rich.table import Table

    from agent_model.data.folder import SynthInfo

app = typer.Typer(
    help="Make training data: trajectories (coa, cot), contrastive pairs (cot+a); export them.",
    no_args_is_help=True,
)

TEACHER_DEFAULTS = {
    "split": "train",
    "adapter": "none",
    "samples": 4,
    "temperature": 0.7,
    "top_p": 0.8,
}
"""Options of a teacher's run whose defaults are not those of `run`."""

_QUESTIONS = ("fields", "split", "limit", "sample_seed", "corpus", "search", "seed")
_MODEL = (
    *("model", "base_url", "key_file", "engine", "adapter", "protocol", "concurrency"),
    *RequestOptions.__struct_fields__,
)
_SAMPLING = ("samples", "temperature", "top_p", "context_tokens", "step_tokens")


@app.command("cot+a", help="Contrastive pairs that part at one point: to search or not.")
@app.command("cot", help="CoT data: right answers by reasoning without tools.")
@app.command("coa", help="CoA data: right answers by reasoning with searches.")
@options_from(DataConfig, without=("run",))
@options_from(RunConfig, only=(*_QUESTIONS, *_MODEL, *_SAMPLING), defaults=TEACHER_DEFAULTS)
def make(
    context: typer.Context,
    config: DataConfig,
    run: RunConfig,
    tasks: Annotated[
        str,
        typer.Option(
            help="Tasks, groups or files, separated by commas; default: multihop, or when-to-act "
            "for cot with --teacher gold, the only task that gold can answer without searching."
        ),
    ] = "",
    shots: Annotated[
        int, typer.Option(min=0, help="Worked examples of searching in the model's prompt.")
    ] = 2,
) -> None:
    """Make data. The same command resumes a stopped one, even with other limits and counts."""
    from agent_model.data.build import build_data

    kind = cast("DataKind", context.info_name)
    _refuse_unused(context, kind, config.teacher)
    if config.teacher == "model" and len(config.top_k) > 1:
        raise UserError(f"--top-k takes one number where a model searches, not {len(config.top_k)}")
    if config.limits.min_actions > config.limits.max_actions:
        raise UserError(
            f"--min-actions {config.limits.min_actions} is more than "
            f"--max-actions {config.limits.max_actions}"
        )
    default_tasks = "when-to-act" if (kind, config.teacher) == ("cot", "gold") else "multihop"
    config = replace(
        config,
        kind=kind,
        run=replace(
            run,
            solver=f"agent:shots={shots}",
            tasks=tasks or default_tasks,
            top_k=config.top_k[0],
            scorers=(config.scorer,),
        ),
    )
    with stopped_safely("what was sampled is safe, and the same command resumes"):
        info = build_data(config, stderr())
    stdout().print(_table(info))
    if not info.written:
        raise UserError("nothing was kept, so nothing was written; the table says why")
    typer.echo(f"{info.written} written to {config.out}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="A folder that synth made.")],
    to: Annotated[
        Literal["llamafactory", "trl", "verl"], typer.Option(help="The trainer that reads it.")
    ],
    out: Annotated[Path, typer.Option(help="The folder that is written to.")],
    name: Annotated[str, typer.Option(help="The data's name; default: the folder's.")] = "",
    tokenizer: Annotated[
        Path | None, typer.Option(help="trl: a tokenizer's folder, for tokens instead of text.")
    ] = None,
    observations: Annotated[
        bool, typer.Option(help="With --tokenizer: put observations into the loss (stage 3).")
    ] = False,
) -> None:
    """Write data in another trainer's format."""
    from agent_model.data import export as trainer_formats
    from agent_model.data.folder import read

    if observations and tokenizer is None:
        raise UserError("--observations selects tokens, and needs --tokenizer")
    files = trainer_formats.export(
        read(folder),
        to,
        out,
        name or folder.resolve().name,
        tokenizer=trainer_formats.load_tokenizer(tokenizer) if tokenizer else None,
        observations=observations,
    )
    for file in files:
        typer.echo(file)


_MODEL_ONLY = [*_MODEL, *_SAMPLING, "shots", "per_question", "runs", "easy_share"]
_SEARCHES_ONLY = ["min_actions", "max_actions", "evidence"]
_UNUSED: dict[tuple[DataKind, str], list[str]] = {
    ("coa", "gold"): _MODEL_ONLY,
    ("cot", "gold"): [*_MODEL_ONLY, *_SEARCHES_ONLY],
    ("cot+a", "gold"): _MODEL_ONLY,
    ("cot", "model"): ["corpus", "search", "top_k", "shots", *_SEARCHES_ONLY],
    ("cot+a", "model"): [*_SEARCHES_ONLY, "max_tokens", "per_question", "easy_share"],
}
"""Options that have no effect on a kind of data from a teacher."""


def _refuse_unused(context: typer.Context, kind: DataKind, teacher: str) -> None:
    """Refuse options on the command line that have no effect. Raises UserError."""
    unused = _UNUSED.get((kind, teacher), ())
    flags = flags_given(context, unused)
    if not flags:
        return
    advice = "leave it out" if len(flags) == 1 else "leave them out"
    of_model = flags_given(context, set(unused) - set(_UNUSED.get((kind, "model"), ())))
    if teacher == "gold" and len(of_model) == len(flags):
        advice += ", or give --teacher model too"
    raise UserError(
        f"{', '.join(flags)}: no effect on {kind} data with --teacher {teacher}; {advice}"
    )


def _table(info: SynthInfo) -> Table:
    """The numbers of trajectories or pairs that were kept, and of the others by reason."""
    counts = info.counts
    table = count_table(f"{info.spec.kind} data", "share")
    for label, number in (("seen", counts.seen), *counts.dropped.items(), ("kept", counts.kept)):
        table.add_row(label, str(number), f"{number / counts.seen:.1%}" if counts.seen else "–")
    table.add_section()
    if info.chosen != info.written:
        table.add_row("not drawn", str(info.chosen - info.written))
    for label, number in (("written", info.written), *info.shape.items()):
        table.add_row(label, str(number))
    return table
