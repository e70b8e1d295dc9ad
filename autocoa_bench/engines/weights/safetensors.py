"""Safetensors files as numpy arrays, read and written without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autocoa_bench.errors import MissingExtra, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FLOATS = {"F64", "F32", "F16", "BF16"}


class TensorFile(Mapping[str, "NDArray[np.floating[Any]]"]):
    """The tensors of one or more safetensors files, each read when it is looked up.

    Brain floats (bf16) become 32-bit floats of the same values. Raises UserError for a damaged
    file, and for a tensor that does not hold floats.
    """

    def __init__(self, files: list[Path]) -> None:
        self._file_of: dict[str, Path] = {}
        for file in files:
            with _opened(file) as reader:
                self._file_of |= dict.fromkeys(reader.keys(), file)

    def __getitem__(self, name: str) -> NDArray[np.floating[Any]]:
        import numpy as np

        file = self._file_of[name]
        with _opened(file) as reader:
            dtype = reader.get_slice(name).get_dtype()
            if dtype not in _FLOATS:
                raise UserError(
                    f"the tensor '{name}' in '{file}' has type {dtype}; only floats are converted"
                )
            tensor: NDArray[np.floating[Any]] = reader.get_tensor(name)
        return tensor.astype(np.float32) if dtype == "BF16" else tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)


def save(file: Path, tensors: Mapping[str, NDArray[np.floating[Any]]]) -> None:
    """Write float tensors as a safetensors file that PEFT and transformers read."""
    _library()
    import numpy as np
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(contiguous, file, metadata={"format": "pt"})


def _opened(file: Path) -> Any:
    """A reader of a safetensors file, to be used in a `with` block. Raises UserError."""
    safetensors = _library()
    try:
        return safetensors.safe_open(file, framework="numpy")
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error}") from None
    except safetensors.SafetensorError as error:
        raise UserError(f"'{file}' is not a safetensors file, or is damaged ({error})") from None


def _library() -> Any:
    try:
        import ml_dtypes  # noqa: F401 - teaches numpy the type bfloat16
        import safetensors
    except ImportError:
        raise MissingExtra("reading and writing safetensors files", "embedded") from None
    return safetensors
