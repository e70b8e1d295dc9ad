"""The wordings in `prose.txt`, `questions.txt` and similar files, and tables of facts."""

from functools import cache
from pathlib import Path

Sections = dict[str, dict[str, tuple[str, ...]]]


def table_rows(path: Path) -> list[list[str]]:
    """The cells of the rows of a table, which are separated by tabs."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


@cache
def wordings(name: str, folder: Path = Path(__file__).parent) -> Sections:
    """All sections of a file of wordings: section -> kind of line -> wordings.

    A header that names several sections gives all of them the same lines.
    """
    sections: dict[str, dict[str, list[str]]] = {}
    lines: dict[str, list[str]] = {}
    for row in (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if not row or row.startswith("#"):
            continue
        if row.startswith("["):
            lines = {}
            sections.update(dict.fromkeys(row.strip("[]").split(), lines))
        else:
            sort, text = row.split(maxsplit=1)
            lines.setdefault(sort, []).append(text)
    return {
        section: {sort: tuple(texts) for sort, texts in groups.items()}
        for section, groups in sections.items()
    }
