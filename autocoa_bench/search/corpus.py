"""A corpus: a file of passages, identified by its bytes and copied to the cache for random access.

`passages` reads its rows, of whatever published shape.
"""

import hashlib
import mmap
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.search.build_cache import open_or_build
from autocoa_bench.search.passages import ACCEPTED, read_passage
from autocoa_bench.types import Passage, SearchSpec
from autocoa_bench.util.fingerprint import fingerprint
from autocoa_bench.util.paths import cache_dir, user_path
from autocoa_bench.util.row_reader import (
    FORMATS,
    data_files,
    file_stem,
    folder_error,
    is_data_name,
    read_rows,
    row_error,
)

FORMAT = 1
"""The version of how rows are read and stored; caches of another version are not used."""

_PART = re.compile(r"[-_.]?\d+(?:-of-\d+)?$")
"""The number of a part at the end of a file's name: `train-00000-of-00005`."""

_DESCRIPTIONS = frozenset(["dataset_infos.json", "dataset_info.json", "state.json"])
"""Files that describe a dataset of the Hub."""

_MOST_ROWS = 1 << 40
"""More rows than a file has, so that one number tells part and row."""


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

    def scored(self, scores: Iterable[tuple[int, float]]) -> tuple[Passage, ...]:
        """The passages of (position, score) pairs, each with its score."""
        return tuple(replace(self.get(position), score=score) for position, score in scores)

    def search_spec(
        self, engine: str, settings: dict[str, str | int | float], top_k: int
    ) -> SearchSpec:
        """The spec of a search engine over this corpus."""
        return SearchSpec(engine, self.name, self.sha256, len(self), settings, top_k)

    def __iter__(self) -> Iterator[Passage]:
        return map(self.get, range(len(self)))


def open_corpus(name: str) -> Corpus:
    """Open the corpus of a registered name or a file, copied to the cache at the first use.

    Raises UserError for an unknown name and for a file that is not a corpus, naming the row.
    """
    # The copy is cached by content, so that a moved or renamed file is not read again.
    path = corpus_file(name)
    sha256 = corpus_sha256(path)
    label = name if name in registry.names("corpora") else path.name
    return open_or_build(
        cache_dir("corpora") / f"{FORMAT}-{sha256[:32]}",
        build=partial(_write_copy, path),
        open_=lambda folder: Corpus(folder, label, sha256),
    )


def corpus_file(name: str) -> Path:
    """The file of a registered corpus, or the path of a file or a folder of its parts.

    Raises UserError for neither.
    """
    registered = registry.names("corpora")
    if name in registered:
        path: Path = registry.load("corpora", name)()
        return path
    path = user_path(name)
    if path.exists() or os.sep in name or is_data_name(name):
        return path
    hint = f"or give the path of a {FORMATS}"
    raise UserError(f"{registry.unknown('corpus', name, registered)}, {hint}")


def corpus_sha256(path: Path) -> str:
    """SHA-256 of a corpus: of its file's bytes, or of the hashes of its parts. Raises UserError."""
    digests = [fingerprint(part) for part in _parts(path)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _parts(path: Path) -> list[Path]:
    """The files of a corpus: itself, or in a folder the one named `corpus`, the only one, or
    numbered parts.

    Datasets of the Hub have them in the folder `data`, or in one named after their only config.
    Raises UserError for another folder.
    """
    if not path.is_dir():
        return [path]
    inner = [item for item in path.iterdir() if item.is_dir() and not item.name.startswith(".")]
    single: list[Path] = []
    for folder in (path, path / "data", path / "corpus", *inner[: len(inner) == 1]):
        files = data_files(folder) if folder.is_dir() else []
        files = [file for file in files if file.name not in _DESCRIPTIONS]
        named = [file for file in files if file_stem(file.name).lower() == "corpus"]
        numbered = [_PART.sub("", file_stem(file.name)) for file in files]
        are_parts = len(set(numbered)) == 1 and numbered[0] != file_stem(files[0].name)
        if len(named) == 1 or are_parts:
            return named or files
        single = single or (files if len(files) == 1 else [])
    if single:
        return single
    raise folder_error(path)


def read_passages(path: Path) -> Iterator[Passage]:
    """The passages of a corpus in the order of its file, or files, each with an id of its own.

    Raises UserError naming the malformed row, and for two rows that give the same id.
    """
    parts = _parts(path)
    first_rows: dict[str, int] = {}
    repeats: Counter[str] = Counter()
    for part_number, part in enumerate(parts):
        start = part_number * _MOST_ROWS
        for number, row in read_rows(part, ACCEPTED):
            try:
                passage, has_own_id = read_passage(row)
            except ValueError as error:
                raise row_error(part, number, str(error), ACCEPTED) from None
            place = start + number
            first_row = first_rows.setdefault(passage.id, place)
            if first_row != place:
                if has_own_id:
                    first_part, row_number = divmod(first_row, _MOST_ROWS)
                    of_part = f" of {parts[first_part].name}" if first_part != part_number else ""
                    problem = f"row {row_number}{of_part} has the id '{passage.id:.80}' too"
                    problem += "; give every passage its own id, or none"
                    raise row_error(part, number, problem, ACCEPTED)
                # Passages of one page, or with the same content.
                repeats[passage.id] += 1
                passage = replace(passage, id=f"{passage.id}-{repeats[passage.id] + 1}")
            yield passage


def _write_copy(path: Path, folder: Path) -> None:
    """Write the passages of a file to a cache folder, with the byte offset of each."""
    import numpy as np

    # A packed array, because a list of ints would take several times the memory.
    offsets = array("q", [0])
    encoder = msgspec.json.Encoder()
    with (folder / "passages.jsonl").open("wb") as file:
        for passage in read_passages(path):
            offsets.append(offsets[-1] + file.write(encoder.encode(passage) + b"\n"))
    np.save(folder / "offsets.npy", np.frombuffer(offsets, dtype=np.int64))
