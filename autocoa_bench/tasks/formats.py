"""A row of a data file as a question: FlashRAG's format, verl's (with their metadata), MINTQA's."""

from __future__ import annotations

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
    """A row of a file, counted from 1, as a question. Raises ValueError: what is wrong with it."""
    if "question" in row and "subquestion" in row:
        return _mintqa(row, number, task)
    if "question" in row:
        read = _flashrag
    elif "prompt" in row and "reward_model" in row:
        read = _verl
    else:
        raise ValueError(
            f"neither FlashRAG, verl nor MINTQA: {_FORMATS}; found {', '.join(row) or '{}'}"
        )
    return read(row, task)


def _flashrag(row: Row, task: str) -> Question:
    metadata = row.get("metadata")
    kind = metadata.get("type") if isinstance(metadata, dict) else None
    return Question(
        id=_id(row.get("id")),
        text=_text(row["question"], "'question'"),
        golden_answers=_golds(row.get("golden_answers"), "'golden_answers'"),
        task=task,
        kind=kind if isinstance(kind, str) else "",
        gold_titles=_gold_titles(metadata) if isinstance(metadata, dict) else (),
    )


def _mintqa(row: Row, number: int, task: str) -> Question:
    """A row of MINTQA-POP or MINTQA-TI (He et al. 2024), which have sub-questions and no ids.

    Its `type` labels each hop (popular or not; new or old); together they are the question's kind.
    Files of ours add `subpassage`, the id of the passage that answers each hop.
    """
    asked, answered = row["subquestion"], row.get("subanswer")
    for given, name in ((asked, "'subquestion'"), (answered, "'subanswer'")):
        if not isinstance(given, list) or not given:
            raise ValueError(f"{name} must be a list, one entry a hop, not {given!r:.80}")
    assert isinstance(answered, list)
    if len(asked) != len(answered):
        raise ValueError(f"{len(asked)} sub-questions, but {len(answered)} answers to them")
    labels = row.get("type")
    golds = [_golds(_as_list(each), "'subanswer'") for each in answered]
    passages = _list(row.get("subpassage")) or [""] * len(asked)
    if len(passages) != len(asked) or not all(isinstance(each, str) for each in passages):
        raise ValueError(f"'subpassage' must be a list of {len(asked)} ids, one a hop")
    return Question(
        id=f"row-{number}" if row.get("id") is None else _id(row["id"]),
        text=_text(row["question"], "'question'"),
        golden_answers=_golds(_as_list(row.get("answer")), "'answer'"),
        task=task,
        kind=", ".join(str(label) for label in _as_list(labels) if label is not None),
        hops=tuple(
            Hop(_text(sub, "'subquestion'"), first, passage, aliases=tuple(others))
            for sub, (first, *others), passage in zip(asked, golds, passages, strict=True)
        ),
    )


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _gold_titles(metadata: Row) -> tuple[str, ...]:
    """The titles of the pages that answer a question, each once; what is not understood is left.

    HotpotQA and 2WikiMultihopQA have `supporting_facts` ({title: [...]}, or [[title, sentence]] in
    their own releases), MuSiQue `question_decomposition` with a `support_paragraph` each, or
    `paragraphs` marked `is_supporting`; a plain list is `supporting_titles`.
    """
    titles = (title for title in _named_titles(metadata) if isinstance(title, str))
    return tuple(dict.fromkeys(title for title in map(str.strip, titles) if title))


def _named_titles(metadata: Row) -> Iterator[object]:
    yield from _list(metadata.get("supporting_titles"))
    facts = metadata.get("supporting_facts")
    if isinstance(facts, dict):
        yield from _list(facts.get("title"))
    yield from (fact[0] for fact in _list(facts) if isinstance(fact, list) and fact)
    for part in _list(metadata.get("question_decomposition")):
        page = part.get("support_paragraph") if isinstance(part, dict) else None
        if isinstance(page, dict):
            yield page.get("title")
    for page in _list(metadata.get("paragraphs")):
        if isinstance(page, dict) and page.get("is_supporting") is True:
            yield page.get("title")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _verl(row: Row, task: str) -> Question:
    """A verl row. Where the file joins several datasets, ids are unique only in each of them:
    the column `source_file` then becomes the question's kind and opens its id."""
    extra = row.get("extra_info")
    extra = extra if isinstance(extra, dict) else {}
    given = next((value for value in (row.get("id"), row.get("_id")) if value is not None), None)
    identifier = _id(extra.get("index") if given is None else given)
    source = row.get("source_file")
    source = file_stem(source) if isinstance(source, str) else ""
    reward = row["reward_model"]
    truth = reward.get("ground_truth") if isinstance(reward, dict) else None
    if isinstance(truth, str):
        truth = truth.split(_ANSWER_SEPARATOR)
    return Question(
        id=f"{source}:{identifier}" if source else identifier,
        text=_text(extra.get("question") or _asked(row["prompt"]), "the question"),
        golden_answers=_golds(truth, "'reward_model.ground_truth'"),
        task=task,
        kind=source,
    )


def _asked(prompt: object) -> str:
    """The question in a verl prompt: the last user message, less AutoCoA's instructions."""
    turns = prompt if isinstance(prompt, list) else []
    contents = [
        turn.get("content")
        for turn in turns
        if isinstance(turn, dict) and turn.get("role") == "user"
    ]
    if not contents or not isinstance(contents[-1], str):
        raise ValueError("'prompt' has no user message with text")
    return contents[-1].rpartition(_TEMPLATE_END)[2]


def _id(value: object) -> str:
    identifier = id_as_text(value)
    if identifier is None:
        raise ValueError(f"no 'id' (text or a whole number); {_FORMATS}")
    return identifier


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} is no text or empty")
    return value.strip()


def _golds(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(gold, str) for gold in value):
        raise ValueError(f"{what} must be a list of texts, not {value!r:.80}")
    golds = tuple(gold for gold in value if gold.strip())
    if not golds:
        raise ValueError(f"{what} has no answer")
    return golds
