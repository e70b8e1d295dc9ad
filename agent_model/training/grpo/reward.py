"""The reward of a rollout (paper 3.3.1): exact match, or a penalty if it is malformed.

The recipe's table `[reward]` has further terms, whose defaults leave the paper's reward.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path
from statistics import fmean

import msgspec
from msgspec import Struct

from agent_model.data.filters import is_well_formed
from agent_model.fidelity import share_stated
from agent_model.training.config import GRPOConfig
from autocoa_bench.episode import n_actions
from autocoa_bench.errors import UserError
from autocoa_bench.scoring import TextScorer, score_record
from autocoa_bench.tasks import needs_search
from autocoa_bench.types import Ending, Question, Record, Scored
from autocoa_bench.util.json_lines import read_lines

QuestionKey = tuple[str, str]
"""The task and the id of a question."""

_SPENT: tuple[Ending, ...] = ("forced-actions", "forced-context")


class Reward(Struct, frozen=True):
    """The reward `value` of a rollout, and the scorer's `score` even if it is malformed.

    `outcome` is what it would earn if it were well-formed.
    """

    value: float
    score: float
    formed: bool
    outcome: float


def reward(
    record: Record, config: GRPOConfig, scorer: TextScorer, known: Collection[QuestionKey] = ()
) -> Reward:
    """The score of a well-formed rollout, or what a malformed one earns, and the terms of the
    recipe's `[reward]`; `known` are the questions that need no search.

    Forced and cut answers are not well-formed. By default a malformed rollout earns minus
    `format_penalty`, right or wrong. Raises UserError if the record has no score, which is the
    harness's fault and not the policy's.
    """
    score, trajectory = score_record(record, {"": scorer})[""].value, record.trajectory
    if score is None or trajectory is None:
        raise UserError(
            f"the question '{record.question.id}' cannot be scored by '{config.scorer}'; "
            f"remove it from '{config.tasks}', or give another scorer"
        )
    terms, needed, searches = config.reward, record.key[:2] not in known, n_actions(trajectory)
    unsearched = searches < _required_searches(record.question, config, needed=needed)
    formed = is_well_formed(trajectory)
    outcome = -config.format_penalty if unsearched else score
    value = outcome
    if not formed:
        value = (0.0 if unsearched else terms.malformed_share * score) - config.format_penalty
    if trajectory.ending != "answered":
        value -= terms.exhausted if trajectory.ending in _SPENT else terms.no_answer
    beside = 0.0
    if terms.price_on == "all" or not needed:
        beside -= terms.per_search * searches
    if needed:
        beside += terms.evidence * (share_stated(record) or 0.0)
    return Reward(value + beside, score, formed and not unsearched, outcome + beside)


def _required_searches(question: Question, config: GRPOConfig, *, needed: bool) -> int:
    """The least number of searches of a rollout whose score counts."""
    rule = config.reward.must_search
    if rule == "always":
        return 1
    if rule == "never" or not needed:
        return 0
    return max(1, len(question.hops)) if rule == "hops" else 1


def known_questions(config: GRPOConfig, questions: Iterable[Question]) -> frozenset[QuestionKey]:
    """The questions that need no search: those that the file `[reward] known` measured and found
    known, and of the others those whose kind says so.

    Raises UserError if the file measured none of them.
    """
    terms = config.reward
    keys = {(question.task, question.id): question for question in questions}
    accuracy = _accuracies(Path(terms.known), config.scorer) if terms.known else {}
    if terms.known and not keys.keys() & accuracy:
        raise UserError(
            f"'{terms.known}' has scores by '{config.scorer}' of no question of '{config.tasks}'; "
            "give the scores.jsonl of a run over the same tasks with --split train"
        )
    return frozenset(
        key
        for key, question in keys.items()
        if (accuracy[key] >= terms.min_accuracy if key in accuracy else not needs_search(question))
    )


def _accuracies(file: Path, scorer: str) -> dict[QuestionKey, float]:
    """The mean score of each question of a scores.jsonl over its samples. Raises UserError."""
    values: defaultdict[QuestionKey, list[float]] = defaultdict(list)
    advice = "give the scores.jsonl of a run as reward.known"
    for line in read_lines(file, msgspec.json.Decoder(Scored), advice):
        score = line.scores.get(scorer)
        if score is not None and score.value is not None:
            values[line.task, line.question_id].append(score.value)
    return {key: fmean(scores) for key, scores in values.items()}
