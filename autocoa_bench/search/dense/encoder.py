"""A sentence encoder: a transformers model, its tokens pooled into one vector of length 1."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import msgspec
import numpy as np

from autocoa_bench.errors import UNREADABLE, MissingExtra, UserError
from autocoa_bench.search.corpus import fingerprint
from autocoa_bench.util.paths import user_path

Vectors = np.ndarray[Any, np.dtype[np.float32]]

Pooling = Literal["mean", "cls"]

_E5 = re.compile(r"(?:^|[-_/])e5-(?:small|base|large)(?!.*instruct)", re.IGNORECASE)
_FILES = ("*.json", "*.txt", "*.model", "model*.safetensors", "1_Pooling/config.json")
_TOKENS_A_BATCH = 8192
_LONGEST = 512


class Prefixes(NamedTuple):
    """What stands before a text for the encoder to know what it is."""

    query: str = ""
    passage: str = ""


def known_prefixes(model: str) -> Prefixes:
    """Those that a model was trained with, as far as its name tells: the E5 family's, or none."""
    return Prefixes("query: ", "passage: ") if _E5.search(model) else Prefixes()


class Encoder:
    """A model of the Hugging Face Hub or in a folder.

    Pooling and the longest text are what the model's own sentence-transformers files say; without
    these, the mean over tokens, and 512. On a GPU it computes with 16 bits.
    """

    def __init__(self, name: str, device: str = "auto") -> None:
        """Load it. Raises UserError and MissingExtra."""
        torch, transformers = _libraries()
        folder = _folder(name)
        self._torch = torch
        self._device = _device(torch, device)
        self.dtype = "float32" if self._device.type == "cpu" else "float16"
        self.pooling = _pooling(folder)
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
            model = transformers.AutoModel.from_pretrained(
                str(folder), dtype=getattr(torch, self.dtype)
            )
            self._model = model.eval().to(self._device)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise UserError(f"'{name}' cannot be loaded as a sentence encoder: {error}") from None
        self.max_tokens = min(_longest(folder), self._tokenizer.model_max_length)
        self.dimensions = int(model.config.hidden_size)
        self.sha256 = _sha256(folder)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, of length 1 [texts, dimensions]. Texts too long are cut."""
        cut = self._tokenizer(list(texts), truncation=True, max_length=self.max_tokens)
        nothing = [self._tokenizer.pad_token_id]  # some tokenizers make no token of an empty text
        ids = [row or nothing for row in cut["input_ids"]]
        order = sorted(range(len(ids)), key=lambda each: len(ids[each]))
        vectors = np.empty((len(ids), self.dimensions), dtype=np.float32)
        for start, end in pairwise(_cuts([len(ids[each]) for each in order])):
            rows = order[start:end]
            vectors[rows] = self._encode([ids[each] for each in rows])
        return vectors

    def _encode(self, rows: list[list[int]]) -> Vectors:
        torch = self._torch
        batch = self._tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            states = self._model(**batch).last_hidden_state.float()
            if self.pooling == "cls":
                pooled = states[:, 0]
            else:
                mask = batch["attention_mask"].unsqueeze(-1)
                pooled = (states * mask).sum(1) / mask.sum(1)
            made: Vectors = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
        return made


def _cuts(lengths: Sequence[int]) -> list[int]:
    """Where to cut rows, shortest first, into batches that stay small once they are padded."""
    cuts = [0]
    for number, length in enumerate(lengths):
        if number > cuts[-1] and (number + 1 - cuts[-1]) * length > _TOKENS_A_BATCH:
            cuts.append(number)
    return [*cuts, len(lengths)] if lengths else cuts


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError:
        raise MissingExtra("the search engine 'dense'", "dense") from None
    logging: Any = transformers.utils.logging
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # it reports layers that are not used here as missing
    return torch, transformers


def _device(torch: Any, given: str) -> Any:
    if given == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(given)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        raise UserError(
            f"dense: no device '{given}' here ({said}); give cpu, cuda or cuda:0"
        ) from None
    return device


def _folder(name: str) -> Path:
    """Where a model's files lie, fetched if need be. Raises UserError."""
    path = user_path(name)
    if path.is_dir():
        return path
    if name.startswith((".", "/", "~")):
        raise UserError(f"dense: '{name}' is no folder of a sentence encoder")
    import huggingface_hub
    from huggingface_hub import errors

    # The base of the HTTP library's errors, whichever it is (see util/hub.py).
    transport = cast("type[Exception]", errors.HfHubHTTPError.__mro__[1])
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(_FILES)))
    except (OSError, ValueError, RuntimeError, transport) as error:
        raise UserError(
            f"dense: the sentence encoder '{name}' is no folder and cannot be fetched from the "
            f"Hugging Face Hub ({type(error).__name__}); check name and network, or give a folder: "
            "--search dense:model=PATH"
        ) from None


def _pooling(folder: Path) -> Pooling:
    said = _settings(folder / "1_Pooling" / "config.json")
    modes = [mode for mode, on in said.items() if mode.startswith("pooling_mode_") and on is True]
    if not modes or modes == ["pooling_mode_mean_tokens"]:
        return "mean"
    if modes == ["pooling_mode_cls_token"]:
        return "cls"
    raise UserError(f"dense: '{folder}' pools by {', '.join(modes)}; known are mean and cls")


def _longest(folder: Path) -> int:
    said = _settings(folder / "sentence_bert_config.json").get("max_seq_length")
    return said if isinstance(said, int) else _LONGEST


def _settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, *UNREADABLE) as error:
        raise UserError(f"dense: '{file}' cannot be read: {error}") from None


def _sha256(folder: Path) -> str:
    """Of what decides the vectors: the hashes of weights, tokenizer and settings."""
    files = [file for pattern in _FILES for file in sorted(folder.glob(pattern))]
    said = "".join(f"{file.relative_to(folder)} {fingerprint(file)}\n" for file in files)
    return hashlib.sha256(said.encode()).hexdigest()
