"""Questions from the rows of data files, in the shapes in which datasets are published.

One reader takes them all: FlashRAG, Search-R1, verl, MINTQA, the original files of HotpotQA,
2WikiMultihopQA, MuSiQue, TriviaQA and SQuAD, and tables, under the names in `util.field_names`.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autocoa_bench.tasks.answer_fields import golden_answers, literal
from autocoa_bench.tasks.field_map import NO_FIELDS, FieldMap, with_named_fields
from autocoa_bench.tasks.instructions import Prompt, without_instructions
from autocoa_bench.types import Hop, Question
from autocoa_bench.util import field_names
from autocoa_bench.util.field_names import Row, fields
from autocoa_bench.util.row_reader import file_stem, id_as_text, read_rows, row_error
from autocoa_bench.util.table_rows import column

ACCEPTED = (
    'a row is {"question", "golden_answers": [...]} (FlashRAG), or has a question and answers in '
    "other usual fields (query, problem, answer, answers, target, ...), with an id or without;\n"
    "rows of verl, MINTQA, HotpotQA, MuSiQue, SQuAD and TriviaQA, and tables with a header, are "
    "read as published"
)
"""The shapes of questions, for error messages."""


class QuestionFile(Struct, frozen=True):
    """The questions of a file in its order, and warnings about what was left out of it."""

    questions: tuple[Question, ...]
    warnings: tuple[str, ...]


class _Entry(Struct):
    """A question as its row gives it.

    `has_own_id` is false for an id that was made here; `source` is the dataset that the row names.
    `is_prompt` tells that the text may begin with a foreign instruction.
    """

    number: int
    question: Question
    has_own_id: bool
    source: str
    is_prompt: bool


class _Unanswerable(Exception):
    """A row without an answer on purpose, as MuSiQue-Full and SQuAD 2.0 have them."""


def read_questions(path: Path, task: str, columns: FieldMap = NO_FIELDS) -> QuestionFile:
    """The questions of a file for a task. Raises UserError naming the malformed row."""
    return questions_of(str(path), read_rows(path, ACCEPTED), task, columns)


def questions_of(
    source: str, rows: Iterable[tuple[int, Row]], task: str, columns: FieldMap = NO_FIELDS
) -> QuestionFile:
    """The questions of numbered rows of a source for a task; `columns` names some of their fields.

    Raises UserError naming the malformed row.
    """
    entries: list[_Entry] = []
    unanswerable: list[int] = []
    for number, row in rows:
        try:
            for part in _parts(row):
                entries.append(_read_row(with_named_fields(part, columns), number, task))
        except _Unanswerable:
            unanswerable.append(number)
        except ValueError as error:
            raise row_error(source, number, str(error), ACCEPTED) from None
    notes = _cut_instructions(entries)
    _name_sources(entries)
    questions, repeats = _by_id(source, entries)
    warnings = [f"'{source}': {note}" for note in notes]
    for left_out, what in ((repeats, "repeated row(s)"), (unanswerable, "unanswerable row(s)")):
        if left_out:
            numbers = ", ".join(map(str, left_out[:5])) + (", ..." if len(left_out) > 5 else "")
            warnings.append(f"'{source}': {len(left_out)} {what} left out (row {numbers})")
    return QuestionFile(questions, tuple(warnings))


def as_row(question: Question) -> Row:
    """A question as a row that `read_questions` reads: FlashRAG's, or with hops MINTQA's and the
    passage and the phrase of each hop."""
    if not question.hops:
        return {
            "id": question.id,
            "question": question.text,
            "golden_answers": question.golden_answers,
        }
    row: Row = {
        "id": question.id,
        "question": question.text,
        "answer": question.golden_answers,
        "subquestion": [hop.question for hop in question.hops],
        "subanswer": [[hop.answer, *hop.aliases] for hop in question.hops],
        "subpassage": [hop.passage_id for hop in question.hops],
    }
    if any(hop.phrase for hop in question.hops):
        row["subphrase"] = [hop.phrase for hop in question.hops]
    return row | ({"type": question.kind} if question.kind else {})


# A file as a whole


def _cut_instructions(entries: Sequence[_Entry]) -> list[str]:
    """Take what the prompts of a file share out of its questions; notes say what that was."""
    prompts = [entry for entry in entries if entry.is_prompt]
    texts, notes = without_instructions(
        [Prompt(entry.question.text, entry.source) for entry in prompts]
    )
    for entry, text in zip(prompts, texts, strict=True):
        entry.question = replace(entry.question, text=text)
    return notes


def _name_sources(entries: Sequence[_Entry]) -> None:
    """Name the dataset of each question of several, and put it before ids that clash."""
    sources = defaultdict(set)
    for entry in entries:
        if entry.has_own_id:
            sources[entry.question.id].add(entry.source)
    clash = any(len(names) > 1 for names in sources.values())
    if len({entry.source for entry in entries}) < 2:
        return
    for entry in entries:
        question, source = entry.question, entry.source
        prefix = f"{source}:" if clash and source and entry.has_own_id else ""
        entry.question = replace(question, id=prefix + question.id, kind=question.kind or source)


def _by_id(source: str, entries: Sequence[_Entry]) -> tuple[tuple[Question, ...], list[int]]:
    """The questions with ids of their own, and the numbers of the rows that repeat one of them."""
    by_id: dict[str, _Entry] = {}
    repeats = []
    for entry in entries:
        question = entry.question
        if not question.id:
            content = msgspec.json.encode((question.text, question.golden_answers))
            question = replace(question, id=hashlib.sha256(content).hexdigest()[:16])
        first = by_id.get(question.id)
        if first and first.question == question:
            repeats.append(entry.number)
            continue
        if first and entry.has_own_id and first.has_own_id:
            problem = f"row {first.number} has the id '{question.id:.80}' too, with other content"
            problem += "; give every question its own id, or none"
            raise row_error(source, entry.number, problem, ACCEPTED)
        count = 1
        while first:
            count += 1
            first = by_id.get(f"{question.id}-{count}")
        if count > 1:
            question = replace(question, id=f"{question.id}-{count}")
        entry.question = question
        by_id[question.id] = entry
    return tuple(entry.question for entry in by_id.values()), repeats


def _parts(row: Row) -> Iterator[Row]:
    """The questions in a row: several where it is an article of SQuAD or a passage of MRQA."""
    if list(row) == ["header"]:  # the first line of MRQA's files
        return
    if "row_idx" in row:  # as the viewer of the Hub gives it
        row = _dict(row.get("row"))
    pages = [row, *map(_dict, _list(row.get("paragraphs")))]
    nested = [_dict(qa) for page in pages for qa in _list(page.get("qas"))]
    yield from nested or [row]


# A row


def _read_row(row: Row, number: int, task: str) -> _Entry:
    """Raises ValueError saying what is wrong with the row, and _Unanswerable."""
    known = fields(row)
    if "question" in row and "subquestion" in row:
        question = _read_mintqa(row, number, task)
        return _Entry(number, question, has_own_id=True, source="", is_prompt=False)
    if (first := column(1)) in row:
        known = _named_columns(list(row.values()), first)
    if known.get("answerable") is False or known.get("isimpossible") is True:
        raise _Unanswerable
    metadata = fields(next((_dict(known[name]) for name in _METADATA if name in known), {}))
    extra = fields(_dict(known.get("extrainfo")))
    text, name = _question_text(row, known, extra, metadata)
    golds = _golds(row, known, extra, metadata, name)
    identifier = _identifier(known, extra)
    kind = metadata.get("type") or ("" if "goldenanswers" in known else known.get("type"))
    source = _source(known)
    if "rewardmodel" in known and isinstance(file := row.get("source_file"), str) and file:
        # AutoCoA's files join datasets whose ids are unique only within each of them.
        kind = file_stem(file)
        identifier = identifier and f"{kind}:{identifier}"
    question = Question(
        id=identifier or "",
        text=text,
        golden_answers=golds,
        task=task,
        kind=kind if isinstance(kind, str) else "",
        gold_titles=_gold_titles(_dict(row.get("metadata"))) or _gold_titles(row),
    )
    return _Entry(number, question, bool(identifier), source, name in field_names.PROMPTS)


_METADATA = field_names.METADATA


def _question_text(row: Row, known: Row, extra: Row, metadata: Row) -> tuple[str, str]:
    """The text of the question and the normal name of its field. Raises ValueError."""
    for level in (known, extra, metadata):
        for name in field_names.QUESTIONS:
            if level is not known and name != "question":
                continue
            value = level.get(name)
            value = _dict(value).get("text") or _dict(value).get("stem") or value
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            if isinstance(value, str) and value.strip():
                if "canary" in known and re.fullmatch(r"[A-Za-z0-9+/\s]{16,}={0,2}", value):
                    raise ValueError("the row is encrypted (it has a canary); decrypt the file")
                return value.strip(), name
    for name in field_names.PROMPTS:
        if name in known:
            return _last_user_message(known[name], name), name
    for name, value in row.items():
        if field_names.normal(name) in field_names.QUESTIONS:
            raise ValueError(f"'{name}' must be a text that is not empty, not {value!r:.80}")
    raise ValueError(f"no field of the row is a question; it has {_named(row)}")


def _last_user_message(prompt: object, name: str) -> str:
    """The last user message of a prompt in any of the usual shapes. Raises ValueError."""
    messages = _list(prompt)
    if isinstance(prompt, str) and not messages and prompt.strip():
        return prompt.strip()
    for message in reversed([fields(_dict(message)) for message in messages]):
        if (message.get("role") or message.get("from")) not in ("user", "human"):
            continue
        content = message.get("content") or message.get("value")
        if isinstance(content, list):
            parts = [_dict(part).get("text") for part in content]
            content = "\n".join(part for part in parts if isinstance(part, str))
        if isinstance(content, str) and content.strip():
            return content.strip()
    raise ValueError(f"'{name}' has no user message with text")


def _golds(row: Row, known: Row, extra: Row, metadata: Row, field: str) -> tuple[str, ...]:
    """The golden answers of a row whose question is in a field. Raises ValueError."""
    if any(isinstance(known.get(name), list | dict) for name in _CHOICES) and _is_choice(known):
        raise ValueError("a multiple-choice row: write the text of the right choice as its answer")
    truth = _dict(known.get("rewardmodel")).get("ground_truth")
    candidates = [("goldenanswers", known.get("goldenanswers")), ("groundtruth", truth)]
    # A text with a label is of a classifier.
    names = [name for name in field_names.ANSWERS if field != "text" or "answer" in name]
    for level in (known, extra, metadata):
        candidates += [(name, level.get(name)) for name in names]
    for name, value in candidates:
        if golds := golden_answers(value, is_plural=name.endswith("s")):
            break
    else:
        raise _no_answers(row, truth, names)
    for name in field_names.ALIASES:
        aliases = golden_answers(known.get(name), is_plural=True)
        golds += tuple(alias for alias in aliases if alias not in golds)
    return golds


def _no_answers(row: Row, truth: object, accepted: list[str]) -> ValueError:
    if "reward_model" in row:
        return _no_answer("reward_model.ground_truth", truth)
    names = [name for name in row if field_names.normal(name) in accepted]
    if names:
        return _no_answer(names[0], row[names[0]])
    return ValueError(f"a question without answers; the row has {_named(row)}")


def _no_answer(name: str, value: object) -> ValueError:
    if isinstance(value, str | list):
        return ValueError(f"'{name}' has no answer; give at least one")
    return ValueError(f"'{name}' must be a list of texts, or one text, not {value!r:.80}")


_CHOICES = ("choices", "options", "answerchoices")


def _is_choice(known: Row) -> bool:
    """Tell whether a row's answer is the number or the letter of a choice."""
    answer = known.get("answer", known.get("answerkey", known.get("label")))
    if isinstance(answer, int):
        return True
    return isinstance(answer, str) and re.fullmatch(r"\(?[A-Ja-j0-9][).]?", answer) is not None


def _identifier(known: Row, extra: Row) -> str | None:
    values = [known.get(name) for name in field_names.QUESTION_IDS]
    if "rewardmodel" in known:
        values.append(extra.get("index"))
    return next(filter(None, map(id_as_text, values)), None)


def _source(known: Row) -> str:
    """The dataset that a row of several datasets names."""
    values = (known.get(name) for name in ("datasource", "dataset", "sourcedataset"))
    return next((value for value in values if isinstance(value, str)), "")


def _named_columns(cells: list[Any], first: str) -> Row:
    """The fields of a table without a header: question and answers, with an id before or without.

    Raises ValueError for other columns.
    """
    if len(cells) == 2 and not str(cells[0]).isdigit():
        return {"question": cells[0], "answers": cells[1]}
    if len(cells) == 3:
        return {"id": cells[0], "question": cells[1], "answers": cells[2]}
    raise ValueError(
        f"the table has {len(cells)} columns and no header (such as 'question' and 'answers'), and "
        f"'{cells[0]:.40}' is not clear as {first}"
    )


def _read_mintqa(row: Row, number: int, task: str) -> Question:
    """Read a row of MINTQA-POP or MINTQA-TI (He et al. 2024), which has sub-questions and no id.

    Its `type` labels each hop (popular or not; new or old); together the labels are the question's
    kind. Files of ours add `subpassage`, the id of the passage that answers each hop, and
    `subphrase`, the part of the question that stands for its answer.
    """
    questions, answers = row["subquestion"], row.get("subanswer")
    for value, name in ((questions, "'subquestion'"), (answers, "'subanswer'")):
        if not isinstance(value, list) or not value:
            raise ValueError(f"{name} must be a list, one entry per hop, not {value!r:.80}")
    assert isinstance(answers, list)
    if len(questions) != len(answers):
        raise ValueError(f"{len(questions)} sub-questions, but {len(answers)} answers to them")
    golds = [golden_answers(answer) for answer in answers]
    if not all(golds):
        raise ValueError(f"'subanswer' must be a list of texts, one per hop, not {answers!r:.80}")
    passages = _per_hop(row, "subpassage", "ids", len(questions))
    phrases = _per_hop(row, "subphrase", "texts", len(questions))
    main_golds = golden_answers(row.get("answer"))
    if not main_golds:
        raise _no_answer("answer", row.get("answer"))
    labels = row.get("type") if isinstance(row.get("type"), list) else [row.get("type")]
    return Question(
        id=id_as_text(row.get("id")) or f"row-{number}",
        text=_text(row["question"], "'question'"),
        golden_answers=main_golds,
        task=task,
        kind=", ".join(str(label) for label in labels or () if label is not None),
        hops=tuple(
            Hop(_text(question, "'subquestion'"), answer, passage, phrase, tuple(aliases))
            for question, (answer, *aliases), passage, phrase in zip(
                questions, golds, passages, phrases, strict=True
            )
        ),
    )


def _per_hop(row: Row, field: str, content: str, count: int) -> list[str]:
    """An optional field with a text for each hop; empty texts where it is absent.

    Raises ValueError.
    """
    values = _list(row.get(field)) or [""] * count
    if len(values) != count or not all(isinstance(value, str) for value in values):
        raise ValueError(f"'{field}' must be a list of {count} {content}, one per hop")
    return values


# Gold pages


def _gold_titles(metadata: Row) -> tuple[str, ...]:
    """The titles of the pages that answer a question, each once; other metadata is ignored.

    HotpotQA and 2WikiMultihopQA have `supporting_facts` ({title: [...]}, or [[title, sentence]] in
    their own releases), MuSiQue `question_decomposition` with a `support_paragraph` each, or
    `paragraphs` marked `is_supporting`; a plain list is `supporting_titles`.
    """
    titles = (title for title in _title_values(metadata) if isinstance(title, str))
    return tuple(dict.fromkeys(title for title in map(str.strip, titles) if title))


def _title_values(metadata: Row) -> Iterator[object]:
    yield from _list(metadata.get("supporting_titles"))
    facts = metadata.get("supporting_facts")
    yield from _list(_dict(facts).get("title"))
    yield from (fact[0] for fact in _list(facts) if isinstance(fact, list) and fact)
    for part in _list(metadata.get("question_decomposition")):
        yield _dict(_dict(part).get("support_paragraph")).get("title")
    for page in map(_dict, _list(metadata.get("paragraphs"))):
        if page.get("is_supporting") is True:
            yield page.get("title")


# Values


def _dict(value: object) -> Row:
    """An object, or one that a text spells; an empty one for anything else."""
    value = literal(value.strip()) if isinstance(value, str) else value
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    """A list, or one that a text spells; an empty one for anything else."""
    value = literal(value.strip()) if isinstance(value, str) else value
    return value if isinstance(value, list) else []


def _named(row: Row) -> str:
    """The names of a row's fields."""
    return f"the fields {', '.join(map(str, row)):.200}" if row else "no fields"


def _text(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{field} must be a text that is not empty, not {value!r:.80}")
    return value.strip()
