"""Evaluation during training: every so often the model runs the benchmark's own episodes."""

from collections.abc import Sequence
from random import Random
from typing import Literal, NamedTuple

from accelerate import Accelerator
from accelerate.utils import gather_object

from agent_model.data.filters import STUDENT, is_well_formed
from agent_model.rollout.environments import SearchClient
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler
from agent_model.training.config import EvalConfig, GRPOConfig, episode_budget
from agent_model.training.model import Policy, eval_mode
from autocoa_bench import scoring, tasks
from autocoa_bench.engines.tokenizer import Tokenizer, traits
from autocoa_bench.episode import Dialect, episode, n_actions
from autocoa_bench.errors import UserError
from autocoa_bench.runs.solvers import DirectSolver, load_solver
from autocoa_bench.search import SearchEngine
from autocoa_bench.search.factory import has_own_corpus, open_engine
from autocoa_bench.types import Budget, Question, Record

_SLOTS = 32  # episodes at once
_CLOSED_BOOK = "model-only"  # the solver that is not shown a search engine


class EpisodeSetup(NamedTuple):
    """Everything that episodes need besides the model. `corpus` is empty if the search engine has
    its own; `warnings` are of the files of questions."""

    questions: list[Question]
    dialect: Dialect
    search: SearchEngine
    budget: Budget
    corpus: str = ""
    warnings: tuple[str, ...] = ()


def load_evaluation(config: EvalConfig) -> EpisodeSetup | None:
    """The evaluation of a recipe's `[live]`, or None if it names no tasks. Raises UserError."""
    return load_episodes(config, config.split, "bm25", "live.") if config.tasks else None


def load_episodes(
    config: EvalConfig | GRPOConfig, split: Literal["test", "train"], search: str, table: str = ""
) -> EpisodeSetup:
    """Load up to `config.count` questions, equally many per task, with solver and search engine.

    `table` prefixes the recipe's keys in errors. Raises UserError.
    """
    solver = load_solver(config.solver)
    if isinstance(solver.plugin, DirectSolver):
        raise UserError(
            f"training needs a solver with a dialect; {table}solver = '{config.solver}' has none"
        )
    selected = tasks.resolve(config.tasks)
    share = -(-config.count // len(selected))
    questions = [q for task in selected for q in tasks.sample(task.load(split), share, 0)]
    corpus = config.corpus or tasks.shared_corpus(selected, split)
    if not (corpus or has_own_corpus(search)):
        raise UserError(f"the tasks '{config.tasks}' do not share a corpus; give {table}corpus")
    engine, budget = open_engine(search, corpus, config.top_k), episode_budget(config)
    warnings = tuple(warning for task in selected for warning in tasks.load_warnings(task))
    return EpisodeSetup(questions[: config.count], solver.plugin, engine, budget, corpus, warnings)


def closed_book(setup: EpisodeSetup) -> EpisodeSetup:
    """The questions of an evaluation that are on known facts, for a model without a search engine.

    Raises UserError if there are none.
    """
    known = [question for question in setup.questions if question.kind == "known"]
    if not known:
        raise UserError(
            f"live.closed_book asks about known facts, but none of the {len(setup.questions)} "
            "questions is marked as one; give other live.tasks (when-to-act, nano), or leave it out"
        )
    dialect = load_solver(_CLOSED_BOOK).plugin
    assert not isinstance(dialect, DirectSolver)
    return setup._replace(questions=known, dialect=dialect)


def evaluate(
    setup: EpisodeSetup, policy: Policy, tokenizer: Tokenizer, accelerator: Accelerator
) -> list[Record]:
    """Answer every question greedily, each process a part of them; all return all records.

    Raises UserError, in all processes, if a search fails.
    """
    index, processes = accelerator.process_index, accelerator.num_processes
    questions = setup.questions[index::processes]
    of_model = traits(tokenizer)
    rollouts = [
        Rollout(episode(question, setup.dialect, setup.budget, of_model), Random(0))
        for question in questions
    ]
    with eval_mode(policy), SearchClient(setup.search) as search:
        slots = max(1, min(_SLOTS, len(rollouts)))
        sampler = PolicySampler(policy, tokenizer, slots, temperature=0)
        trajectories = rollout(rollouts, sampler, search)
    if faults := gather_object([str(fault) for fault in search.faults]):
        raise UserError(f"a search of the evaluation failed: {faults[0]}")
    records = [Record(q, 0, t) for q, t in zip(questions, trajectories, strict=True)]
    parts = gather_object([records])
    return [parts[i % processes][i // processes] for i in range(len(setup.questions))]


def mean_scores(records: Sequence[Record]) -> dict[str, float | None]:
    """Mean exact match, share of well-formed trajectories (None if the solver is not the agent),
    mean number of searches, and of the questions on known and on unknown facts the share that is
    searched for (None without such), as columns of metrics.csv.

    Raises UserError if a record has no score.
    """
    values = exact_matches(records)
    trajectories = [record.trajectory for record in records if record.trajectory]
    formed = [is_well_formed(t) for t in trajectories if t.solver == STUDENT.name]
    return {
        "live_em": sum(values) / len(values),
        "live_formed": sum(formed) / len(formed) if formed else None,
        "live_searches": sum(map(n_actions, trajectories)) / len(trajectories),
        "live_searched_known": _share_searched(records, "known"),
        "live_searched_unknown": _share_searched(records, "unknown"),
    }


def _share_searched(records: Sequence[Record], kind: str) -> float | None:
    """The share of the questions of a kind in whose episode there is a search."""
    searched = [
        n_actions(record.trajectory) > 0
        for record in records
        if record.trajectory and record.question.kind == kind
    ]
    return sum(searched) / len(searched) if searched else None


def exact_matches(records: Sequence[Record]) -> tuple[float, ...]:
    """The exact match of each record. Raises UserError if one has no score."""
    scorers = scoring.load_scorers(("em",))
    values: list[float] = []
    for record in records:
        score = scoring.score_record(record, scorers)["em"]
        if score.value is None:
            raise UserError(
                f"question '{record.question.id}' of the evaluation cannot be scored "
                f"({score.reason}); give other live.tasks"
            )
        values.append(score.value)
    return tuple(values)
