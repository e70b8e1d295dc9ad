"""The folder of a judge's training data: records.jsonl, and verdicts.json that describes it."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.judge.prompts import brief
from autocoa_bench.judge.synthesis.config import VerdictDataConfig
from autocoa_bench.judge.synthesis.examples import LabelledAnswer, labelled_answers
from autocoa_bench.scoring.text import normalise
from autocoa_bench.tasks import resolve, sample
from autocoa_bench.types import Question, Record, Step, Trajectory
from autocoa_bench.util.json_lines import indented_json, write_files
from autocoa_bench.util.row_reader import read_rows, row_error


class VerdictDataInfo(Struct, frozen=True, kw_only=True):
    """The content of verdicts.json.

    `questions` counts those of the tasks, `excluded` those among them that were left out. `right`
    and `wrong` count the answers by method. `sha256` is the hash of records.jsonl.
    """

    tasks: tuple[str, ...]
    prompt: str
    seed: int
    questions: int
    excluded: int
    right: dict[str, int]
    wrong: dict[str, int]
    sha256: str


def build(config: VerdictDataConfig, out: Path) -> VerdictDataInfo:
    """Generate the data and write it to the folder `out`.

    Raises UserError if a task has no train split, a file cannot be read or written, or no answer
    can be generated.
    """
    if (out / "records.jsonl").exists() and not (out / "verdicts.json").exists():
        raise UserError(
            f"'{out}' holds records that `verdicts` did not make; give another folder as --out"
        )
    # Benchmarks of the judge are excluded here: it must not be trained on what it is tested on.
    tasks = resolve(config.tasks)
    questions = [question for task in tasks for question in task.load("train")]
    texts = (text for file in config.exclude for text in _question_texts(file))
    included = without_excluded(questions, texts)
    sampled = sample(included, config.count // 2, config.seed)
    answers = list(labelled_answers(included, sampled, config.seed))
    if not answers:
        raise UserError(
            f"'{config.tasks}' gives no answer ({len(questions)} questions, "
            f"{len(questions) - len(included)} of them excluded); give other --tasks"
        )
    content = b"".join(msgspec.json.encode(record(answer)) + b"\n" for answer in answers)
    info = VerdictDataInfo(
        tasks=tuple(task.info.name for task in tasks),
        prompt=brief().name,
        seed=config.seed,
        questions=len(questions),
        excluded=len(questions) - len(included),
        right=_counts(answers, verdict=True),
        wrong=_counts(answers, verdict=False),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    write_files(out, {"verdicts.json": indented_json(info), "records.jsonl": content})
    return info


def without_excluded(questions: Sequence[Question], excluded: Iterable[str]) -> list[Question]:
    """The questions that are not excluded, which ignores case, punctuation and articles."""
    texts = {normalise(text) for text in excluded}
    return [question for question in questions if normalise(question.text) not in texts]


def record(answer: LabelledAnswer) -> Record:
    """A labelled answer as a trajectory of one step: the judge's prompt, and its verdict as reply.

    The sample number is 1 for a right answer and 0 for a wrong one.
    """
    reply = f"Verdict: {'correct' if answer.verdict else 'incorrect'}"
    step = Step("answer", reply, argument=reply)
    opening = brief().opening(answer.question.text, answer.golds, answer.answer)
    trajectory = Trajectory("judge", opening, "", (step,), reply, "answered")
    question = msgspec.structs.replace(answer.question, kind=answer.method, hops=())
    return Record(question, int(answer.verdict), trajectory)


def _question_texts(file: Path) -> Iterable[str]:
    for number, row in read_rows(file):
        text = row.get("question")
        if not isinstance(text, str):
            raise row_error(file, number, "it has no 'question'; give a file of questions")
        yield text


def _counts(answers: Sequence[LabelledAnswer], *, verdict: bool) -> dict[str, int]:
    counts = Counter(answer.method for answer in answers if answer.verdict is verdict)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
