"""Samples of questions: seeded draws, and names such as `hotpotqa@paper` or `nq@500:seed=3`."""

import hashlib
import re
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.tasks.subquestions import main_question_id
from autocoa_bench.tasks.task import NamedSamples, Task, load_warnings
from autocoa_bench.types import Question, Split, TaskInfo

ALL = "all"

REAL_SUFFIX = f"@{ALL}"
"""The end of a real dataset's registered name."""

SYNTAX = (
    f"write NAME@{ALL}, NAME@paper (the paper's own sample), NAME@500 or, drawn by another seed, "
    "NAME@500:seed=3"
)

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_SIZE_AND_SEED = re.compile(r"([0-9]{1,9})(?::seed=(-?[0-9]{1,18}))?")


class SampleSpec(Struct, frozen=True):
    """A sample of a dataset: one with a name (`all`: every question), or `size` drawn by `seed`."""

    name: str = ""
    size: int = 0
    seed: int = 0

    @property
    def label(self) -> str:
        """The text after the `@`, the same for equal samples: seed 0 is not written."""
        if self.name:
            return self.name
        return f"{self.size}:seed={self.seed}" if self.seed else str(self.size)


def parse_sample(text: str) -> tuple[str, SampleSpec]:
    """The name before the `@` of a task's name, and the sample after it. Raises UserError."""
    dataset, _, label = text.partition("@")
    if _NAME.fullmatch(label):
        return dataset, SampleSpec(label)
    match = _SIZE_AND_SEED.fullmatch(label)
    if not match or not int(match[1]):
        raise UserError(
            f"task '{text:.80}': the text after the @ is neither a sample's name nor a number from "
            f"1, with or without a seed; {SYNTAX}"
        )
    return dataset, SampleSpec(size=int(match[1]), seed=int(match[2] or 0))


def sample(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """Draw at most `limit` questions by a seed, in their own order; all of them if it is None.

    A question's place in the draw is the hash of seed and id. The draw therefore depends on neither
    order nor machine, and a smaller sample is part of every larger one of the same seed.
    Sub-questions are drawn together with their main question.
    """
    if limit is None or limit >= len(questions):
        return list(questions)
    if limit < 1:
        raise UserError(f"the number of questions must be at least 1, not {limit}")
    keys = [f"{seed}:{main_question_id(question.id)}".encode() for question in questions]
    hashes = [hashlib.sha256(key).digest() for key in keys]
    order = sorted(range(len(questions)), key=lambda position: (hashes[position], position))
    return [questions[position] for position in sorted(order[:limit])]


class SampledTask:
    """A sample of a real dataset: a named one, or a seeded one of any size."""

    def __init__(self, dataset: Task, spec: SampleSpec) -> None:
        """Raises UserError where the dataset has no sample of the spec's name."""
        self._dataset = dataset
        self._spec = spec
        self._shortage = ""
        self._name = dataset.info.name.removesuffix(REAL_SUFFIX)
        self._samples = dataset.samples if isinstance(dataset, NamedSamples) else {}
        if spec.name and spec.name not in self._samples:
            unknown = registry.unknown(f"sample of {self._name}", spec.name, [ALL, *self._samples])
            raise UserError(f"{unknown}; or give a number, such as {self._name}@500:seed=3")

    @property
    def info(self) -> TaskInfo:
        """The dataset's, under the sample's name; the count is that of the test split."""
        info, spec = self._dataset.info, self._spec
        size = spec.size if info.count is None else min(spec.size, info.count)
        return replace(
            info,
            name=f"{self._name}@{spec.label}",
            title=f"{info.title.removesuffix(REAL_SUFFIX)}@{spec.label}",
            count=self._samples[spec.name] if spec.name else size,
            sha256=None,
        )

    def load(self, split: Split = "test") -> Sequence[Question]:
        """The questions of the sample, a named sample in its own order. Raises UserError."""
        name, spec = self.info.name, self._spec
        self._shortage = ""
        if isinstance(self._dataset, NamedSamples) and spec.name:
            if split != "test":
                raise UserError(
                    f"'{name}' is a sample of test questions; for the {split} split give "
                    f"{self._name}{REAL_SUFFIX}, or a number such as {self._name}@500"
                )
            questions = self._dataset.load_sample(spec.name)
        else:
            questions = self._dataset.load(split)
            if len(questions) < spec.size:
                self._shortage = (
                    f"{name}: the dataset has only {len(questions):,} questions; the sample is all "
                    "of them"
                )
            questions = sample(questions, spec.size, spec.seed)
        return [replace(question, task=name) for question in questions]

    @property
    def warnings(self) -> tuple[str, ...]:
        """The dataset's warnings, and one if it has fewer questions than the sample's size."""
        return (*load_warnings(self._dataset), *filter(None, [self._shortage]))
