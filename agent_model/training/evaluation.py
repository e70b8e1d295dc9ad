"""Live episodes: every so often the model in training plays the benchmark's own episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

from msgspec import Struct

from agent_model.data.filters import STUDENT, is_well_formed
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler
from agent_model.rollout.search_client import SearchClient
from agent_model.tokens import Tokenizer
from agent_model.training.config import EvalConfig
from agent_model.training.files import write_records
from agent_model.training.model import Policy, at_rest
from autocoa_bench import scoring, tasks
from autocoa_bench.episode import Dialect, episode, n_actions
from autocoa_bench.errors import UserError
from autocoa_bench.runs.solvers import DirectSolver, load_solver
from autocoa_bench.search import SearchEngine
from autocoa_bench.search.factory import has_own_corpus, open_engine
from autocoa_bench.types import Budget, Question, Record, Score

_SEATS = 32  # episodes at once


class Scores(NamedTuple):
    """Of the episodes: mean exact match, the share that keeps the agent's form (None for another
    solver's), and the mean number of searches."""

    em: float
    formed: float | None
    searches: float


class EvalSetup(NamedTuple):
    """What live episodes are played with, made once; `corpus` is what `search` was opened over,
    and empty where that brings its own."""

    questions: list[Question]
    dialect: Dialect
    search: SearchEngine
    budget: Budget
    corpus: str = ""


def prepare(live: EvalConfig) -> EvalSetup | None:
    """Load questions, corpus and solver; None where no tasks are named. Raises UserError."""
    if not live.tasks:
        return None
    budget = Budget(live.max_actions, live.context_tokens, live.step_tokens)
    cast = EpisodeConfig(
        live.tasks, live.split, live.count, live.corpus, "bm25", live.top_k, live.solver
    )
    return prepare_episodes(cast, budget, "live.")


class EpisodeConfig(Struct, frozen=True):
    """What is played: at most `count` questions, from each of the tasks as many."""

    tasks: str
    split: Literal["test", "train"]
    count: int
    corpus: str
    search: str
    top_k: int
    solver: str


def prepare_episodes(cast: EpisodeConfig, budget: Budget, table: str = "") -> EvalSetup:
    """Load all of it; `table` is where the recipe names it. Raises UserError."""
    solver = load_solver(cast.solver)
    if isinstance(solver.plugin, DirectSolver):
        raise UserError(
            f"episodes in process need a solver with a dialect, and '{cast.solver}' has none"
        )
    chosen = tasks.resolve(cast.tasks)
    share = -(-cast.count // len(chosen))
    questions = [q for task in chosen for q in tasks.sample(task.load(cast.split), share, 0)]
    corpus = cast.corpus or tasks.shared_corpus(chosen, cast.split)
    if not (corpus or has_own_corpus(cast.search)):
        raise UserError(f"{table}tasks '{cast.tasks}' name no one corpus; give {table}corpus")
    search = open_engine(cast.search, corpus, cast.top_k)
    return EvalSetup(questions[: cast.count], solver.plugin, search, budget, corpus)


def evaluate(scene: EvalSetup, policy: Policy, tokenizer: Tokenizer, file: Path) -> list[Record]:
    """Play every question greedily, and write the records to `file`."""
    episodes = [episode(question, scene.dialect, scene.budget) for question in scene.questions]
    rollouts = [Rollout(each, Random(0)) for each in episodes]
    with at_rest(policy), SearchClient(scene.search) as finder:
        sampler = PolicySampler(policy, tokenizer, min(_SEATS, len(rollouts)), temperature=0)
        trajectories = rollout(rollouts, sampler, finder)
    if finder.faults:
        raise UserError(f"the live episodes' search failed: {finder.faults[0]}")
    records = [Record(q, 0, t) for q, t in zip(scene.questions, trajectories, strict=True)]
    write_records(file, records)
    return records


def scores(records: Sequence[Record]) -> Scores:
    """The scores of finished episodes."""
    exact = scoring.load_scorers(("em",))
    values = [_value(record, scoring.score_record(record, exact)["em"]) for record in records]
    played = [record.trajectory for record in records if record.trajectory]
    formed = [is_well_formed(each) for each in played if each.solver == STUDENT.name]
    return Scores(
        em=sum(values) / len(values),
        formed=sum(formed) / len(formed) if formed else None,
        searches=sum(map(n_actions, played)) / len(played),
    )


def _value(record: Record, score: Score) -> float:
    if score.value is None:
        raise UserError(
            f"the live episode of question '{record.question.id}' cannot be scored "
            f"({score.reason}); name other tasks under live.tasks"
        )
    return score.value
