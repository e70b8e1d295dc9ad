"""GGUF files of strangers: one that claims more than it holds is refused at once."""

import struct
from pathlib import Path

import pytest

from autocoa_bench.engines.weights.formats import open_gguf
from autocoa_bench.errors import UserError

TERA = 1 << 40
ONE_FIELD = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a"

FILES = {
    "nothing": b"",
    "its name alone": b"GGUF",
    "another version": b"GGUF" + struct.pack("<IQQ", 99, 0, 0),
    "a terabyte of fields": b"GGUF" + struct.pack("<IQQ", 3, 0, TERA),
    "a terabyte of tensors": b"GGUF" + struct.pack("<IQQ", 3, TERA, 0),
    "a name of a terabyte": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", TERA),
    "a text of a terabyte": ONE_FIELD + struct.pack("<IQ", 8, TERA),
    "an array of a terabyte": ONE_FIELD + struct.pack("<IIQ", 9, 0, TERA) + b"x" * 100,
    "a terabyte of texts": ONE_FIELD + struct.pack("<IIQ", 9, 8, TERA) + b"\0" * 1000,
    "arrays of arrays": ONE_FIELD + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 20_000,
    "an unknown type": ONE_FIELD + struct.pack("<IQ", 77, 1),
    "a tensor beyond its end": (
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1) + b"t"
        + struct.pack("<IQQQQ", 4, TERA, TERA, TERA, TERA) + struct.pack("<IQ", 0, 0) + b"\0" * 64
    ),
}  # fmt: skip


@pytest.mark.parametrize("content", FILES)
def test_a_model_file_that_claims_more_than_it_holds_is_refused(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(FILES[content])
    with pytest.raises(UserError, match="is not a GGUF file, or is damaged"):
        open_gguf(file)
