"""Models as transformers loads them, and LoRA on them.

A model is a folder, a named model, a .gguf file, or a name of the Hugging Face Hub.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autocoa_bench.engines.weights import models
from autocoa_bench.engines.weights.convert import check_target, convert
from autocoa_bench.errors import MissingExtra, UserError
from autocoa_bench.util.paths import user_path


def load_model(name: str, dtype: str) -> Any:
    """A causal language model with weights of `dtype` (a torch type's name). Raises UserError."""
    transformers = _library()
    import torch

    where, options = _source(name)
    if options:  # whatever a GGUF's weights are, they are unpacked into the model's own
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    with loading(f"'{name}'"):
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            where, dtype=getattr(torch, dtype), output_loading_info=True, **options
        )
    check_whole(name, found)
    return model.eval()


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model. Raises UserError."""
    where, options = _source(name)
    return tokenizer_at(where, **options)


def tokenizer_at(where: str, **options: Any) -> Any:
    """The tokenizer in a folder, or of a model of the Hub. Raises UserError."""
    transformers = _library()
    with loading(f"the tokenizer of '{where}'"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, **options)
        if tokenizer.chat_template:  # which is compiled when it is first used
            tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
    return tokenizer


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Raise UserError for whatever a library raises on files that a person gave: where they are
    damaged, that is anything."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001
        said = str(error).strip() or type(error).__name__
        raise UserError(f"transformers cannot load {what}: {said[:400]}") from None


def check_whole(name: str, found: Mapping[str, Any]) -> None:
    """Refuse a model some of whose weights were not found, and would be drawn by lot."""
    if missing := sorted(found["missing_keys"]):
        raise UserError(
            f"'{name}' lacks {len(missing)} of its weights, the first of them {missing[0]}; its "
            "config.json and its weights are not of one model"
        )


def check_adapter(adapted: Any, folder: Path, base: str) -> None:
    """Refuse an adapter whose weights are not those that it has on its base."""
    import peft
    from safetensors import safe_open

    with loading(f"the adapter '{folder}'"):
        with safe_open(str(folder / "adapter_model.safetensors"), "pt") as file:
            found = set(file.keys())
        expected = set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if found != expected:
        raise UserError(
            f"the adapter '{folder}' does not fit the model '{base}': it lacks "
            f"{len(expected - found)} of its weights and has {len(found - expected)} others "
            f"(first: {min(found ^ expected)})"
        )


def with_adapter(model: Any, adapter: str, base: str) -> Any:
    """A model with a LoRA adapter on it: a PEFT folder, or a .gguf made for `base`."""
    try:
        from peft import PeftModel, PeftType
    except ImportError:
        raise MissingExtra("LoRA on a model of transformers", "train") from None

    if user_path(adapter).suffix == ".gguf":
        with tempfile.TemporaryDirectory() as scratch:
            made = convert(adapter, str(Path(scratch) / "adapter"), base)
            with loading(f"'{adapter}' on '{base}'"):
                adapted = PeftModel.from_pretrained(model, str(made)).eval()
            check_adapter(adapted, made, base)
            return adapted
    folder = user_path(adapter)
    if not (folder / "adapter_config.json").is_file():
        raise UserError(f"'{adapter}' is no adapter: neither a .gguf nor a PEFT folder")
    with loading(f"'{adapter}' as a LoRA adapter for '{base}'"):
        adapted = PeftModel.from_pretrained(model, str(folder)).eval()
    kind = PeftType(adapted.peft_config["default"].peft_type)
    if kind != PeftType.LORA:  # others do not live in the base's own layers
        raise UserError(f"'{adapter}' is an adapter of type {kind.value}; only LoRA is taken")
    if (folder / "adapter_model.safetensors").is_file():  # PEFT used to write another format
        check_adapter(adapted, folder, base)
    return adapted


def merge(adapter: str, target: str, base: str) -> Path:
    """Add an adapter (a PEFT folder or a .gguf) to its base and keep the sum in a new folder.

    `base` is a transformers folder, or a named model. Sums are made in 32 bits and rounded once,
    to the base's own type. Raises UserError.
    """
    made = user_path(target)
    check_target(made, "folder")
    merged = with_adapter(load_model(base, "float32"), adapter, base).merge_and_unload()
    merged.to(stored_type(base)).save_pretrained(made)
    load_tokenizer(base).save_pretrained(made)
    return made


def stored_type(name: str) -> Any:
    """The torch type of a model's weights as they are kept; 32-bit where the model is a GGUF."""
    import torch

    where, options = _source(name)
    if options:
        return torch.float32
    return _library().AutoConfig.from_pretrained(where).dtype or torch.float32


def fingerprint(name: str) -> str:
    """The SHA-256 of a model's or adapter's weights; of several files, of their hashes."""
    path = user_path(name)
    if not path.is_dir():
        is_adapter = path.is_file() and path.suffix == ".gguf"
        return models.sha256_of(path) if is_adapter else models.resolve(name).sha256
    files = sorted(path.glob("*.safetensors"))
    hashes = [models.sha256_of(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _source(name: str) -> tuple[str, dict[str, Any]]:
    """Where a model lies, and what transformers must be told to read it there."""
    folder = user_path(name)
    if name and folder.is_dir():
        return str(folder), {}
    if "/" in name and not name.endswith(".gguf"):  # a model of the hub
        return name, {}
    path = models.resolve(name).path
    return str(path.parent), {"gguf_file": path.name}


def _library() -> Any:
    try:
        import torch  # noqa: F401 - transformers imports without it, and then loads nothing
        import transformers
    except ImportError:
        raise MissingExtra("running models with transformers", "train") from None
    silence: Any = transformers.utils.logging.disable_progress_bar
    silence()
    return transformers
