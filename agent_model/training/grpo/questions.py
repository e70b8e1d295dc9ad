"""The questions of a GRPO step: new ones in the order of shuffled epochs, informative ones again.

A group teaches only if its rollouts differ. A question whose last group had right and wrong answers
is likely to have such a group again, so drawing it again gives more to learn from per rollout.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from agent_model.training.checkpoints import QuestionHistory
from agent_model.training.config import GRPOConfig
from agent_model.training.data import examples_of_step


class QuestionDraw(NamedTuple):
    """The indices of a step's questions; the first `n_new` are new, the rest drawn again."""

    indices: Sequence[int]
    n_new: int


def draw_questions(
    config: GRPOConfig, available: Sequence[int], history: QuestionHistory, step: int
) -> QuestionDraw:
    """Draw the questions of `step` (from 0) from those at the indices `available`, by seed, step
    and history alone."""
    share, batch = config.groups.informative, config.batch
    if not share:
        places = examples_of_step(len(available), batch, config.seed, step)
        return QuestionDraw([available[i] for i in places], batch)
    allowed = set(available)
    candidates = {i: v for i, v in history.variances.items() if v and i in allowed}
    n_again = min(round(share * batch), len(candidates))
    new = _new(config, available, history.n_new, batch - n_again)
    rest = {index: variance for index, variance in candidates.items() if index not in new}
    again = _weighted(rest, n_again, Random(f"{config.seed}:{step}:again"))
    new += _new(config, available, history.n_new + len(new), batch - len(new) - len(again))
    return QuestionDraw([*new, *again], len(new))


def with_step(
    history: QuestionHistory, draw: QuestionDraw, variances: Sequence[float]
) -> QuestionHistory:
    """The history after a step whose groups had scores of these variances, in the draw's order."""
    latest = dict(zip(draw.indices, variances, strict=True))
    return QuestionHistory(history.n_new + draw.n_new, {**history.variances, **latest})


def _new(config: GRPOConfig, available: Sequence[int], start: int, number: int) -> list[int]:
    """The questions at these positions of the shuffled epochs."""
    count, positions = len(available), range(start, start + number)
    places = [place for i in positions for place in examples_of_step(count, 1, config.seed, i)]
    return [available[place] for place in places]


def _weighted(weights: Mapping[int, float], number: int, rng: Random) -> list[int]:
    """Up to `number` different indices, drawn with these weights (Efraimidis and Spirakis 2006)."""
    keys = {index: rng.random() ** (1 / weights[index]) for index in sorted(weights)}
    return sorted(keys, key=lambda index: (-keys[index], index))[:number]
