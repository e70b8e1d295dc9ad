"""Corpora: both row shapes, every kind of file, errors that name the row, one copy in the cache."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.search import corpus
from autocoa_bench.types import Passage

ROWS: list[dict[str, Any]] = [
    {"id": "7", "contents": '"Marie Curie"\nMarie Curie was a physicist.\nBorn in Warsaw.'},
    {"id": 8, "contents": "Warsaw\nWarsaw is a city."},
    {"id": "9", "contents": '"John "Hannibal" Smith"\nA colonel.'},
    {"id": "10", "title": "Polonium", "text": "An element."},
    {"id": "11", "text": "Text without a title: “ñ”."},
]
PASSAGES = [
    Passage("7", "Marie Curie", "Marie Curie was a physicist.\nBorn in Warsaw."),
    Passage("8", "Warsaw", "Warsaw is a city."),
    Passage("9", 'John "Hannibal" Smith', "A colonel."),
    Passage("10", "Polonium", "An element."),
    Passage("11", "", "Text without a title: “ñ”."),
]


pytestmark = pytest.mark.usefixtures("cache")


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines(rows)))
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
        from pyarrow import parquet

        same = [{"title": "", "text": "", "contents": None} | row for row in rows]
        same = [row | {"id": str(row["id"])} for row in same]
        parquet.write_table(pyarrow.Table.from_pylist(same), path)
    else:
        path.write_bytes(lines(rows))
    return path


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz", "c.parquet"])
def test_every_kind_of_file_gives_the_same_passages(tmp_path: Path, name: str) -> None:
    opened = corpus.open_corpus(str(write(tmp_path / name, ROWS)))
    assert list(opened) == PASSAGES
    assert len(opened) == 5
    assert opened.name == name


def test_passages_are_read_by_position(tmp_path: Path) -> None:
    opened = corpus.open_corpus(str(write(tmp_path / "c.jsonl", ROWS)))
    assert [opened.get(3), opened.get(0)] == [PASSAGES[3], PASSAGES[0]]


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines(ROWS).replace(b"\n", b"\r\n\r\n"))
    assert list(corpus.open_corpus(str(path))) == PASSAGES


GOOD = b'{"id": "1", "contents": "Title\\nText."}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + b'{"id": "2", "contents": " "}', r"c\.jsonl:2: the passage '2' has no text"),
        (GOOD + b'{"contents": ""}', r"c\.jsonl:2: the passage has no text; remove the row"),
        (GOOD + b'{"id": "2", "answer": "T"}', r"c\.jsonl:2: .*this one has id, answer"),
        (GOOD + b'{"id": "2", "title": "T"}', r"c\.jsonl:2: a passage needs 'contents'"),
        (GOOD + b'{"id": "2", "contents": 5}', r"c\.jsonl:2: a passage needs 'contents'"),
        (GOOD + b"\n" + GOOD, r"c\.jsonl:3: row 1 has the id '1' too; give every passage its own"),
        (GOOD + b'{"id": ', r"c\.jsonl:2: not JSON"),
        (GOOD + b"[1]", r"c\.jsonl:2: expected an object, found list"),
        (GOOD + b'{"id": "\xff"}', r"c\.jsonl:2: not UTF-8"),
        (b"\n\n", r"c\.jsonl' has no rows"),
        (b"", r"c\.jsonl' has no rows"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=message):
        corpus.open_corpus(str(tmp_path / "c.jsonl"))


def test_a_torn_gzip_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(lines(ROWS * 50))
    (tmp_path / "c.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        list(corpus.read_passages(tmp_path / "c.jsonl.gz"))


def test_text_named_gz_or_parquet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    for name in ("c.jsonl.gz", "c.parquet"):
        (tmp_path / name).write_bytes(GOOD)
        with pytest.raises(UserError, match=rf"{name}' cannot be read"):
            corpus.open_corpus(str(tmp_path / name))


def test_a_missing_file_a_folder_and_a_wrong_suffix_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "c.txt").write_text("text")
    with pytest.raises(UserError, match=r"none\.jsonl' cannot be read: No such file"):
        corpus.open_corpus(str(tmp_path / "none.jsonl"))
    with pytest.raises(UserError, match="is not a file; give the path of one"):
        corpus.open_corpus(str(tmp_path / "folder.jsonl"))
    with pytest.raises(UserError, match=r"c\.txt' is neither.*give a file that ends in \.jsonl"):
        corpus.open_corpus(str(tmp_path / "c.txt"))


def test_a_folder_of_parts_is_one_corpus(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").touch()
    for number, part in enumerate((ROWS[:2], ROWS[2:])):
        write(tmp_path / "data" / f"train-0000{number}-of-00002.jsonl.gz", part)
    opened = corpus.open_corpus(str(tmp_path))
    assert list(opened) == PASSAGES
    whole = corpus.open_corpus(str(write(tmp_path / "c.jsonl", ROWS)))
    assert opened.sha256 != whole.sha256
    write(tmp_path / "data" / "train-00001-of-00002.jsonl.gz", ROWS[1:])
    with pytest.raises(UserError, match=r"00001-of-00002.*gz:1: row 2 of train-00000-of-00002"):
        corpus.open_corpus(str(tmp_path))


def test_a_folder_of_beir_has_one_corpus(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl", ROWS)
    write(tmp_path / "queries.jsonl", ROWS[:1])
    assert list(corpus.open_corpus(str(tmp_path))) == PASSAGES


@pytest.mark.parametrize(
    "name",
    [
        *("wiki18_100w.jsonl", "data/wiki.jsonl", "corpus/train-00000-of-00001.jsonl"),
        *("20231101.en/train-00000-of-00001.jsonl", "20231101.en/wiki.jsonl.gz"),
    ],
)
def test_a_folder_with_a_single_data_file_is_a_corpus(tmp_path: Path, name: str) -> None:
    hub = tmp_path / "hub"
    (hub / name).parent.mkdir(parents=True)
    write(hub / name, ROWS)
    (hub / "dataset_infos.json").write_text("{}")
    (hub / ".cache").mkdir()
    write(hub / ".cache" / "old.jsonl", ROWS[:1])
    assert list(corpus.open_corpus(str(hub))) == PASSAGES


def test_a_folder_of_several_corpora_is_refused_with_its_files(tmp_path: Path) -> None:
    for name in ("train-00000-of-00001.jsonl", "test-00000-of-00001.jsonl"):
        write(tmp_path / name, ROWS)
    with pytest.raises(UserError, match=r"is not a file.*test-00000.*train-00000"):
        corpus.open_corpus(str(tmp_path))


def test_a_corpus_that_is_not_known_gets_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "names", lambda kind: ["embedded"])
    with pytest.raises(UserError, match=r"did you mean 'embedded'.*or give the path of a \.jsonl"):
        corpus.open_corpus("embeded")


def test_a_registered_corpus_is_opened_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "c.jsonl", ROWS)
    monkeypatch.setattr(registry, "names", lambda kind: ["tiny"])
    monkeypatch.setattr(registry, "load", lambda kind, name: lambda: path)
    assert corpus.open_corpus("tiny").name == "tiny"


def test_a_corpus_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "c.jsonl", ROWS)
    corpus.open_corpus(str(path))
    monkeypatch.setattr(corpus, "read_rows", lambda *_: pytest.fail("read again"))
    assert list(corpus.open_corpus(str(path))) == PASSAGES


def stored(cache: Path) -> Iterator[Path]:
    return (file for file in (cache / "corpora").glob("*/*"))


def test_a_torn_copy_is_made_again(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "c.jsonl", ROWS)
    corpus.open_corpus(str(path))
    names = sorted(file.name for file in stored(cache))
    assert names == ["offsets.npy", "passages.jsonl", "sizes.json"]
    for name in names:
        [file] = [file for file in stored(cache) if file.name == name]
        file.write_bytes(file.read_bytes()[:-3])
        assert list(corpus.open_corpus(str(path))) == PASSAGES
        file.unlink()
        assert list(corpus.open_corpus(str(path))) == PASSAGES


def test_a_bad_corpus_leaves_nothing_in_the_cache(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "c.jsonl").write_bytes(GOOD + b"{")
    with pytest.raises(UserError, match=r"c\.jsonl:\d+: "):
        corpus.open_corpus(str(tmp_path / "c.jsonl"))
    assert list((cache / "corpora").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_users_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "c.jsonl", ROWS)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.save", full)
    with pytest.raises(UserError, match=r"No space left on device\); free some space"):
        corpus.open_corpus(str(path))
