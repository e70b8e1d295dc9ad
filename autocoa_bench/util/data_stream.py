"""The content of a data file as UTF-8: expanded, within limits, a chunk at a time."""

import bz2
import codecs
import gzip
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from autocoa_bench.errors import UserError, import_extra
from autocoa_bench.util import size_limits
from autocoa_bench.util.progress import DelayedProgressBar

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst", ".zip")

_CHUNK_BYTES = 1 << 16
HEAD_BYTES = 1 << 18

_MAGIC = {
    ".gz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\0",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".zip": b"PK\x03\x04",
    ".parquet": b"PAR1",
}
"""The first bytes of files whose name has a suffix."""

_FOREIGN = {
    b"%PDF": "a PDF document; extract its text first",
    b"ARROW1": "an Arrow file; save it as Parquet or JSON Lines",
    b"SQLite format": "an SQLite database; export its rows",
    b"PAR1": "Parquet inside a compressed file; unpack it first",
    b"GGUF": "a model",
    b"\x80\x04": "a pickle, which could run code; save its rows as JSON Lines",
    b"\x89HDF": "an HDF5 file; export its rows",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; run `git lfs pull`",
    b"<": "HTML or XML; a download often leaves an error page in place of the file",
}
"""The first bytes of files that people give by mistake, and what they are."""

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class DataStream(NamedTuple):
    """The content of a file: its name without the suffix of a compression, in lower case, its
    first bytes, and all of it in chunks."""

    name: str
    head: bytes
    chunks: Iterator[bytes]


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def format_suffix(name: str) -> str:
    """The part of a file's name that tells its format: `.jsonl.gz`; empty where none does."""
    lower = name.lower()
    outer = next((end for end in COMPRESSIONS if lower.endswith(end)), "")
    inner = lower.removesuffix(outer)
    suffix = next((end for end in FORMATS if inner.endswith(end)), "") + outer
    return name[len(name) - len(suffix) :] if suffix else ""


def is_parquet(path: Path) -> bool:
    """Tell whether a file is Parquet, by its content. Raises OSError."""
    with path.open("rb") as file:
        return file.read(4) == _MAGIC[".parquet"]


@contextmanager
def open_data(path: Path) -> Iterator[DataStream]:
    """Open the content of a file that is not Parquet.

    Raises UserError for content that is not text, and while its chunks are read for content that
    exceeds the limits; OSError, EOFError, ValueError and the errors of zlib, lzma and zipfile for
    damaged files.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        bar = stack.enter_context(DelayedProgressBar(f"reading {path.name}"))
        name, stream = _expanded(path, raw, stack)
        chunks = _in_utf8(path, _limited(path, raw, stream, bar))
        head = b""
        while len(head) < HEAD_BYTES and (chunk := next(chunks, b"")):
            head += chunk
        _check_text(path, head)
        yield DataStream(name, head, chain([head], chunks))


def _expanded(path: Path, raw: BinaryIO, stack: ExitStack) -> tuple[str, _Readable]:
    """The name without the suffix of a compression, and the expanded content."""
    start = raw.read(8)
    raw.seek(0)
    name = path.name.lower()
    kind = next((end for end in COMPRESSIONS if start.startswith(_MAGIC[end])), "")
    for suffix in (*COMPRESSIONS, ".parquet"):
        if name.endswith(suffix) and suffix != kind and start:
            raise UserError(
                f"'{path}' cannot be read: it is named {suffix}, but its content is not; rename it "
                "or fetch it again"
            )
    name = name.removesuffix(kind)
    if kind == ".gz":
        return name, stack.enter_context(gzip.GzipFile(fileobj=raw))
    if kind == ".bz2":
        return name, stack.enter_context(bz2.BZ2File(raw))
    if kind == ".xz":
        return name, _XZ(raw)
    if kind == ".zst":
        arrow = import_extra("pyarrow", f"reading {path.name}", "parquet")
        return name, stack.enter_context(arrow.CompressedInputStream(raw, "zstd"))
    if kind == ".zip":
        archive = stack.enter_context(zipfile.ZipFile(raw))
        member = _only_member(path, archive)
        return member.filename.lower(), stack.enter_context(archive.open(member))
    return name, raw


class _XZ:
    """An .xz file, read with a limit on the decoder's memory, which LZMAFile does not offer."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._decoder = self._new()

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decoder.eof:  # files of several streams are valid
                rest = (self._decoder.unused_data or self._raw.read(_CHUNK_BYTES)).lstrip(b"\0")
                if not rest:
                    return b""
                self._decoder = self._new()
            elif self._decoder.needs_input:
                rest = self._raw.read(_CHUNK_BYTES)
                if not rest:
                    raise EOFError("the compressed file ends before its end marker")
            else:
                rest = b""
            if expanded := self._decoder.decompress(rest, size):
                return expanded

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=size_limits.XZ_MEMORY)


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one data file in a .zip archive; nothing is ever unpacked to the disk."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > size_limits.ARCHIVE_MEMBERS:
        raise UserError(
            f"'{path}' holds {len(members):,} files, more than {size_limits.ARCHIVE_MEMBERS:,}; "
            "unpack it and give one of its files"
        )
    data = [member for member in members if format_suffix(member.filename)] or members
    data = [member for member in data if not member.filename.rpartition("/")[2].startswith(".")]
    if len(data) != 1:
        names = ", ".join(member.filename[:60] for member in data[:5]) or "none"
        raise UserError(
            f"'{path}' must hold one data file, and holds {len(data)} ({names}); unpack it and "
            "give one of its files"
        )
    if data[0].flag_bits & 1:
        raise UserError(f"'{path}' is encrypted; unpack it and give its file")
    return data[0]


def _limited(
    path: Path, raw: BinaryIO, stream: _Readable, bar: DelayedProgressBar
) -> Iterator[bytes]:
    """The chunks of an expanded file, as long as it does not expand without measure."""
    size = max(1, path.stat().st_size)
    limit = expansion_limit(path)
    total = 0
    while chunk := stream.read(_CHUNK_BYTES):
        total += len(chunk)
        if total > limit and stream is not raw:
            raise expands_too_much(path)
        bar.update(raw.tell() / size)
        yield chunk


def expansion_limit(path: Path) -> int:
    """The bytes that a compressed file may expand to."""
    return max(size_limits.FREE_BYTES, path.stat().st_size * size_limits.EXPANSION)


def expands_too_much(path: Path) -> UserError:
    """The error for a compressed file that exceeds its limit."""
    return UserError(
        f"'{path}' expands to more than {expansion_limit(path) >> 20:,} MiB, which no text of its "
        "size does; check where it comes from, or unpack it yourself"
    )


def _in_utf8(path: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks without a byte order mark, and in UTF-8 where the mark is of UTF-16 or UTF-32."""
    first = next(chunks, b"")
    encoding = next((name for mark, name in _MARKS.items() if first.startswith(mark)), "")
    if not encoding:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in chain([first], chunks):
            yield decoder.decode(chunk).encode()
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise UserError(f"'{path}' is not the {encoding.upper()} that it claims: {error}") from None


def _check_text(path: Path, head: bytes) -> None:
    """Raises UserError, saying what a file is that holds no rows."""
    problem = next((what for start, what in _FOREIGN.items() if head.startswith(start)), "")
    if head[257:262] == b"ustar":
        problem = "a tar archive; unpack it and give one of its files"
    if not problem and b"\0" in head[:4096]:
        problem = "a binary file (or UTF-16 without its mark)"
    if problem:
        raise UserError(f"'{path}' cannot be read: it is {problem}")
