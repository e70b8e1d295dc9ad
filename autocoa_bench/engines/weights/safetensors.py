"""Safetensors files as numpy arrays: what conversion needs of the format, without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from autocoa_bench.errors import UNREADABLE, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONGEST_HEADER = 100 << 20
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class TensorFile(Mapping[str, "NDArray[np.floating[Any]]"]):
    """The tensors of one or more safetensors files, read when they are asked for.

    16-bit brain floats are given as 32-bit ones, of the same values. Raises UserError for a file
    that is none, or a tensor of no floating type.
    """

    def __init__(self, files: list[Path]) -> None:
        self._where: dict[str, tuple[Path, int, _Entry]] = {}
        for file in files:
            start, header = _header(file)
            self._where |= {name: (file, start, entry) for name, entry in header.items()}

    def __getitem__(self, name: str) -> NDArray[np.floating[Any]]:
        import numpy as np

        file, start, entry = self._where[name]
        begin, end = entry.data_offsets
        if entry.dtype not in _FLOATS:
            raise UserError(f"'{name}' in '{file}' is {entry.dtype}; only floats are converted")
        try:
            with file.open("rb") as opened:
                opened.seek(start + begin)
                raw = np.frombuffer(opened.read(end - begin), _FLOATS[entry.dtype])
            if entry.dtype == "BF16":  # the upper half of a 32-bit float
                raw = (raw.astype("<u4") << 16).view("<f4")
            return raw.reshape(entry.shape)
        except (OSError, ValueError) as error:
            raise UserError(f"'{file}' is damaged where '{name}' should be: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


class _Entry(Struct, frozen=True):
    """What a header says of a tensor."""

    dtype: str
    shape: list[Annotated[int, Meta(ge=0)]]
    data_offsets: tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]]


def _header(file: Path) -> tuple[int, dict[str, _Entry]]:
    """Where a file's data begins, and what its header says of each tensor."""
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            if not 2 <= size <= _LONGEST_HEADER:
                raise ValueError("no header")
            found = msgspec.json.decode(opened.read(size), type=dict[str, msgspec.Raw])
        found.pop("__metadata__", None)
        header = {name: msgspec.json.decode(each, type=_Entry) for name, each in found.items()}
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}") from None
    except UNREADABLE:
        raise UserError(f"'{file}' is no safetensors file, or is damaged") from None
    return 8 + size, header


def save(file: Path, tensors: Mapping[str, NDArray[np.floating[Any]]]) -> None:
    """Write 16- or 32-bit floats as a safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": f"F{8 * tensor.itemsize}",
            "shape": tensor.shape,
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            opened.write(tensor.tobytes())
