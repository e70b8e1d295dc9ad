"""The agreement of a scorer with labels: verdicts on answers by a person or a strong model."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench.scoring import RIGHT, TextScorer
from autocoa_bench.stats import Interval, wilson
from autocoa_bench.types import JudgeSpec
from autocoa_bench.util.json_lines import indented_json, read_versioned, replace_file, write_errors
from autocoa_bench.util.row_reader import read_rows, row_error

_FORMAT = 1
"""The version of a saved audit's layout."""


class Label(Struct, frozen=True, omit_defaults=True):
    """An answer, and the verdict on it: true where it is right.

    `kind` says how the answer relates to the golds, where that is known.
    """

    question: str
    golden_answers: tuple[str, ...]
    prediction: str
    verdict: bool
    kind: str = ""


class Rate(Struct, frozen=True):
    """A share of `n` answers with Wilson's interval; the mean is None where `n` is 0."""

    n: int
    mean: float | None
    interval: Interval


class Confusion(Struct, frozen=True):
    """The numbers of answers that a scorer and a label call right or wrong."""

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

        None where scorer and labels both call all answers the same, as chance explains that.
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
        # With full agreement the large-sample error is 0; Wilson's interval is the honest one.
        if agreed == 1:
            return kappa, Interval((self.agreement.interval.low - chance) / (1 - chance), 1.0)
        half = 1.96 * math.sqrt(agreed * (1 - agreed) / self.n) / (1 - chance)
        return kappa, Interval(max(-1.0, kappa - half), min(1.0, kappa + half))


class Audit(Struct, frozen=True):
    """Labels and a scorer's verdicts on them, in the same order; None where it gave none.

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
        """The number of answers without a verdict."""
        return self.verdicts.count(None)

    @property
    def differing(self) -> tuple[Label, ...]:
        """The answers on which scorer and label differ."""
        pairs = zip(self.labels, self.verdicts, strict=True)
        return tuple(label for label, verdict in pairs if verdict is (not label.verdict))


class SavedAudit(Struct, frozen=True):
    """A judge's audit as stored in a file. `labels` is the name of the labels' file."""

    format: int
    judge: JudgeSpec
    labels: str
    labels_sha256: str
    counts: Confusion
    unscored: int


def read_labels(path: Path) -> tuple[Label, ...]:
    """Read the labelled answers of a file, ignoring other fields. Raises UserError."""
    labels = []
    for number, row in read_rows(path):
        try:
            label = msgspec.convert(row, Label)
        except msgspec.ValidationError as error:
            fields = "question, golden_answers (a list), prediction and verdict (true or false)"
            raise row_error(path, number, f"a label has {fields}: {error}") from None
        if not label.golden_answers:
            raise row_error(path, number, "golden_answers is empty; a label has at least one")
        labels.append(label)
    return tuple(labels)


def audit(labels: Sequence[Label], scorer: TextScorer) -> Audit:
    """Score labelled answers, of which there is at least one."""
    scores = (scorer(label.prediction, label.golden_answers) for label in labels)
    return Audit(tuple(labels), tuple(score >= RIGHT for score in scores))


def save_audit(path: Path, judge: JudgeSpec, labels: str, audit: Audit) -> None:
    """Write a judge's audit of the named labels for `read_audit`. Raises UserError."""
    digest = hashlib.sha256(msgspec.json.encode(audit.labels)).hexdigest()
    saved = SavedAudit(_FORMAT, judge, labels, digest, audit.counts, audit.unscored)
    with write_errors(path):
        replace_file(path, indented_json(saved))


def read_audit(path: Path) -> SavedAudit:
    """Read a judge's audit that `judge audit --save` wrote. Raises UserError."""
    missing = f"there is no audit '{path}': autocoa-bench judge audit --judge ... --save writes one"
    return read_versioned(path, SavedAudit, _FORMAT, missing)


def _rate(successes: int, n: int) -> Rate:
    return Rate(n, successes / n if n else None, wilson(successes, n))
