"""How far a scorer agrees with labels: verdicts on answers by a person or a strong model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench.rows import malformed, read_rows
from autocoa_bench.scoring import RIGHT, TextScorer
from autocoa_bench.stats import Interval, wilson


class Label(Struct, frozen=True):
    """An answer and whether it is right."""

    question: str
    golden_answers: tuple[str, ...]
    prediction: str
    verdict: bool


class Rate(Struct, frozen=True):
    """A share of `n` answers with Wilson's interval; None of none."""

    n: int
    mean: float | None
    interval: Interval


class Audit(Struct, frozen=True):
    """A scorer's verdicts beside the labels, in the order of the labels.

    `verdicts`: a score of RIGHT or more counts as right.
    """

    labels: tuple[Label, ...]
    verdicts: tuple[bool, ...]

    @property
    def right(self) -> Rate:
        """The share that the scorer calls right."""
        return _rate(self.verdicts)

    @property
    def agreement(self) -> Rate:
        """The share on which scorer and label agree."""
        return _rate([verdict == label for label, verdict in self._pairs])

    @property
    def sensitivity(self) -> Rate:
        """Of the answers labelled right, the share that the scorer calls right."""
        return _rate([verdict for label, verdict in self._pairs if label])

    @property
    def specificity(self) -> Rate:
        """Of the answers labelled wrong, the share that the scorer calls wrong."""
        return _rate([not verdict for label, verdict in self._pairs if not label])

    @property
    def kappa(self) -> tuple[float, Interval] | None:
        """Cohen's kappa with its large-sample 95 % interval (Cohen 1960).

        None where both call all answers the same: then nothing is left to agree on.
        """
        n = len(self.labels)
        labelled, called = (sum(each) / n for each in zip(*self._pairs, strict=True))
        agreed = sum(verdict == label for label, verdict in self._pairs) / n
        chance = labelled * called + (1 - labelled) * (1 - called)
        if chance == 1:
            return None
        kappa = (agreed - chance) / (1 - chance)
        half = 1.96 * math.sqrt(agreed * (1 - agreed) / n) / (1 - chance)
        return kappa, Interval(max(-1.0, kappa - half), min(1.0, kappa + half))

    @property
    def differing(self) -> tuple[Label, ...]:
        """The answers on which scorer and label differ."""
        pairs = zip(self.labels, self.verdicts, strict=True)
        return tuple(label for label, verdict in pairs if label.verdict != verdict)

    @property
    def _pairs(self) -> list[tuple[bool, bool]]:
        pairs = zip(self.labels, self.verdicts, strict=True)
        return [(label.verdict, verdict) for label, verdict in pairs]


def read_labels(path: Path) -> tuple[Label, ...]:
    """The labelled answers of a file; other fields of its rows are not read. Raises UserError."""
    labels = []
    for number, row in read_rows(path):
        try:
            label = msgspec.convert(row, Label)
        except msgspec.ValidationError as error:
            wanted = "question, golden_answers (a list), prediction and verdict (true or false)"
            raise malformed(path, number, f"a label has {wanted}: {error}") from None
        if not label.golden_answers:
            raise malformed(path, number, "golden_answers is empty; a label has at least one")
        labels.append(label)
    return tuple(labels)


def audit(labels: Sequence[Label], scorer: TextScorer) -> Audit:
    """What a scorer says of labelled answers; there is at least one."""
    scores = (scorer(label.prediction, label.golden_answers) for label in labels)
    return Audit(tuple(labels), tuple(score >= RIGHT for score in scores))


def _rate(outcomes: Sequence[bool]) -> Rate:
    n = len(outcomes)
    return Rate(n, sum(outcomes) / n if n else None, wilson(sum(outcomes), n))
