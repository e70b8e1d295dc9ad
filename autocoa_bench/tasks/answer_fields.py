"""Golden answers from fields of question files: texts, numbers, lists and objects."""

import ast
import math
import re
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec

from autocoa_bench.errors import UNREADABLE
from autocoa_bench.util.field_names import ALIASES, fields

_SEPARATOR = "<ans_split>"
"""AutoCoA's separator of answers in one text."""

_VALUES = (
    *("value", "text", "answer", "answers", "target", "targets", "goldenanswers", "groundtruth"),
    *("spans", "number", "string", "name", "label"),
)
"""Fields of an answer that is an object: TriviaQA's, SQuAD's, Search-R1's, KILT's."""

_LITERAL = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_LIST_OF_TEXTS = re.compile(rf"\[\s*(?:{_LITERAL}[\s,]*)+\]", re.DOTALL)
_ARRAY = re.compile(r"array\((\[[^\]]*\])(?:,\s*dtype=[\w<]+)?\)")
_DESCRIPTIONS = re.compile(r'\(description (?:"([^"]*)"|([^()"]+))\)')
_LONGEST_LITERAL = 100_000
_FORMULA = re.compile(r"[()\[\]{}$\\=<>^]")


def golden_answers(value: Any, *, is_plural: bool = False) -> tuple[str, ...]:
    """The answers in a field, without blank ones. `is_plural` tells that its name is.

    A text is one answer, unless it is a list as JSON, Python or numpy writes it, or unmistakably
    several: separated by `|`, or in a field with a plural name by `;`.
    """
    return tuple(answer for answer in _answers(value, is_plural) if answer.strip())


def _answers(value: Any, is_plural: bool) -> Iterator[str]:
    if isinstance(value, str):
        yield from _in_text(value, is_plural)
    elif isinstance(value, bool):
        yield "yes" if value else "no"
    elif isinstance(value, int | float):
        if math.isfinite(value):
            yield str(int(value) if value == int(value) else value)
    elif isinstance(value, list | tuple):
        for item in value:
            # A text in a list is one answer, whatever it contains.
            yield from [item] if isinstance(item, str) else _answers(item, is_plural)
    elif isinstance(value, dict):
        yield from _in_object(fields(value), is_plural)
    elif value is not None:  # a date or a decimal number of Parquet
        yield str(value)


def _in_object(answer: dict[str, Any], is_plural: bool) -> Iterator[str]:
    """The answer that an object describes, and its aliases."""
    values = (golden_answers(answer.get(name), is_plural=is_plural) for name in _VALUES)
    known = list(next(filter(None, values), ()))
    for name in ALIASES:
        known += (alias for alias in golden_answers(answer.get(name)) if alias not in known)
    yield from known or golden_answers(answer.get("normalizedaliases"))


def _in_text(text: str, is_plural: bool) -> Iterator[str]:
    if _SEPARATOR in text:
        yield from text.split(_SEPARATOR)
        return
    text = text.strip()
    value = literal(text)
    if isinstance(value, dict) and (answers := tuple(_in_object(fields(value), is_plural))):
        yield from answers
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        yield from value
    elif descriptions := _DESCRIPTIONS.findall(text) if text.startswith("(list (") else []:
        yield from (quoted or plain for quoted, plain in descriptions)  # WebQuestions
    else:
        yield from _separated(text, is_plural)


def literal(text: str) -> object:
    """The list or object that a text spells as JSON or in Python; None for any other text."""
    if match := _ARRAY.fullmatch(text):
        text = match[1]
    if not text.startswith(("[", "{")):
        return None
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        pass
    if len(text) > _LONGEST_LITERAL:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes that Python does not know
        try:
            if _LIST_OF_TEXTS.fullmatch(text):  # numpy puts no commas between them
                return [ast.literal_eval(part) for part in re.findall(_LITERAL, text, re.DOTALL)]
            value: object = ast.literal_eval(_ARRAY.sub(r"\1", text))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
    return value


def _separated(text: str, is_plural: bool) -> list[str]:
    """A text as the answers that a separator separates, where nothing else can be meant."""
    for separator in "|;" if is_plural else "|":
        parts = [part.strip() for part in text.split(separator)]
        is_formula = not is_plural and _FORMULA.search(text)
        names = all(sum(map(str.isalnum, part)) >= (1 if is_plural else 2) for part in parts)
        if len(parts) > 1 and names and not is_formula:
            return parts
    return [text]
