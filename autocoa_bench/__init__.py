"""AutoCoA-Bench: evaluate search agents on question answering, in one loop with one scorer.

A *solver* (a model alone, a ReAct workflow, an agent model) answers the questions of *tasks*
with a model *engine* and a *search engine*. A run records every episode in a run folder:

    import autocoa_bench

    run = autocoa_bench.run(
        solver="react", tasks="hotpotqa", limit=20, model="qwen3", base_url="http://127.0.0.1:8000"
    )
    print(run.path, len(run.records), run.scores["em"])

Without `base_url` the embedded engine answers. `RunConfig` lists all settings. Calling `run` again
with the same settings resumes the run. Run folders, also those of the command line, load as
pandas frames:

    runs, records, steps = autocoa_bench.load_runs("results/runs/one", "results/runs/other")
    records.groupby(["run", "actions"]).em.mean()

Everything that a run consists of is a plug-in. A package adds one by declaring an entry point
(docs/extending.md has an example of each):

    kind            entry point group          object
    solver          autocoa_bench.solvers      factory of a Dialect or a DirectSolver
    task            autocoa_bench.tasks        Task
    corpus          autocoa_bench.corpora      function that returns the path of a corpus file
    model engine    autocoa_bench.engines      factory(options: EngineConfig, ...) -> Engine
    search engine   autocoa_bench.search       factory(corpus, *, top_k, ...) -> SearchEngine
    scorer          autocoa_bench.scorers      TextScorer: (prediction, golds) -> 0.0 to 1.0
    judge prompt    autocoa_bench.judges       factory of a JudgePrompt
    executor        autocoa_bench.executors    factory of an Executor
    command         autocoa_bench.commands     typer.Typer

The names in `__all__` are the public interface; modules below this package may move. A name is
imported when it is first used, so that importing the package stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autocoa_bench.engines import (
        Engine,
        EngineCapabilities,
        EngineConfig,
        RequestOptions,
        with_capabilities,
    )
    from autocoa_bench.engines.scripted import ScriptedEngine
    from autocoa_bench.episode import (
        Action,
        Dialect,
        ReadingDialect,
        RetrievingDialect,
        n_actions,
        neutralise,
    )
    from autocoa_bench.errors import (
        EngineFault,
        Fault,
        Incomparable,
        MissingExtra,
        SearchFault,
        ServerDown,
        UserError,
    )
    from autocoa_bench.frames import Frames, load_runs
    from autocoa_bench.judge import JudgePrompt
    from autocoa_bench.runs.config import RunConfig
    from autocoa_bench.runs.executor import Executor
    from autocoa_bench.runs.run import run
    from autocoa_bench.runs.run_folder import Run
    from autocoa_bench.runs.solvers import DirectSolver
    from autocoa_bench.scoring import BoxScorer, TextScorer
    from autocoa_bench.search import BatchSearchEngine, SearchEngine
    from autocoa_bench.search.batching import BatchedSearch
    from autocoa_bench.tasks import NamedSamples, Task, questions_sha256
    from autocoa_bench.types import (
        Budget,
        Completion,
        EngineSpec,
        FaultNote,
        Generate,
        Hop,
        Message,
        ModelTraits,
        Observation,
        Passage,
        Prompt,
        Question,
        Record,
        RunInfo,
        RunSpec,
        Sampling,
        Score,
        SearchSpec,
        Split,
        Step,
        TaskInfo,
        Trajectory,
        Turn,
    )

__version__ = "0.1.0"

# Runs
__all__ = ["Frames", "Run", "RunConfig", "RunInfo", "RunSpec", "load_runs", "run"]
# Questions and episodes
__all__ += ["Hop", "Passage", "Question", "Record", "Score", "Step", "Trajectory", "Turn"]
__all__ += ["n_actions", "neutralise"]
# Solvers
__all__ += ["Action", "Completion", "Dialect", "DirectSolver", "Message"]
__all__ += ["ReadingDialect", "RetrievingDialect"]
# Engines
__all__ += ["Engine", "EngineCapabilities", "EngineConfig", "EngineSpec", "Generate"]
__all__ += ["ModelTraits", "Prompt", "RequestOptions", "ScriptedEngine", "with_capabilities"]
# Search engines, executors, scorers and judge prompts
__all__ += ["BatchSearchEngine", "BatchedSearch", "Observation", "SearchEngine", "SearchSpec"]
__all__ += ["BoxScorer", "Executor", "JudgePrompt", "TextScorer"]
# Tasks
__all__ += ["NamedSamples", "Split", "Task", "TaskInfo", "questions_sha256"]
# Budgets and sampling
__all__ += ["Budget", "Sampling"]
# Errors
__all__ += ["EngineFault", "Fault", "FaultNote", "Incomparable", "MissingExtra", "SearchFault"]
__all__ += ["ServerDown", "UserError"]

# The modules that define the public names, the cheapest to import first.
_MODULES = (
    *("types", "errors", "episode", "scoring", "engines", "search", "tasks", "judge"),
    *("engines.scripted", "runs.config", "runs.run_folder", "runs.solvers", "runs.executor"),
    *("runs.run", "search.batching", "frames"),
)


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in __all__:
        for path in _MODULES:
            module = import_module(f"{__name__}.{path}")
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
