"""A corpus: a file of passages, known by its bytes, kept on disk for random access.

The format is FlashRAG's: one row a passage, `{id, contents}` with `contents` a quoted title, a
line break and the text, or `{id, title, text}`.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.search.build_cache import open_or_build
from autocoa_bench.types import Passage
from autocoa_bench.util.paths import cache_dir, user_path
from autocoa_bench.util.progress import DelayedProgressBar
from autocoa_bench.util.row_reader import Row, id_as_text, read_rows, row_error

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")

FORMAT = 1
"""Of how rows are read and kept: caches of another format are not used."""

_CHUNK_BYTES = 1 << 20


class Corpus:
    """The passages of a corpus by position, read from a memory-mapped file.

    `name` is the registered name or the file's name; `sha256` is of the source file's bytes.
    """

    def __init__(self, folder: Path, name: str, sha256: str) -> None:
        import numpy as np

        self.name = name
        self.sha256 = sha256
        self._decoder = msgspec.json.Decoder(Passage)
        self._offsets = np.asarray(np.load(folder / "offsets.npy", mmap_mode="r"))
        with (folder / "passages.jsonl").open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def get(self, position: int) -> Passage:
        """The passage at a position, counted from 0 in the file's order."""
        start, end = int(self._offsets[position]), int(self._offsets[position + 1])
        return self._decoder.decode(self._data[start:end])

    def __iter__(self) -> Iterator[Passage]:
        return map(self.get, range(len(self)))


def open_corpus(name: str) -> Corpus:
    """The corpus of a registered name or a file, copied into the cache at its first use.

    Raises UserError for an unknown name and for a file that is not a corpus, naming the row.
    """
    path = corpus_file(name)
    sha256 = fingerprint(path)
    label = name if name in registry.names("corpora") else path.name
    return open_or_build(
        cache_dir("corpora") / f"{FORMAT}-{sha256[:32]}",
        build=_writer(path),
        open_=lambda folder: Corpus(folder, label, sha256),
    )


def corpus_file(name: str) -> Path:
    """The file of a registered corpus, or of a path. Raises UserError where there is none."""
    known = registry.names("corpora")
    if name in known:
        path: Path = registry.load("corpora", name)()
        return path
    path = user_path(name)
    named_as_path = os.sep in name or name.lower().endswith(SUFFIXES)
    if path.is_file() and not path.name.lower().endswith(SUFFIXES):
        raise UserError(f"'{path}' is no corpus: give a {', '.join(SUFFIXES)} file")
    if named_as_path or path.exists():
        return path
    hint = f"or give the path of a {', '.join(SUFFIXES)} file"
    raise UserError(f"{registry.unknown('corpus', name, known)}, {hint}")


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes, remembered for as long as its size and time stay the same."""
    try:
        path = path.resolve(strict=True)
        if not path.is_file():
            raise UserError(f"the corpus '{path}' is no regular file")
        stat = path.stat()
        identity = f"{path}\n{stat.st_size}\n{stat.st_mtime_ns}"
        note = cache_dir("fingerprints") / hashlib.sha256(identity.encode()).hexdigest()[:32]
        if note.exists() and len(known := note.read_text()) == 64:
            return known
        value = _sha256(path, stat.st_size)
        part = note.with_suffix(f".{os.getpid()}")
        part.write_text(value)
        part.replace(note)
        return value
    except OSError as error:
        raise UserError(f"the corpus '{path}' cannot be read: {error.strerror or error}") from error


def read_passages(path: Path) -> Iterator[Passage]:
    """The passages of a corpus file in order. Raises UserError naming the row that is wrong."""
    seen: dict[str, int] = {}
    for number, row in read_rows(path):
        passage = _passage(path, number, row)
        first = seen.setdefault(passage.id, number)
        if first != number:
            raise row_error(path, number, f"the id '{passage.id}' is that of row {first} too")
        yield passage


def _passage(path: Path, number: int, row: Row) -> Passage:
    identifier = id_as_text(row.get("id"))
    if identifier is None:
        raise row_error(path, number, "a passage needs an 'id' (text or a whole number)")
    title: object = row.get("title") or ""
    text: object = row.get("text")
    if isinstance(contents := row.get("contents"), str):
        title, text = split_contents(contents)
    if not isinstance(title, str) or not isinstance(text, str):
        raise row_error(
            path,
            number,
            "a passage needs 'contents' (a title line, then text) or 'title' and 'text'",
        )
    if not text.strip():
        raise row_error(path, number, f"the passage '{identifier}' has no text")
    return Passage(id=identifier, title=title.strip(), text=text.strip())


def split_contents(contents: str) -> tuple[str, str]:
    """Title and text of FlashRAG's `contents`: a title line, quoted or not, and the text."""
    title, _, text = contents.partition("\n")
    title = title.strip()
    if len(title) >= 2 and title[0] == title[-1] == '"':
        title = title[1:-1]
    return title, text


def _writer(path: Path) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        import numpy as np

        offsets = array("q", [0])
        encoder = msgspec.json.Encoder()
        with (folder / "passages.jsonl").open("wb") as file:
            for passage in read_passages(path):
                offsets.append(offsets[-1] + file.write(encoder.encode(passage) + b"\n"))
        np.save(folder / "offsets.npy", np.frombuffer(offsets, dtype=np.int64))

    return write


def _sha256(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file, DelayedProgressBar(f"fingerprinting {path.name}") as bar:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            bar.update(done / max(1, size))
    return digest.hexdigest()
