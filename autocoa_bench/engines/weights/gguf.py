"""GGUF files by the gguf package: opened, their metadata copied, written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autocoa_bench.errors import MissingExtra, UserError


def library() -> Any:
    """The gguf package. Raises MissingExtra."""
    try:
        import gguf
        import gguf.quants
    except ImportError:
        raise MissingExtra("reading and writing GGUF models", "embedded") from None
    return gguf


def open_gguf(path: Path) -> Any:
    """A GGUFReader. Raises UserError."""
    try:
        return library().GGUFReader(path)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(f"'{path}' is no GGUF file, or is damaged ({error})") from None


def with_metadata_of(reader: Any, target: Path, file_type: str) -> Any:
    """A GGUFWriter that says what the reader's file says, but for the type of its weights.

    `file_type` is one of the names of llama.cpp's LlamaFileType.
    """
    gguf = library()
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue  # the writer states these itself
        value = field.contents()
        if field.name == "general.file_type":
            value = int(gguf.LlamaFileType[file_type])
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, kind, sub_type=inner)
    return writer


def close_gguf(writer: Any) -> None:
    """Write all that was added, and close the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
