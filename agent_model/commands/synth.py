"""`autocoa-bench synth`: training data from a teacher, and its export to other trainers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from autocoa_bench.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from agent_model.synthesis.folder import Kind, SynthInfo

app = typer.Typer(
    help="Make training data: trajectories (coa, cot), contrastive pairs (cot+a); export them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

PAIRS = 1500
"""How many pairs stage 1 is trained on (paper 3.2.1)."""


class Split(StrEnum):
    """A task's split."""

    TRAIN = "train"
    TEST = "test"


class Protocol(StrEnum):
    """How prompts reach a server."""

    AUTO = "auto"
    CONTINUE = "continue"
    TEMPLATE = "template"
    CHAT = "chat"
    COMPLETIONS = "completions"


class Target(StrEnum):
    """Whose format data is exported to."""

    LLAMAFACTORY = "llamafactory"
    TRL = "trl"
    VERL = "verl"


@app.command("cot+a", help="Contrastive pairs that part at one point: to search or not.")
@app.command("cot", help="CoT data: right answers by reasoning without tools.")
@app.command("coa", help="CoA data: right answers by reasoning with searches.")
def make(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The folder that the data is written to.")],
    teacher: Annotated[
        str, typer.Option(help="gold (writes along gold chains, no model), or model.")
    ] = "gold",
    tasks: Annotated[str, typer.Option(help="Tasks, groups or files, by commas.")] = "multihop",
    split: Annotated[Split, typer.Option(help="The tasks' split.")] = Split.TRAIN,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions a task.")] = None,
    sample_seed: Annotated[int, typer.Option(help="Draws the questions of --limit.")] = 0,
    corpus: Annotated[str | None, typer.Option(help="Corpus; default: the tasks' own.")] = None,
    search: Annotated[str, typer.Option(help="Search engine.")] = "bm25",
    top_k: Annotated[
        str, typer.Option(help="Passages a search; gold draws one of several, by commas.")
    ] = "3",
    seed: Annotated[int, typer.Option(help="Seeds teacher and draws.")] = 0,
    model: Annotated[str, typer.Option(help="The teacher model, as in `run`.")] = "",
    base_url: Annotated[str, typer.Option(help="Its OpenAI-compatible server.")] = "",
    engine: Annotated[str, typer.Option(help="Its engine, as in `run`.")] = "",
    protocol: Annotated[Protocol, typer.Option(help="How prompts reach it.")] = Protocol.AUTO,
    shots: Annotated[
        int, typer.Option(min=0, help="Worked examples that the model is shown for searching.")
    ] = 2,
    samples: Annotated[int, typer.Option(min=1, help="Episodes a question.")] = 4,
    temperature: Annotated[float, typer.Option(min=0.0, max=100.0, help="0 is greedy.")] = 0.7,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="1 samples from all.")] = 0.8,
    context_tokens: Annotated[int, typer.Option(min=1024, help="An episode's tokens.")] = 8192,
    step_tokens: Annotated[int, typer.Option(min=1, help="Tokens a completion.")] = 2048,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Episodes in flight.")] = None,
    scorer: Annotated[str, typer.Option(help="The scorer that says what is right.")] = "em",
    min_score: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The score from which it is right.")
    ] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of what is kept.")] = 8192,
    max_actions: Annotated[int, typer.Option(min=0, help="Searches of what is kept.")] = 10,
    per_question: Annotated[int, typer.Option(min=1, help="Trajectories a question.")] = 1,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Trajectories or pairs, drawn; default: all, 1500 pairs."),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(help="Where a model's episodes are kept, for coa, cot and cot+a to share."),
    ] = None,
) -> None:
    """Make data. The same command resumes a stopped one; only what is kept may be asked anew."""
    from rich.console import Console

    from agent_model.synthesis.keep import Limits
    from agent_model.synthesis.making import Order
    from agent_model.synthesis.making import make as make_data
    from agent_model.synthesis.sampled import Ask
    from autocoa_bench import bench
    from autocoa_bench.types import Budget, Sampling

    kind = cast("Kind", context.info_name)
    passages = _passages(top_k)
    _check_teacher(teacher, passages, model=bool(model or base_url or engine))
    asked = Ask(tasks, split.value, limit, sample_seed, corpus, search, passages, seed)
    engine = engine or ("openai" if base_url else "embedded")
    plan = bench.Plan(
        solver=f"agent:shots={shots}",
        tasks=tasks,
        model=model,
        engine=engine,
        base_url=base_url,
        protocol=protocol.value,
        split=split.value,
        limit=limit,
        sample_seed=sample_seed,
        samples=samples,
        corpus=corpus,
        search=search,
        top_k=passages[0],
        sampling=Sampling(temperature, top_p, seed=seed),
        budget=Budget(context_tokens=context_tokens, step_tokens=step_tokens),
        concurrency=concurrency or (8 if engine == "embedded" else 64),
        scorers=(scorer,),
    )
    limits = Limits(
        tokens=max_tokens, actions=max_actions, per_question=per_question, least=min_score
    )
    order = Order(
        kind=kind,
        teacher=asked if teacher == "gold" else plan,
        split=split.value,
        scorer=scorer,
        limits=limits,
        count=count or (PAIRS if kind == "cot+a" else None),
        seed=seed,
        out=out,
        runs=runs or out,
    )
    try:
        info = make_data(order, Console(stderr=True))
    except KeyboardInterrupt:
        typer.echo("\nstopped; what was sampled is safe, and the same command resumes", err=True)
        raise typer.Exit(130) from None
    Console().print(_table(info))
    if not info.written:
        raise UserError("nothing was kept; the table says why")
    typer.echo(f"{info.written} written to {out}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="A folder that synth made.")],
    to: Annotated[Target, typer.Option(help="Whose format.")],
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
    from agent_model.synthesis import exports
    from agent_model.synthesis.folder import read

    if observations and tokenizer is None:
        raise UserError("--observations is about tokens, and needs --tokenizer")
    files = exports.export(
        read(folder),
        to.value,
        out,
        name or folder.resolve().name,
        tokenizer=exports.load_tokenizer(tokenizer) if tokenizer else None,
        observations=observations,
    )
    for file in files:
        typer.echo(file)


def _check_teacher(teacher: str, passages: tuple[int, ...], *, model: bool) -> None:
    """Refuse options that the teacher has no use for."""
    if teacher not in ("gold", "model"):
        raise UserError(f"--teacher is gold or model, not '{teacher}'")
    if teacher == "gold" and model:
        raise UserError("a model was given, and --teacher is gold; give --teacher model too")
    if teacher == "model" and len(passages) > 1:
        raise UserError(f"--top-k takes one number where a model searches, not {len(passages)}")


def _passages(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(1 <= number <= 100 for number in numbers):
        raise UserError(f"--top-k takes numbers from 1 to 100, by commas, not '{text}'")
    return numbers


def _table(info: SynthInfo) -> Table:
    """What was kept, and why the rest was not."""
    from rich.table import Table

    counts = info.counts
    table = Table(title=f"{info.spec.kind} data", title_justify="left")
    table.add_column("")
    table.add_column("number", justify="right")
    table.add_column("share", justify="right")
    rows = [("seen", counts.seen), *counts.dropped.items(), ("kept", counts.kept)]
    for label, number in rows:
        table.add_row(label, str(number), f"{number / counts.seen:.1%}" if counts.seen else "–")
    table.add_section()
    if info.made != info.written:
        table.add_row("not drawn", str(info.made - info.written))
    for label, number in (("written", info.written), *info.shape.items()):
        table.add_row(label, str(number))
    return table
