"""Safetensors files as numpy arrays, read and written without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autocoa_bench.errors import UserError, import_extra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


def read_tensors(files: Iterable[Path]) -> Iterator[tuple[str, Array]]:
    """The names and tensors in safetensors files, one tensor in memory at a time.

    Brain floats (bf16) become 32-bit floats of the same values. Raises UserError for a damaged
    file, and for a tensor that does not hold floats.
    """
    library = _library()
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
    """Write float tensors as a safetensors file that PEFT and transformers read."""
    _library()
    import numpy as np
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(contiguous, file, metadata={"format": "pt"})


def _library() -> Any:
    feature = "reading and writing safetensors files"
    import_extra("ml_dtypes", feature, "embedded")  # teaches numpy the type bfloat16
    return import_extra("safetensors", feature, "embedded")
