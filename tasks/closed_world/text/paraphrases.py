"""Rules that reword the templates of questions for training."""

import re
from functools import cache
from pathlib import Path

from tasks.closed_world.text.grammar import capitalise
from tasks.closed_world.text.wordings import table_rows, wordings


@cache
def paraphrases(template: str) -> tuple[str, ...]:
    """What the rules of `paraphrases.txt` make of a template; none is a held-out wording.

    Each has the same slots, and at most one rule was applied.
    """
    results = []
    for pattern, replacement in _rules():
        text, count = pattern.subn(replacement, template, count=1)
        if not count or text == template:
            continue
        text = _in_order(text)
        if template[:1].isupper():
            text = capitalise(text)
        if text not in _held_out() and sorted(_slots(text)) == sorted(_slots(template)):
            results.append(text)
    return tuple(dict.fromkeys(results))


def _in_order(text: str) -> str:
    """A reworded template with the words of asking inside it in lower case."""
    return re.sub(
        r"(?<=[a-z,:}] )(?:Wh\w+|In|On|By|To|At|From|Of|Are|Is|Were|Was|Do|Does|Did)\b",
        lambda match: match[0].lower(),
        text,
    )


def _slots(template: str) -> list[str]:
    return re.findall(r"\{\w+\}", template)


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    rows = table_rows(Path(__file__).with_name("paraphrases.txt"))
    return tuple((re.compile(pattern), replacement) for pattern, replacement in rows)


@cache
def _held_out() -> frozenset[str]:
    """The starred wordings of questions.txt."""
    return frozenset(
        text
        for lines in wordings("questions").values()
        for sort, texts in lines.items()
        if sort.endswith("*")
        for text in texts
    )
