"""`autocoa-bench synth`: training data from a teacher, and its export to other trainers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from autocoa_bench.cli.options import (
    BaseUrl,
    KeyFile,
    Protocol,
    Split,
    addresses,
    check_key_file,
    concurrency_of,
    engine_of,
)
from autocoa_bench.errors import UserError
from autocoa_bench.runs import config

if TYPE_CHECKING:
    from rich.table import Table

    from agent_model.data.folder import DataKind, SynthInfo

app = typer.Typer(
    help="Make training data: trajectories (coa, cot), contrastive pairs (cot+a); export them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

COUNTS: dict[DataKind, int] = {"coa": 5000, "cot": 1000, "cot+a": 1500}
"""How much is drawn unless told otherwise: what the stages were trained on (paper 3.2.1, 3.2.2)."""


class Teacher(StrEnum):
    """Who writes what data is chosen from."""

    GOLD = "gold"
    MODEL = "model"


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
        Teacher, typer.Option(help="gold writes along gold chains, without a model.")
    ] = Teacher.GOLD,
    tasks: Annotated[
        str,
        typer.Option(
            help="Tasks, groups or files, by commas; default: multihop, or when-to-act for cot by "
            "gold, which answers no other task without searches."
        ),
    ] = "",
    split: Annotated[Split, typer.Option(help="The tasks' split.")] = Split.TRAIN,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions a task.")] = None,
    sample_seed: Annotated[int, typer.Option(help="Draws the questions of --limit.")] = 0,
    corpus: Annotated[str | None, typer.Option(help="Corpus; default: the tasks' own.")] = None,
    search: Annotated[str, typer.Option(help="Search engine, or a server's URL.")] = "bm25",
    top_k: Annotated[
        str, typer.Option(help="Passages a search; gold draws one of several, by commas.")
    ] = "3",
    seed: Annotated[int, typer.Option(help="Seeds teacher and draws.")] = 0,
    model: Annotated[str, typer.Option(help="The teacher model, as in `run`.")] = "",
    base_url: BaseUrl = [],  # noqa: B006 - typer reads the default and never changes it
    key_file: KeyFile = "",
    engine: Annotated[str, typer.Option(help="Its engine, as in `run`.")] = "",
    adapter: Annotated[
        str, typer.Option(help="Its LoRA adapter; none, or '' for what the solver ships, if any.")
    ] = "none",
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
    min_actions: Annotated[int, typer.Option(min=0, help="Searches of what is kept.")] = 0,
    max_actions: Annotated[int, typer.Option(min=0, help="Likewise, at most.")] = 10,
    per_question: Annotated[int, typer.Option(min=1, help="Trajectories a question.")] = 1,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many; default: 5000 coa, 1000 cot, 1500 cot+a."),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(help="Where a model's episodes are kept, for coa, cot and cot+a to share."),
    ] = None,
) -> None:
    """Make data. The same command resumes a stopped one; only what is kept may be asked anew."""
    from rich.console import Console

    from agent_model.data.build import DataConfig
    from agent_model.data.build import build_data as make_data
    from agent_model.data.filters import Limits
    from agent_model.data.model_teacher import TeacherConfig
    from autocoa_bench.types import Budget, Sampling

    kind = cast("DataKind", context.info_name)
    _refuse_unused(context, kind, teacher)
    tasks = tasks or _default_tasks(kind, teacher)
    passages = _passages(top_k)
    if teacher is Teacher.MODEL and len(passages) > 1:
        raise UserError(f"--top-k takes one number where a model searches, not {len(passages)}")
    asked = TeacherConfig(tasks, split.value, limit, sample_seed, corpus, search, passages, seed)
    if min_actions > max_actions:
        raise UserError(f"--min-actions {min_actions} is more than --max-actions {max_actions}")
    servers = addresses(base_url)
    check_key_file(key_file, servers)
    engine = engine_of(engine, servers)
    plan = config.RunConfig(
        solver=f"agent:shots={shots}",
        tasks=tasks,
        model=model,
        engine=engine,
        base_url=servers,
        key_file=key_file,
        protocol=protocol.value,
        adapter=adapter,
        split=split.value,
        limit=limit,
        sample_seed=sample_seed,
        samples=samples,
        corpus=corpus,
        search=search,
        top_k=passages[0],
        sampling=Sampling(temperature, top_p, seed=seed),
        budget=Budget(context_tokens=context_tokens, step_tokens=step_tokens),
        concurrency=concurrency_of(concurrency, engine),
        scorers=(scorer,),
    )
    limits = Limits(
        tokens=max_tokens,
        min_actions=min_actions,
        actions=max_actions,
        per_question=per_question,
        least=min_score,
    )
    order = DataConfig(
        kind=kind,
        teacher=asked if teacher is Teacher.GOLD else plan,
        split=split.value,
        scorer=scorer,
        limits=limits,
        count=count or COUNTS[kind],
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
        raise UserError("nothing was kept, so nothing was written; the table says why")
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
    from agent_model.data import export as exports
    from agent_model.data.folder import read

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


_MODELS = [
    *("model", "base_url", "key_file", "engine", "adapter", "protocol", "shots", "samples"),
    *("temperature", "top_p", "context_tokens", "step_tokens", "concurrency", "per_question"),
    "runs",
]
_SEARCHES = ["corpus", "search", "top_k", "shots", "min_actions", "max_actions"]
_UNUSED: dict[tuple[DataKind, Teacher], list[str]] = {
    ("coa", Teacher.GOLD): _MODELS,
    ("cot", Teacher.GOLD): [*_MODELS, "min_actions", "max_actions"],
    ("cot+a", Teacher.GOLD): _MODELS,
    ("cot", Teacher.MODEL): _SEARCHES,
    ("cot+a", Teacher.MODEL): ["max_tokens", "min_actions", "max_actions", "per_question"],
}
"""Options that a kind of data of a teacher has no use for."""


def _refuse_unused(context: typer.Context, kind: DataKind, teacher: Teacher) -> None:
    """Refuse options that were given and would change nothing."""
    sources = {
        name: context.get_parameter_source(name) for name in _UNUSED.get((kind, teacher), ())
    }
    given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    if not given:
        return
    options = ", ".join("--" + name.replace("_", "-") for name in given)
    advice = "leave it out" if len(given) == 1 else "leave them out"
    if teacher is Teacher.GOLD and set(_UNUSED.get((kind, Teacher.MODEL), ())).isdisjoint(given):
        advice += ", or give --teacher model too"
    raise UserError(f"{options}: of no use to {kind} data with --teacher {teacher.value}; {advice}")


def _default_tasks(kind: DataKind, teacher: Teacher) -> str:
    return "when-to-act" if (kind, teacher) == ("cot", Teacher.GOLD) else "multihop"


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
