"""Small corpora, written as files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


def write_corpus(file: Path, passages: Iterable[tuple[str, str, str]]) -> str:
    """A corpus file of (id, title, text); returns its path."""
    rows = [{"id": each, "contents": f'"{title}"\n{text}'} for each, title, text in passages]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)
