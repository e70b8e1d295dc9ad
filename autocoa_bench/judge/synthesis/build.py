"""The folder of a judge's training data: records.jsonl, and verdicts.json that describes it.

With `near_misses` labels.jsonl takes the place of records.jsonl: rows for `judge audit`, by kind.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.judge.agreement import Label
from autocoa_bench.judge.prompts import brief
from autocoa_bench.judge.synthesis.answer_types import answer_type, meaning, nations
from autocoa_bench.judge.synthesis.config import VerdictDataConfig
from autocoa_bench.judge.synthesis.examples import LabelledAnswer, labelled_answers
from autocoa_bench.judge.synthesis.people import TASK, people
from autocoa_bench.scoring.text import normalise
from autocoa_bench.tasks import resolve, sample
from autocoa_bench.types import Question, Record, Step, Trajectory
from autocoa_bench.util.json_lines import indented_json, write_files
from autocoa_bench.util.row_reader import read_rows, row_error


class Excluded(Struct, frozen=True):
    """A question that no training data may have; golds and answer are known for some."""

    question: str
    golden_answers: tuple[str, ...] = ()
    prediction: str = ""


class VerdictDataInfo(Struct, frozen=True, kw_only=True):
    """The content of verdicts.json.

    `questions` counts those of the tasks and the people, `excluded` those among them that were left
    out; the questions of the other part are not counted among either. `right`
    and `wrong` count the answers by method. `sha256` is the hash of the answers' file.
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
    name = "labels.jsonl" if config.near_misses else "records.jsonl"
    if (out / name).exists() and not (out / "verdicts.json").exists():
        raise UserError(
            f"'{out}' holds {name} that `verdicts` did not make; give another folder as --out"
        )
    tasks = resolve(config.tasks)
    questions = [question for task in tasks for question in task.load("train")]
    if config.people:
        questions += people(config.people)
    # Benchmarks of the judge are excluded here: it must not be trained on what it is tested on.
    rows = [row for file in config.exclude for row in _excluded_rows(file)]
    included = without_excluded(questions, rows)
    part = [question for question in included if is_audited(question) == config.near_misses]
    sampled = sample(part, config.count // 2, config.seed)
    answers = list(labelled_answers(part, sampled, config.seed, near=config.near_misses))
    if not answers:
        raise UserError(
            f"'{config.tasks}' gives no answer ({len(questions)} questions, "
            f"{len(questions) - len(included)} of them excluded); give other --tasks"
        )
    row = label if config.near_misses else record
    content = b"".join(msgspec.json.encode(row(answer)) + b"\n" for answer in answers)
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
    write_files(out, {"verdicts.json": indented_json(info), name: content})
    return info


def without_excluded(questions: Sequence[Question], rows: Iterable[Excluded]) -> list[Question]:
    """The questions that are not excluded, which ignores case, punctuation and articles.

    People are excluded by their names as well, since every answer about them is a name.
    """
    texts, names = set(), set()
    for row in rows:
        texts.add(normalise(row.question))
        names |= {normalise(name) for name in (*row.golden_answers, row.prediction)}
    return [
        question
        for question in questions
        if normalise(question.text) not in texts
        and not (question.task == TASK and names & set(map(normalise, question.golden_answers)))
    ]


def is_audited(question: Question) -> bool:
    """Whether a question is for near misses alone: one in eight, and all that have its gold.

    Golds that name nothing (yes, numbers, nations, occupations) do not decide it, but the question.
    """
    gold = question.golden_answers[0] if question.golden_answers else ""
    is_name = answer_type(question.text, gold) in ("name", "person", "place", "list")
    key = meaning(gold) if is_name and gold not in nations() else normalise(question.text)
    return hashlib.sha256(key.encode()).digest()[0] % 8 == 0


def label(answer: LabelledAnswer) -> Label:
    """A labelled answer as a row for `judge audit`."""
    return Label(
        answer.question.text, answer.golds, answer.answer, answer.verdict, kind=answer.method
    )


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


def _excluded_rows(file: Path) -> Iterable[Excluded]:
    for number, row in read_rows(file):
        try:
            yield msgspec.convert(row, Excluded)
        except msgspec.ValidationError as error:
            problem = f"it has no 'question'; give a file of questions ({error})"
            raise row_error(file, number, problem) from None


def _counts(answers: Sequence[LabelledAnswer], *, verdict: bool) -> dict[str, int]:
    counts = Counter(answer.method for answer in answers if answer.verdict is verdict)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
