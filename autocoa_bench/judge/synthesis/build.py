"""The folder of a judge's training data: records.jsonl, and verdicts.json that says what it is."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.judge.prompts import brief
from autocoa_bench.judge.synthesis.examples import LabelledAnswer, labelled_answers
from autocoa_bench.scoring.text import normalise
from autocoa_bench.tasks import resolve, sample
from autocoa_bench.types import Question, Record, Step, Trajectory
from autocoa_bench.util.json_lines import replace_file
from autocoa_bench.util.row_reader import read_rows, row_error

SOLVER = "judge"
"""What the records name as their solver."""


class VerdictDataConfig(Struct, frozen=True, kw_only=True):
    """What a person asked for: at most `count` answers to questions of the train split of
    `tasks`, less those that stand in a file of `exclude`."""

    tasks: str
    count: int
    seed: int
    exclude: tuple[Path, ...] = ()


class VerdictDataInfo(Struct, frozen=True, kw_only=True):
    """The content of verdicts.json.

    Of the tasks' `questions`, `excluded` stand in an excluded file. `right` and `wrong` count the
    answers by what made them. `sha256` is of records.jsonl.
    """

    tasks: tuple[str, ...]
    prompt: str
    seed: int
    questions: int
    excluded: int
    right: dict[str, int]
    wrong: dict[str, int]
    sha256: str


def build(order: VerdictDataConfig, out: Path) -> VerdictDataInfo:
    """Make the data and write its folder, whole.

    Raises UserError for tasks without a train split, for files that cannot be read or written,
    and where nothing can be made.
    """
    if (out / "records.jsonl").exists() and not (out / "verdicts.json").exists():
        raise UserError(f"'{out}' holds records that `verdicts` did not make; give another --out")
    tasks = resolve(order.tasks)
    questions = [question for task in tasks for question in task.load("train")]
    kept = apart(questions, (text for file in order.exclude for text in _texts(file)))
    made = list(labelled_answers(kept, sample(kept, order.count // 2, order.seed), order.seed))
    if not made:
        raise UserError(
            f"'{order.tasks}' gives no answer ({len(questions)} questions, "
            f"{len(questions) - len(kept)} of them excluded); give other --tasks"
        )
    content = b"".join(msgspec.json.encode(each) + b"\n" for each in _records(made))
    info = VerdictDataInfo(
        tasks=tuple(task.info.name for task in tasks),
        prompt=brief().name,
        seed=order.seed,
        questions=len(questions),
        excluded=len(questions) - len(kept),
        right=_counts(made, verdict=True),
        wrong=_counts(made, verdict=False),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    _write(out, info, content)
    return info


def apart(questions: Sequence[Question], excluded: Iterable[str]) -> list[Question]:
    """The questions whose words are not those of an excluded one, whatever case or punctuation."""
    words = {normalise(text) for text in excluded}
    return [question for question in questions if normalise(question.text) not in words]


def record(example: LabelledAnswer, number: int) -> Record:
    """An example as a trajectory of one step: the judge's prompt, and the verdict as its reply."""
    reply = f"Verdict: {'correct' if example.verdict else 'incorrect'}"
    step = Step("answer", reply, argument=reply)
    opening = brief().opening(example.question.text, example.golds, example.answer)
    trajectory = Trajectory(SOLVER, opening, "", (step,), reply, "answered")
    question = msgspec.structs.replace(example.question, kind=example.made, hops=())
    return Record(question, number, trajectory)


def _records(made: Sequence[LabelledAnswer]) -> Iterable[Record]:
    for example in made:
        yield record(example, int(example.verdict))


def _texts(file: Path) -> Iterable[str]:
    for number, row in read_rows(file):
        text = row.get("question")
        if not isinstance(text, str):
            raise row_error(file, number, "it has no 'question'; give a file of questions")
        yield text


def _counts(made: Sequence[LabelledAnswer], *, verdict: bool) -> dict[str, int]:
    counted = Counter(each.made for each in made if each.verdict is verdict)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _write(out: Path, info: VerdictDataInfo, content: bytes) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / "records.jsonl", content)
        text = msgspec.json.format(msgspec.json.encode(info), indent=2)
        replace_file(out / "verdicts.json", text + b"\n")
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror}") from None
