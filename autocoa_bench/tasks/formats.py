"""Rows of data files as questions: FlashRAG's format, verl's (with their metadata) and MINTQA's."""

from collections.abc import Iterator
from typing import Any

from autocoa_bench.types import Hop, Question
from autocoa_bench.util.row_reader import Row, file_stem, id_as_text

_TEMPLATE_END = "Now, please answer the user's question below:"
_ANSWER_SEPARATOR = "<ans_split>"
_FORMATS = (
    "a row is {id, question, golden_answers: [...]} (FlashRAG) or "
    "{id, prompt: [{role, content}], reward_model: {ground_truth}} (verl) or "
    "{question, answer, subquestion: [...], subanswer: [...]} (MINTQA)"
)


def read_question(row: Row, number: int, task: str) -> Question:
    """The question in a row of a file; rows are counted from 1.

    Raises ValueError saying what is wrong with the row.
    """
    if "question" in row and "subquestion" in row:
        return _read_mintqa(row, number, task)
    if "question" in row:
        return _read_flashrag(row, task)
    if "prompt" in row and "reward_model" in row:
        return _read_verl(row, task)
    raise ValueError(
        f"neither FlashRAG, verl nor MINTQA: {_FORMATS}; found {', '.join(row) or '{}'}"
    )


def _read_flashrag(row: Row, task: str) -> Question:
    metadata = _dict(row.get("metadata"))
    kind = metadata.get("type")
    return Question(
        id=_id(row.get("id")),
        text=_text(row["question"], "'question'"),
        golden_answers=_golden_answers(row.get("golden_answers"), "'golden_answers'"),
        task=task,
        kind=kind if isinstance(kind, str) else "",
        gold_titles=_gold_titles(metadata),
    )


def _read_mintqa(row: Row, number: int, task: str) -> Question:
    """Read a row of MINTQA-POP or MINTQA-TI (He et al. 2024), which has sub-questions and no id.

    Its `type` labels each hop (popular or not; new or old); together the labels are the question's
    kind. Files of ours add `subpassage`, the id of the passage that answers each hop.
    """
    questions, answers = row["subquestion"], row.get("subanswer")
    for value, name in ((questions, "'subquestion'"), (answers, "'subanswer'")):
        if not isinstance(value, list) or not value:
            raise ValueError(f"{name} must be a list, one entry per hop, not {value!r:.80}")
    assert isinstance(answers, list)
    if len(questions) != len(answers):
        raise ValueError(f"{len(questions)} sub-questions, but {len(answers)} answers to them")
    golds = [_golden_answers(_as_list(answer), "'subanswer'") for answer in answers]
    passages = _list(row.get("subpassage")) or [""] * len(questions)
    if len(passages) != len(questions) or not all(isinstance(id_, str) for id_ in passages):
        raise ValueError(f"'subpassage' must be a list of {len(questions)} ids, one per hop")
    labels = _as_list(row.get("type"))
    return Question(
        id=f"row-{number}" if row.get("id") is None else _id(row["id"]),
        text=_text(row["question"], "'question'"),
        golden_answers=_golden_answers(_as_list(row.get("answer")), "'answer'"),
        task=task,
        kind=", ".join(str(label) for label in labels if label is not None),
        hops=tuple(
            Hop(_text(question, "'subquestion'"), answer, passage, aliases=tuple(aliases))
            for question, (answer, *aliases), passage in zip(
                questions, golds, passages, strict=True
            )
        ),
    )


def _read_verl(row: Row, task: str) -> Question:
    """Read a verl row.

    Where the file joins several datasets, ids are unique only within each of them: the column
    `source_file` then becomes the question's kind and starts its id.
    """
    extra = _dict(row.get("extra_info"))
    ids = (row.get("id"), row.get("_id"), extra.get("index"))
    identifier = _id(next((value for value in ids if value is not None), None))
    source_file = row.get("source_file")
    source = file_stem(source_file) if isinstance(source_file, str) else ""
    truth = _dict(row["reward_model"]).get("ground_truth")
    if isinstance(truth, str):
        truth = truth.split(_ANSWER_SEPARATOR)
    return Question(
        id=f"{source}:{identifier}" if source else identifier,
        text=_text(extra.get("question") or _question_in_prompt(row["prompt"]), "the question"),
        golden_answers=_golden_answers(truth, "'reward_model.ground_truth'"),
        task=task,
        kind=source,
    )


def _question_in_prompt(prompt: object) -> str:
    """The question in a verl prompt: the last user message, without AutoCoA's instructions."""
    messages = map(_dict, _list(prompt))
    contents = [message.get("content") for message in messages if message.get("role") == "user"]
    if not contents or not isinstance(contents[-1], str):
        raise ValueError("'prompt' has no user message with text")
    return contents[-1].rpartition(_TEMPLATE_END)[2]


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


def _dict(value: object) -> Row:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _id(value: object) -> str:
    identifier = id_as_text(value)
    if identifier is None:
        raise ValueError(f"no 'id' (text or a whole number); {_FORMATS}")
    return identifier


def _text(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{field} must be a text that is not empty, not {value!r:.80}")
    return value.strip()


def _golden_answers(value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(answer, str) for answer in value):
        raise ValueError(f"{field} must be a list of texts, not {value!r:.80}")
    answers = tuple(answer for answer in value if answer.strip())
    if not answers:
        raise ValueError(f"{field} has no answer; give at least one")
    return answers
