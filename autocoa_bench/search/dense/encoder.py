"""A sentence encoder: a transformers model whose tokens are pooled into one vector of length 1."""

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from autocoa_bench.errors import UNREADABLE, UserError, import_extra
from autocoa_bench.util.fingerprint import fingerprint
from autocoa_bench.util.hub import transfer_errors
from autocoa_bench.util.paths import user_path
from autocoa_bench.util.secrets import redacted_logs

Vectors = np.ndarray[Any, np.dtype[np.float32]]

Pooling = Literal["mean", "cls"]

_E5 = re.compile(r"(?:^|[-_/])e5-(?:small|base|large)(?!.*instruct)", re.IGNORECASE)
_FILES = ("*.json", "*.txt", "*.model", "model*.safetensors", "1_Pooling/config.json")
_TOKENS_PER_BATCH = 8192
_DEFAULT_MAX_TOKENS = 512


def known_prefixes(model: str) -> tuple[str, str]:
    """The prefixes of queries and passages that a model was trained with: E5's by name, or none."""
    return ("query: ", "passage: ") if _E5.search(model) else ("", "")


class Encoder:
    """A sentence encoder of the Hugging Face Hub or in a folder.

    Pooling and the maximum length come from the model's own sentence-transformers files; without
    these they are the mean over tokens, and 512. On a GPU it computes with 16 bits.
    """

    def __init__(self, name: str, device: str = "auto") -> None:
        """Load the model. Raises UserError and MissingExtra."""
        torch = import_extra("torch", "the search engine 'dense'", "dense")
        transformers = import_extra("transformers", "the search engine 'dense'", "dense")
        transformers.utils.logging.disable_progress_bar()
        # It would report layers that are not used here as missing.
        transformers.utils.logging.set_verbosity_error()
        folder = _model_folder(name)
        self._torch = torch
        self._device = _torch_device(torch, device)
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
        max_tokens = _read_json(folder / "sentence_bert_config.json").get("max_seq_length")
        self.max_tokens = min(
            max_tokens if isinstance(max_tokens, int) else _DEFAULT_MAX_TOKENS,
            self._tokenizer.model_max_length,
        )
        self.dimensions = int(model.config.hidden_size)
        self.sha256 = _model_sha256(folder)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector of length 1 per text [texts, dimensions]. Texts that are too long are cut."""
        tokens = self._tokenizer(list(texts), truncation=True, max_length=self.max_tokens)
        padding = [self._tokenizer.pad_token_id]  # some tokenizers give an empty text no token
        ids = [row or padding for row in tokens["input_ids"]]
        # Batches of texts of similar length need little padding.
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        vectors = np.empty((len(ids), self.dimensions), dtype=np.float32)
        for start, end in pairwise(_batch_bounds([len(ids[row]) for row in order])):
            rows = order[start:end]
            vectors[rows] = self._encode_batch([ids[row] for row in rows])
        return vectors

    def _encode_batch(self, ids: list[list[int]]) -> Vectors:
        torch = self._torch
        batch = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            states = self._model(**batch).last_hidden_state.float()  # (texts, tokens, dimensions)
            if self.pooling == "cls":
                pooled = states[:, 0]
            else:
                mask = batch["attention_mask"].unsqueeze(-1)
                pooled = (states * mask).sum(1) / mask.sum(1)
            vectors: Vectors = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
        return vectors


def _batch_bounds(lengths: Sequence[int]) -> list[int]:
    """Bounds of batches of rows, shortest first, that stay small once they are padded."""
    bounds = [0]
    for row, length in enumerate(lengths):
        if row > bounds[-1] and (row + 1 - bounds[-1]) * length > _TOKENS_PER_BATCH:
            bounds.append(row)
    return [*bounds, len(lengths)] if lengths else bounds


def _torch_device(torch: Any, name: str) -> Any:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"dense: this machine has no device '{name}' ({reason}); give auto, cpu, cuda or cuda:0"
        ) from None
    return device


def _model_folder(name: str) -> Path:
    """The folder of a model's files, fetched from the Hub if need be. Raises UserError."""
    path = user_path(name)
    if path.is_dir():
        return path
    if name.startswith((".", "/", "~")):
        raise UserError(
            f"dense: the folder '{name}' does not exist; give the folder of a sentence encoder or "
            "the name of one on the Hugging Face Hub"
        )
    import huggingface_hub

    try:
        with redacted_logs("huggingface_hub"):
            return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(_FILES)))
    except transfer_errors() as error:
        raise UserError(
            f"dense: the sentence encoder '{name}' is not a folder and cannot be fetched from the "
            f"Hugging Face Hub ({type(error).__name__}); check name and network, or give a folder: "
            "--search dense:model=PATH"
        ) from None


def _pooling(folder: Path) -> Pooling:
    settings = _read_json(folder / "1_Pooling" / "config.json")
    pooling_modes = (name for name in settings if name.startswith("pooling_mode_"))
    modes = [name for name in pooling_modes if settings[name] is True]
    if not modes or modes == ["pooling_mode_mean_tokens"]:
        return "mean"
    if modes == ["pooling_mode_cls_token"]:
        return "cls"
    raise UserError(
        f"dense: '{folder}' pools by {', '.join(modes)}; give an encoder that pools by mean or cls"
    )


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, *UNREADABLE) as error:
        raise UserError(f"dense: '{file}' cannot be read: {error}") from None


def _model_sha256(folder: Path) -> str:
    """SHA-256 over all that decides the vectors: the hashes of weights, tokenizer and settings."""
    files = [file for pattern in _FILES for file in sorted(folder.glob(pattern))]
    lines = "".join(f"{file.relative_to(folder)} {fingerprint(file)}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()
