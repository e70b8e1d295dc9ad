"""How far a scorer agrees with labels: verdicts on answers by a person or a strong model."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.scoring import RIGHT, TextScorer
from autocoa_bench.stats import Interval, wilson
from autocoa_bench.types import JudgeSpec
from autocoa_bench.util.json_lines import read_versioned, replace_file
from autocoa_bench.util.row_reader import read_rows, row_error

_FORMAT = 1
"""The version of a saved audit's layout."""


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


class Confusion(Struct, frozen=True):
    """How many answers a scorer and a label call right or wrong."""

    both_right: int
    missed: int
    """Labelled right, called wrong."""
    wrongly: int
    """Labelled wrong, called right."""
    both_wrong: int

    @property
    def n(self) -> int:
        """All answers."""
        return self.both_right + self.missed + self.wrongly + self.both_wrong

    @property
    def right(self) -> Rate:
        """The share that the scorer calls right."""
        return _rate(self.both_right + self.wrongly, self.n)

    @property
    def agreement(self) -> Rate:
        """The share on which scorer and label agree."""
        return _rate(self.both_right + self.both_wrong, self.n)

    @property
    def sensitivity(self) -> Rate:
        """Of the answers labelled right, the share that the scorer calls right."""
        return _rate(self.both_right, self.both_right + self.missed)

    @property
    def specificity(self) -> Rate:
        """Of the answers labelled wrong, the share that the scorer calls wrong."""
        return _rate(self.both_wrong, self.both_wrong + self.wrongly)

    @property
    def kappa(self) -> tuple[float, Interval] | None:
        """Cohen's kappa with its large-sample 95 % interval (Cohen 1960).

        None where both call all answers the same: then nothing is left to agree on.
        """
        if not self.n:
            return None
        labelled = (self.both_right + self.missed) / self.n
        called = (self.both_right + self.wrongly) / self.n
        agreed = (self.both_right + self.both_wrong) / self.n
        chance = labelled * called + (1 - labelled) * (1 - called)
        if chance == 1:
            return None
        kappa = (agreed - chance) / (1 - chance)
        if agreed == 1:  # the large-sample error is nothing then; what is known is not
            return kappa, Interval((self.agreement.interval.low - chance) / (1 - chance), 1.0)
        half = 1.96 * math.sqrt(agreed * (1 - agreed) / self.n) / (1 - chance)
        return kappa, Interval(max(-1.0, kappa - half), min(1.0, kappa + half))


class Audit(Struct, frozen=True):
    """A scorer's verdicts beside the labels, in the order of the labels; None: it gave none.

    A text scorer's score of RIGHT or more counts as right.
    """

    labels: tuple[Label, ...]
    verdicts: tuple[bool | None, ...]

    @property
    def counts(self) -> Confusion:
        """The answers with a verdict, by label and verdict."""
        pairs = Counter(
            (label.verdict, verdict)
            for label, verdict in zip(self.labels, self.verdicts, strict=True)
        )
        return Confusion(
            pairs[True, True], pairs[True, False], pairs[False, True], pairs[False, False]
        )

    @property
    def unscored(self) -> int:
        """How many answers have no verdict."""
        return self.verdicts.count(None)

    @property
    def differing(self) -> tuple[Label, ...]:
        """The answers on which scorer and label differ."""
        pairs = zip(self.labels, self.verdicts, strict=True)
        return tuple(label for label, verdict in pairs if verdict is (not label.verdict))


class SavedAudit(Struct, frozen=True):
    """A judge's audit as a file keeps it. `labels` names the labels' file, for a reader."""

    format: int
    judge: JudgeSpec
    labels: str
    labels_sha256: str
    counts: Confusion
    unscored: int


def read_labels(path: Path) -> tuple[Label, ...]:
    """The labelled answers of a file; other fields of its rows are not read. Raises UserError."""
    labels = []
    for number, row in read_rows(path):
        try:
            label = msgspec.convert(row, Label)
        except msgspec.ValidationError as error:
            wanted = "question, golden_answers (a list), prediction and verdict (true or false)"
            raise row_error(path, number, f"a label has {wanted}: {error}") from None
        if not label.golden_answers:
            raise row_error(path, number, "golden_answers is empty; a label has at least one")
        labels.append(label)
    return tuple(labels)


def audit(labels: Sequence[Label], scorer: TextScorer) -> Audit:
    """What a scorer says of labelled answers; there is at least one."""
    scores = (scorer(label.prediction, label.golden_answers) for label in labels)
    return Audit(tuple(labels), tuple(score >= RIGHT for score in scores))


def save_audit(path: Path, judge: JudgeSpec, source: str, found: Audit) -> None:
    """Keep a judge's audit for `read_audit`. Raises UserError."""
    digest = hashlib.sha256(msgspec.json.encode(found.labels)).hexdigest()
    saved = SavedAudit(_FORMAT, judge, source, digest, found.counts, found.unscored)
    try:
        replace_file(path, msgspec.json.format(msgspec.json.encode(saved), indent=2) + b"\n")
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror}") from None


def read_audit(path: Path) -> SavedAudit:
    """A judge's audit that `judge audit --save` wrote. Raises UserError."""
    missing = f"there is no audit '{path}': autocoa-bench judge audit --judge ... --save writes one"
    return read_versioned(path, SavedAudit, _FORMAT, missing)


def _rate(successes: int, n: int) -> Rate:
    return Rate(n, successes / n if n else None, wilson(successes, n))
