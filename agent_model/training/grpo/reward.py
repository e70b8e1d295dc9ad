"""The reward of a rollout (paper 3.3.1): exact match, or a penalty if it is malformed."""

from msgspec import Struct

from agent_model.data.filters import is_well_formed
from agent_model.training.config import GRPOConfig
from autocoa_bench.errors import UserError
from autocoa_bench.scoring import TextScorer, score_record
from autocoa_bench.types import Record


class Reward(Struct, frozen=True):
    """The reward `value` of a rollout, and the scorer's `score` even if it is malformed."""

    value: float
    score: float
    formed: bool


def reward(record: Record, config: GRPOConfig, scorer: TextScorer) -> Reward:
    """The score of a well-formed rollout; minus `format_penalty` for any other, right or wrong.

    Forced and cut answers are not well-formed. Raises UserError if the record has no score, which
    is the harness's fault and not the policy's.
    """
    score = score_record(record, {"": scorer})[""].value
    if score is None or record.trajectory is None:
        raise UserError(
            f"the question '{record.question.id}' cannot be scored by '{config.scorer}'; "
            f"remove it from '{config.tasks}', or give another scorer"
        )
    formed = is_well_formed(record.trajectory)
    return Reward(score if formed else -config.format_penalty, score, formed)
