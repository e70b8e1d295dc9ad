"""What a rollout earns (paper 3.3.1): exact match, less a penalty where the form is not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from agent_model.data.filters import is_well_formed
from autocoa_bench.errors import UserError
from autocoa_bench.scoring import TextScorer, score_record
from autocoa_bench.types import Record

if TYPE_CHECKING:
    from agent_model.training.config import GRPOConfig


class Reward(Struct, frozen=True):
    """One rollout's: `value` is what is learned from; `score` is the scorer's, out of form too."""

    value: float
    score: float
    formed: bool


def reward(record: Record, scorer: TextScorer, penalty: float) -> Reward | None:
    """The score of a well-formed rollout; minus the penalty for any other, right or wrong.

    Forced and cut answers are not well-formed. None where there is nothing to score by: the
    harness's fault, not the policy's.
    """
    score = score_record(record, {"": scorer})[""].value
    if score is None or record.trajectory is None:
        return None
    formed = is_well_formed(record.trajectory)
    return Reward(score if formed else -penalty, score, formed)


def rewarded(record: Record, recipe: GRPOConfig, scorer: TextScorer) -> Reward:
    """What a record earns by a recipe. Raises UserError where nothing can be scored."""
    found = reward(record, scorer, recipe.format_penalty)
    if found is None:
        raise UserError(
            f"the question '{record.question.id}' cannot be scored by '{recipe.scorer}'; "
            f"leave it out of '{recipe.tasks}', or name another scorer"
        )
    return found
