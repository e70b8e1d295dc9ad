"""Models and tokenizers loaded with transformers, and LoRA adapters on them.

A model is named by a folder, the name of an embedded model, a .gguf file, or its name on the
Hugging Face Hub.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autocoa_bench.engines import chat_template
from autocoa_bench.engines.weights import models
from autocoa_bench.engines.weights.convert import check_target, convert
from autocoa_bench.engines.weights.formats import disk_errors
from autocoa_bench.errors import UserError, import_extra
from autocoa_bench.util.json_lines import write_errors
from autocoa_bench.util.paths import user_path
from autocoa_bench.util.scratch import whole
from autocoa_bench.util.secrets import redact, redacted_logs


def load_model(name: str, dtype: str) -> Any:
    """A causal language model with weights of `dtype` (the name of a torch type), in eval mode.

    Raises UserError.
    """
    source, options = _source(name)
    if options:
        # A GGUF's weights are dequantised, so that the model's layers are ordinary ones.
        options["quantization_config"] = _library().GgufConfig(dequantize=True)
    return model_at(source, name, dtype=dtype, **options)


def model_at(source: str, name: str, **options: Any) -> Any:
    """The model in a folder, or on the Hub, which messages call `name`; in eval mode.

    Raises UserError, also if weights are missing, which would be initialised at random.
    """
    transformers = _library()
    with loading(f"'{name}'"):
        model, loading_info = transformers.AutoModelForCausalLM.from_pretrained(
            source, output_loading_info=True, **options
        )
    if missing := sorted(loading_info["missing_keys"]):
        raise UserError(
            f"'{name}' lacks {len(missing)} of its weights, the first of them {missing[0]}; its "
            "config.json and its weights do not belong to the same model"
        )
    return model.eval()


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model. Raises UserError."""
    source, options = _source(name)
    return tokenizer_at(source, **options)


def tokenizer_at(source: str, **options: Any) -> Any:
    """The tokenizer in a folder, or of a model on the Hub. Raises UserError."""
    transformers = _library()
    with loading(f"the tokenizer of '{source}'"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
        if tokenizer.chat_template:
            # Templates are compiled on first use; a damaged one should be refused now.
            chat_template.render(tokenizer, [{"role": "user", "content": "?"}])
    return tokenizer


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn any exception of a library that loads the user's files into a UserError.

    The libraries document no exceptions for damaged files, and raise nearly all of them.
    """
    try:
        with redacted_logs("huggingface_hub"):
            yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001
        problem = redact(str(error).strip()) or type(error).__name__
        raise UserError(f"transformers cannot load {what}: {problem[:400]}") from None


def check_adapter(model: Any, folder: Path, base: str) -> None:
    """Raise UserError for an adapter folder that does not fit `model`, the PeftModel made of it."""
    import peft
    from safetensors import safe_open

    with loading(f"the adapter '{folder}'"):
        with safe_open(str(folder / "adapter_model.safetensors"), "pt") as file:
            names = set(file.keys())
        expected = set(peft.get_peft_model_state_dict(model, save_embedding_layers=False))
    if names != expected:
        raise UserError(
            f"the adapter '{folder}' does not fit the model '{base}': it lacks "
            f"{len(expected - names)} of its weights and has {len(names - expected)} others "
            f"(first: {min(names ^ expected)})"
        )


def with_adapter(model: Any, adapter: str, base: str) -> Any:
    """A model with a LoRA adapter applied: a PEFT folder, or a .gguf converted for `base`.

    Raises UserError.
    """
    peft = import_extra("peft", "LoRA on a model of transformers", "train")
    folder, role = user_path(adapter), "as a LoRA adapter for"
    with tempfile.TemporaryDirectory() as scratch:
        if folder.suffix == ".gguf":
            folder, role = convert(adapter, str(Path(scratch) / "adapter"), base), "on"
        elif not (folder / "adapter_config.json").is_file():
            raise UserError(f"'{adapter}' is not an adapter; give a PEFT folder or a .gguf file")
        with loading(f"'{adapter}' {role} '{base}'"):
            adapted = peft.PeftModel.from_pretrained(model, str(folder)).eval()
        kind = peft.PeftType(adapted.peft_config["default"].peft_type)
        if kind != peft.PeftType.LORA:  # other types do not modify the base's own layers
            raise UserError(
                f"'{adapter}' is an adapter of type {kind.value}; only LoRA is supported"
            )
        if (folder / "adapter_model.safetensors").is_file():  # older versions of PEFT wrote a .bin
            check_adapter(adapted, folder, base)
    return adapted


def merge(adapter: str, target: str, base: str) -> Path:
    """Merge an adapter (a PEFT folder or a .gguf) into its base and save the model in `target`.

    `base` is a transformers folder, or a named model. Sums are computed in 32 bits and rounded
    once, to the base's own type. Raises UserError.
    """
    folder = user_path(target)
    check_target(folder, "folder")
    merged = with_adapter(load_model(base, "float32"), adapter, base).merge_and_unload()
    merged.to(stored_type(base))
    with write_errors(folder), disk_errors(), whole(folder) as new:
        merged.save_pretrained(new)
        load_tokenizer(base).save_pretrained(new)
    return folder


def stored_type(name: str) -> Any:
    """The torch type in which a model's weights are stored; float32 for a GGUF."""
    import torch

    source, options = _source(name)
    if options:
        return torch.float32
    return _library().AutoConfig.from_pretrained(source).dtype or torch.float32


def fingerprint(name: str) -> str:
    """The SHA-256 of the weights of a model or an adapter; for several files, of their hashes."""
    path = user_path(name)
    if not path.is_dir():
        is_adapter = path.is_file() and path.suffix == ".gguf"
        return models.sha256_of(path) if is_adapter else models.resolve(name).sha256
    hashes = [models.sha256_of(file) for file in sorted(path.glob("*.safetensors"))]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def adapter_settings(adapter: str) -> dict[str, str | int | float]:
    """The entries of an adapter in an engine's settings."""
    return {"adapter": user_path(adapter).stem, "adapter_sha256": fingerprint(adapter)}


def _source(name: str) -> tuple[str, dict[str, Any]]:
    """The folder or Hub name to give to transformers for a model, and the options to add."""
    folder = user_path(name)
    if name and folder.is_dir():
        return str(folder), {}
    if "/" in name and not name.endswith(".gguf"):  # a model on the Hub
        return name, {}
    path = models.resolve(name).path
    return str(path.parent), {"gguf_file": path.name}


def _library() -> Any:
    # Transformers imports without torch, but then loads nothing.
    import_extra("torch", "running models with transformers", "train")
    transformers = import_extra("transformers", "running models with transformers", "train")
    disable_progress_bar: Any = transformers.utils.logging.disable_progress_bar
    disable_progress_bar()
    return transformers
