"""Applying scorers to recorded episodes: each score is a number, or None with a reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.types import Record, Score, Trajectory

RIGHT = 0.5
"""The lowest score that counts as right, where only right and wrong are distinguished."""

TextScorer = Callable[[str, Sequence[str]], float]
"""(prediction, golds) -> a number in [0, 1]."""


class BoxScorer(Struct, frozen=True):
    """A text scorer with its own parsing of `\\boxed{}`.

    `read` receives all text of the model instead of the answer that the dialect parsed.
    """

    read: TextScorer

    def __call__(self, prediction: str, golds: Sequence[str]) -> float:
        """The score of a prediction alone, as if it were in a box."""
        return self.read(f"\\boxed{{{prediction}}}", golds)


_FAULT = "fault: "


def load_scorers(names: Iterable[str]) -> dict[str, TextScorer]:
    """Load the registered scorers of these names. Raises UserError for none or an unknown one."""
    names = list(names)
    if not names:
        raise UserError(f"no scorer was given (known: {', '.join(registry.names('scorers'))})")
    return {name: registry.load("scorers", name) for name in names}


def is_current(record: Record, score: Score | None) -> bool:
    """True unless the score is missing, or of a fault that a resumed run has replaced."""
    if score is None:
        return False
    return score.reason.startswith(_FAULT) == (record.trajectory is None)


def score_record(record: Record, scorers: Mapping[str, TextScorer]) -> dict[str, Score]:
    """The scores of a record, by scorer.

    A fault scores None (the harness failed, not the model); a missing answer scores 0.0 with a
    reason.
    """
    answer = answer_of(record)
    if isinstance(answer, Score):
        return dict.fromkeys(scorers, answer)
    assert record.trajectory is not None, "an answer has a trajectory"
    golds = record.question.golden_answers
    response = _boxed_response(record.trajectory)
    scores = {}
    for name, scorer in scorers.items():
        if response is not None and isinstance(scorer, BoxScorer):
            value = scorer.read(response, golds)
        else:
            value = scorer(answer, golds)
        if not 0.0 <= value <= 1.0:
            raise UserError(f"the scorer '{name}' returned {value}; scores are numbers from 0 to 1")
        scores[name] = Score(value)
    return scores


def answer_of(record: Record) -> str | Score:
    """A record's answer, or the score that every scorer gives where there is none."""
    if record.trajectory is None:
        kind = record.fault.kind if record.fault else "unknown"
        return Score(None, f"{_FAULT}{kind}")
    answer = record.trajectory.answer
    return answer if answer is not None and answer.strip() else Score(0.0, "no answer")


def _boxed_response(trajectory: Trajectory) -> str | None:
    """All text of the model, if it ends with a box of its own; a forced answer does not."""
    last = trajectory.steps[-1] if trajectory.steps else None
    if last is None or last.forced or "\\boxed" not in last.text:
        return None
    return "\n\n".join(step.text for step in trajectory.steps)
