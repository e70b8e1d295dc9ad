"""What commands share: files for tables are refused before work is done, and left as they are."""

from pathlib import Path

import pytest

from autocoa_bench.cli.output import check_file, format_of, write_table
from autocoa_bench.errors import UserError


def test_a_files_name_says_its_format() -> None:
    assert format_of(None) == "terminal"
    assert format_of(Path("a.tex")) == "latex"
    with pytest.raises(UserError, match="end it in"):
        format_of(Path("a.txt"))


def test_a_check_leaves_a_file_as_it_is_and_makes_none(tmp_path: Path) -> None:
    there = tmp_path / "there.md"
    there.write_text("mine")
    check_file(there)
    check_file(tmp_path / "absent.md")
    assert [file.name for file in tmp_path.iterdir()] == ["there.md"]
    assert there.read_text() == "mine"


@pytest.mark.parametrize("name", ["none/table.md", ".", "records.jsonl"])
def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    for use in (check_file, lambda file: write_table(file, "text")):
        with pytest.raises(UserError, match=r"cannot write|run folder uses"):
            use(tmp_path / name)
