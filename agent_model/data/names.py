"""The names in a question, which teachers search for."""

from __future__ import annotations

import re

_NAME = re.compile(
    r"[A-Z0-9][\w'’.-]*(?: (?:(?:of|the|in|and|for|from|to|is|on|a|no) )*[A-Z0-9][\w'’.-]*)*"
)


def all_names_in(text: str) -> list[str]:
    """The names in a text: its capitalised words, those that belong together in one."""
    return _NAME.findall(text)


def names_in(question: str) -> str:
    """The names in a question, its capitalised words but the first; all of it where it has none."""
    return " ".join(all_names_in(question[:1].lower() + question[1:])) or question
