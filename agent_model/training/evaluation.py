"""Evaluation during training: every so often the model runs the benchmark's own episodes."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

from agent_model.data.filters import STUDENT, is_well_formed
from agent_model.rollout.environments import SearchClient
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler
from agent_model.training.config import EvalConfig, GRPOConfig, episode_budget
from agent_model.training.files import write_records
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


def evaluate(setup: EpisodeSetup, policy: Policy, tokenizer: Tokenizer, file: Path) -> list[Record]:
    """Answer every question greedily, and write the records to `file`.

    Raises UserError if a search fails.
    """
    of_model = traits(tokenizer)
    episodes = [
        episode(question, setup.dialect, setup.budget, of_model) for question in setup.questions
    ]
    rollouts = [Rollout(generator, Random(0)) for generator in episodes]
    with eval_mode(policy), SearchClient(setup.search) as search:
        sampler = PolicySampler(policy, tokenizer, min(_SLOTS, len(rollouts)), temperature=0)
        trajectories = rollout(rollouts, sampler, search)
    if search.faults:
        raise UserError(f"a search of the evaluation failed: {search.faults[0]}")
    records = [Record(q, 0, t) for q, t in zip(setup.questions, trajectories, strict=True)]
    write_records(file, records)
    return records


def mean_scores(records: Sequence[Record]) -> dict[str, float | None]:
    """Mean exact match, share of well-formed trajectories (None if the solver is not the agent) and
    mean number of searches, as columns of metrics.csv. Raises UserError if a record has no score.
    """
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
    trajectories = [record.trajectory for record in records if record.trajectory]
    formed = [is_well_formed(t) for t in trajectories if t.solver == STUDENT.name]
    return {
        "live_em": sum(values) / len(values),
        "live_formed": sum(formed) / len(formed) if formed else None,
        "live_searches": sum(map(n_actions, trajectories)) / len(trajectories),
    }
