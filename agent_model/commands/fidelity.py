"""`autocoa-bench fidelity`: how true the search results are that a model imagines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench.errors import UNREADABLE, UserError

if TYPE_CHECKING:
    from agent_model.tags import TagDialect
    from agent_model.world_model import LookUp, Verdict
    from autocoa_bench.engines import Engine
    from autocoa_bench.types import Question, Record, Sampling

app = typer.Typer(
    help="Measure a model's simulated search results against the real ones.",
    rich_markup_mode=None,
)

TRAIN, UNSEEN, OTHER = "train world", "unseen world", "of no registered task"


@app.command()
def fidelity(
    records: Annotated[
        list[Path], typer.Argument(help="Run folders, or files of records (.jsonl).")
    ],
    model: Annotated[str, typer.Option(help="The model, as in `run`.")] = "",
    adapter: Annotated[str, typer.Option(help="A LoRA adapter for it; default: none.")] = "",
    base_url: Annotated[str, typer.Option(help="Its OpenAI-compatible server.")] = "",
    engine: Annotated[str, typer.Option(help="Its engine, as in `run`.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Searches: an even spread.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of one result block.")] = 1024,
    context_tokens: Annotated[int, typer.Option(min=1024, help="Tokens of a turn.")] = 8192,
    temperature: Annotated[float, typer.Option(min=0.0, max=100.0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="1 samples from all.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seeds the sampling.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Searches in flight.")] = 8,
    observations: Annotated[
        Path | None, typer.Option(help="Write every search and what was written for it (.jsonl).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the table to a file (.md, .tex or .csv).")
    ] = None,
) -> None:
    """At each search of recorded trajectories, let the model write the results, and check them."""
    from rich.console import Console

    from agent_model.world_model import look_ups, report
    from autocoa_bench.engines import EngineOptions
    from autocoa_bench.registry import load
    from autocoa_bench.report import print_terminal
    from autocoa_bench.types import Sampling

    form = _format_of(out)
    read = [record for path in records for record in _read(path)]
    found = [look_up for record in read for look_up in look_ups(record)]
    if not found:
        raise UserError(
            f"none of the {len(read)} records has a search and a gold chain; give records of an "
            "agent over the embedded tasks"
        )
    dialect = _dialect(read)
    made: Engine = load("engines", engine or ("openai" if base_url else "embedded"))(
        EngineOptions(
            model=model,
            base_url=base_url,
            protocol="auto",
            concurrency=concurrency,
            context_tokens=context_tokens,
            adapter=adapter,
        )
    )
    sampling = Sampling(temperature, top_p, seed=seed)
    verdicts, name = _judged(
        _spread(found, limit), made, dialect, sampling, max_tokens, concurrency
    )
    told = report(verdicts, name)
    if observations is not None:
        _write(observations, _lines(verdicts))
    if out is None:
        print_terminal(told, Console())
    else:
        from autocoa_bench.report import render

        _write(out, render(told, form))


def _judged(
    found: Sequence[LookUp],
    engine: Engine,
    dialect: TagDialect,
    sampling: Sampling,
    max_tokens: int,
    concurrency: int,
) -> tuple[list[Verdict], str]:
    """The verdicts, and the name of what wrote the results."""
    import asyncio

    from agent_model.world_model import judge
    from autocoa_bench.engines import model_name
    from autocoa_bench.errors import SearchFault
    from autocoa_bench.latebar import LateBar
    from autocoa_bench.search.simulated import SimulatedSearch

    origins = _origins(look_up.question for look_up in found)
    shown = max(1, *(len(look_up.real) for look_up in found))

    async def work() -> tuple[list[Verdict], str]:
        try:
            name = model_name(await engine.start())
            search = SimulatedSearch(
                engine, name, dialect, sampling=sampling, top_k=shown, max_tokens=max_tokens
            )
            with LateBar("simulating searches") as bar:
                done = iter(range(1, len(found) + 1))
                verdicts = await judge(
                    found,
                    search,
                    lambda question: origins[question.task, question.id],
                    concurrency,
                    lambda: bar.update(next(done) / len(found)),
                )
            return verdicts, name
        finally:
            await engine.close()

    try:
        return asyncio.run(work())
    except SearchFault as fault:
        raise UserError(
            f"the model server failed ({fault.kind}: {fault}); nothing was measured"
        ) from None


def _read(path: Path) -> list[Record]:
    import msgspec

    from autocoa_bench.types import Record

    file = path / "records.jsonl" if path.is_dir() else path
    try:
        return msgspec.json.Decoder(Record).decode_lines(file.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}") from None
    except UNREADABLE as error:
        raise UserError(
            f"'{file}' holds no records ({error}); give a run's records.jsonl"
        ) from None


def _dialect(records: Sequence[Record]) -> TagDialect:
    """The dialect of the records that search: one, with tags around its results."""
    from agent_model.tags import TagDialect
    from autocoa_bench.solvers import load_solver

    names = {
        record.trajectory.solver
        for record in records
        if record.trajectory and any(step.kind == "search" for step in record.trajectory.steps)
    }
    if len(names) > 1:
        raise UserError(f"records of several solvers were given ({', '.join(sorted(names))})")
    name = names.pop()
    plugin = load_solver(name).plugin
    if not isinstance(plugin, TagDialect):
        raise UserError(f"'{name}' writes no tags around search results; give records of the agent")
    return plugin


def _origins(questions: Iterable[Question]) -> dict[tuple[str, str], str]:
    """Which split of its registered task each question is of: the train world, or an unseen one."""
    from autocoa_bench import registry
    from autocoa_bench.tasks import Split

    splits: dict[Split, str] = {"train": TRAIN, "test": UNSEEN}
    found = {(question.task, question.id): OTHER for question in questions}
    for name in {task for task, _ in found} & set(registry.names("tasks")):
        task = registry.load("tasks", name)
        for split, origin in splits.items():
            for question in task.load(split):
                if (name, question.id) in found:
                    found[name, question.id] = origin
    return found


def _spread(found: Sequence[LookUp], limit: int | None) -> list[LookUp]:
    """At most `limit` of the look-ups, evenly spread."""
    if limit is None or limit >= len(found):
        return list(found)
    return [found[at * len(found) // limit] for at in range(limit)]


def _format_of(out: Path | None) -> str:
    formats = {".md": "markdown", ".tex": "latex", ".csv": "csv"}
    if out is not None and out.suffix not in formats:
        raise UserError(f"'{out}' does not say its format: end it in .md, .tex or .csv")
    return formats[out.suffix] if out else ""


def _lines(verdicts: Sequence[Verdict]) -> str:
    import msgspec

    return msgspec.json.Encoder().encode_lines(verdicts).decode()


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write '{file}': {error.strerror}") from None
