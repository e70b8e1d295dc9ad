"""People with two names, read from a corpus."""

import json
from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.judge.synthesis.people import people

PAGES = {
    "Bill Gates": "William Henry Gates III (born October 28, 1955) is an American businessman who "
    "founded a company. He lives there.",
    "Ann Lee (writer)": "Ann Marie Lee (1901 – 1950) was the first writer of crime novels in town.",
    "Bob Ray": "Bob Ray (born 1950) is an English footballer who played as a defender.",
    "Eve Stone": "Eve Anna Holm (born 1950) is an English footballer who played as a defender.",
    "Holm Tower": "Holm Old Tower is a tower that stands on a hill in the old town of Holm.",
    "Max Roe": "Max Roe Max Dan Roe (born 1950) is an English footballer and a good defender.",
}


def write(folder: Path, *contents: object) -> Path:
    file = folder / "corpus.jsonl"
    rows = ({"id": str(n), "contents": text} for n, text in enumerate(contents))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_page_with_a_fuller_name_gives_a_question_with_both_names(tmp_path: Path) -> None:
    file = write(tmp_path, *(f'"{title}"\n{text}' for title, text in PAGES.items()))
    gates, lee = people(file)
    assert gates.text == "Who is an American businessman who founded a company?"
    assert gates.golden_answers == ("Bill Gates", "William Henry Gates III")
    assert lee.golden_answers == ("Ann Lee", "Ann Marie Lee")


def test_a_page_counts_once(tmp_path: Path) -> None:
    page = f'"Bill Gates"\n{PAGES["Bill Gates"]}'
    assert len(list(people(write(tmp_path, page, page)))) == 1


def test_a_file_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"corpus\.jsonl:1: it has no 'contents'"):
        list(people(write(tmp_path, None)))
