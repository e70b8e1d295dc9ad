"""Files of weights: GGUF by the gguf package, and safetensors as numpy arrays, without torch."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from autocoa_bench.errors import UserError, import_extra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
"""GGUF's types of values: the sizes of those that have one, and the others."""


def gguf_library() -> Any:
    """The gguf package. Raises MissingExtra."""
    feature = "reading and writing GGUF models"
    import_extra("gguf.quants", feature, "embedded")
    return import_extra("gguf", feature, "embedded")


def open_gguf(path: Path) -> Any:
    """A GGUFReader. Raises UserError."""
    try:
        _check_gguf(path)
        return gguf_library().GGUFReader(path)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(f"'{path}' is not a GGUF file, or is damaged ({error})") from None


def _check_gguf(path: Path) -> None:
    """Raise ValueError for a GGUF file that claims more than it holds.

    The reader of the gguf package believes the lengths of its header, and may count to a billion
    items that are not there.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        magic, version, tensors, fields = _unpack(file, "<4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError("it does not begin as one of version 2 or 3")
        # Each takes this many bytes at least: a length, a type, and a value or an offset.
        if tensors * 24 + fields * 13 > size:
            raise ValueError(f"it claims {fields:,} fields and {tensors:,} tensors")
        for _ in range(fields):
            _skip(file, size, *_unpack(file, "<Q"))
            _skip_value(file, size, *_unpack(file, "<I"))


def _skip_value(file: BinaryIO, size: int, kind: int) -> None:
    if kind in _VALUE_BYTES:
        _skip(file, size, _VALUE_BYTES[kind])
    elif kind == _STRING:
        _skip(file, size, *_unpack(file, "<Q"))
    elif kind == _ARRAY:
        item, number = _unpack(file, "<IQ")
        if item in _VALUE_BYTES:
            _skip(file, size, number * _VALUE_BYTES[item])
        elif item == _STRING and number * 8 <= size:
            for _ in range(number):
                _skip(file, size, *_unpack(file, "<Q"))
        else:
            raise ValueError(f"it has an array of {number:,} items of type {item}")
    else:
        raise ValueError(f"it has a value of the unknown type {kind}")


def _skip(file: BinaryIO, size: int, length: int) -> None:
    if file.tell() + length > size:
        raise ValueError(f"it claims {length:,} bytes where it ends")
    file.seek(length, os.SEEK_CUR)


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise ValueError("it ends too early")
    return struct.unpack(form, data)


def writer_like(reader: Any, target: Path, file_type: str) -> Any:
    """A GGUFWriter with all metadata of the reader's file except the type of its weights.

    `file_type` is one of the names of llama.cpp's LlamaFileType.
    """
    gguf = gguf_library()
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue  # the writer adds these itself
        value = field.contents()
        if field.name == "general.file_type":
            value = int(gguf.LlamaFileType[file_type])
        kind = field.types[0]
        item_kind = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, kind, sub_type=item_kind)
    return writer


def close_gguf(writer: Any) -> None:
    """Write everything that was added, and close the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def requantise_to_q8_0(source: Path, target: Path) -> None:
    """Write `source` with its quantised tensors as Q8_0; the same bytes on every machine.

    llama.cpp's prebuilt x86 wheels multiply Q8_0 by a blocked kernel, Q4_1 without one. On one
    thread with 8 requests at once, SmolLM2-135M in Q8_0 reads prompts 1.8 times as fast and writes
    1.3 times as fast as in Q4_1. The file is half as large again.
    """
    gguf = gguf_library()
    reader = gguf.GGUFReader(source)
    writer = writer_like(reader, target, "MOSTLY_Q8_0")
    q8_0 = gguf.GGMLQuantizationType.Q8_0
    unchanged = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, q8_0)
    for tensor in reader.tensors:
        if tensor.tensor_type in unchanged:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        else:
            weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, gguf.quants.quantize(weights, q8_0), raw_dtype=q8_0)
    close_gguf(writer)


def read_tensors(files: Iterable[Path]) -> Iterator[tuple[str, Array]]:
    """The names and tensors in safetensors files, one tensor in memory at a time.

    Brain floats (bf16) become 32-bit floats of the same values. Raises UserError for a damaged
    file, and for a tensor that does not hold floats.
    """
    library = _safetensors_library()
    import numpy as np

    for file in files:
        try:
            with library.safe_open(file, framework="numpy") as reader:
                for name in reader.offset_keys():
                    dtype = reader.get_slice(name).get_dtype()
                    if dtype not in ("F64", "F32", "F16", "BF16"):
                        raise UserError(
                            f"the tensor '{name}' in '{file}' has type {dtype}; only floats are "
                            "converted"
                        )
                    tensor = reader.get_tensor(name)
                    yield name, tensor.astype(np.float32) if dtype == "BF16" else tensor
        except OSError as error:
            raise UserError(f"cannot read '{file}': {error}") from None
        except library.SafetensorError as error:
            raise UserError(
                f"'{file}' is not a safetensors file, or is damaged ({error})"
            ) from None


def save(file: Path, tensors: Mapping[str, Array]) -> None:
    """Write float tensors as a safetensors file that PEFT and transformers read.

    Raises OSError.
    """
    _safetensors_library()
    import numpy as np
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    with disk_errors():
        save_file(contiguous, file, metadata={"format": "pt"})


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise OSError where the safetensors library cannot write, as it raises errors of its own."""
    library = _safetensors_library()
    try:
        yield
    except library.SafetensorError as error:
        full = "No space left" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from None


def _safetensors_library() -> Any:
    feature = "reading and writing safetensors files"
    import_extra("ml_dtypes", feature, "embedded")  # teaches numpy the type bfloat16
    return import_extra("safetensors", feature, "embedded")
