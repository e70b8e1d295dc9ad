"""One question, asked as a run asks it; no run folder is written."""

from pathlib import Path

from msgspec.structs import replace
from rich.console import Console

from autocoa_bench.engines import caveats, model_name
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.runs.executor import LocalExecutor
from autocoa_bench.runs.scheduler import Job
from autocoa_bench.runs.solvers import Watch, load_solver
from autocoa_bench.search.engine import engine_summary
from autocoa_bench.tasks import resolve
from autocoa_bench.types import Question, Record, RunSpec
from autocoa_bench.util.terminal import styled


def ask(config: RunConfig, text: str, watch: Watch, console: Console) -> Record:
    """Answer a question with a solver and return the record that a run would keep.

    Without a corpus, the one that the configured tasks share is searched. `watch` is called as the
    episode goes on; `console` shows what answers, and warnings. Raises UserError for bad input.
    """
    solver = load_solver(config.solver)._replace(watch=watch)
    config = replace(config, top_k=solver.top_k or config.top_k, concurrency=1)
    job = Job(Question(id="1", text=text, golden_answers=(), task="ask"), sample=0)
    records: list[Record] = []
    executor = LocalExecutor(solver, resolve(config.tasks), console)
    try:
        spec = executor.start(config, samples=()).spec
        console.print(styled(_summary(spec), "dim"), soft_wrap=True)
        for caveat in caveats(spec.engine):
            console.print(styled(caveat, "yellow"))
        executor.run(Path(), [job], records.append)
    finally:
        executor.close()
    [record] = records
    return record


def _summary(spec: RunSpec) -> str:
    """The solver, its model and what it searches."""
    parts = [spec.solver, model_name(spec.engine)]
    if spec.search:
        parts.append(engine_summary(spec.search))
    return ", ".join(filter(None, parts))
