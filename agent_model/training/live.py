"""Live episodes: every so often the model in training plays the benchmark's own episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from agent_model.rollout.driver import Rollout, roll_out
from agent_model.rollout.finder import Finder
from agent_model.rollout.sampler import PolicySampler
from agent_model.synthesis.keep import STUDENT, is_well_formed
from agent_model.tokens import Tokenizer
from agent_model.training.config import Live
from agent_model.training.files import writing
from agent_model.training.policy import Policy
from autocoa_bench import registry, scoring, tasks
from autocoa_bench.episode import Dialect, episode, n_actions
from autocoa_bench.errors import UserError
from autocoa_bench.search import SearchEngine
from autocoa_bench.solvers import DirectSolver, load_solver
from autocoa_bench.types import Budget, Question, Record, Score

_SEATS = 32  # episodes at once


class Scores(NamedTuple):
    """Of the episodes: mean exact match, the share that keeps the agent's form (None for another
    solver's), and the mean number of searches."""

    em: float
    formed: float | None
    searches: float


class Scene(NamedTuple):
    """What live episodes are played with, made once."""

    questions: list[Question]
    dialect: Dialect
    search: SearchEngine
    budget: Budget


def prepare(live: Live) -> Scene | None:
    """Load questions, corpus and solver; None where no tasks are named. Raises UserError."""
    if not live.tasks:
        return None
    solver = load_solver(live.solver)
    if isinstance(solver.plugin, DirectSolver):
        raise UserError(f"live episodes need a solver with a dialect, and '{live.solver}' has none")
    chosen = tasks.resolve(live.tasks)
    share = -(-live.count // len(chosen))
    questions = [q for task in chosen for q in tasks.sample(task.load(live.split), share, 0)]
    corpora = {task.info.corpora.get(live.split, "") for task in chosen}
    corpus = live.corpus or (corpora.pop() if len(corpora) == 1 else "")
    if not corpus:
        raise UserError(f"live tasks '{live.tasks}' name no one corpus; give live.corpus")
    search = registry.load("search", "bm25")(corpus, top_k=live.top_k)
    budget = Budget(live.max_actions, live.context_tokens, live.step_tokens)
    return Scene(questions[: live.count], solver.plugin, search, budget)


def play(scene: Scene, policy: Policy, tokenizer: Tokenizer, file: Path) -> Scores:
    """Play every question greedily, write the records to `file`, and score them."""
    episodes = [episode(question, scene.dialect, scene.budget) for question in scene.questions]
    rollouts = [Rollout(each, Random(0)) for each in episodes]
    policy.eval()
    try:
        sampler = PolicySampler(policy, tokenizer, min(_SEATS, len(rollouts)), temperature=0)
        with Finder(scene.search) as finder:
            trajectories = roll_out(rollouts, sampler, finder)
    finally:
        policy.train()
    if finder.faults:
        raise UserError(f"the live episodes' search failed: {finder.faults[0]}")
    records = [Record(q, 0, t) for q, t in zip(scene.questions, trajectories, strict=True)]
    with writing(file):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    return scores(records)


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
