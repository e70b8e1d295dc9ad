"""Conversion of trained weights between PEFT folders, transformers folders and GGUF files.

It covers models of the Llama and Qwen2 architectures and needs numpy and the gguf package, but
neither torch nor a network.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from autocoa_bench.engines.weights import models
from autocoa_bench.engines.weights.formats import (
    close_gguf,
    gguf_library,
    open_gguf,
    read_tensors,
    save,
    writer_like,
)
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.util.files import read_limited
from autocoa_bench.util.json_lines import write_errors
from autocoa_bench.util.paths import user_path
from autocoa_bench.util.scratch import whole

if TYPE_CHECKING:
    from autocoa_bench.engines.weights.formats import Array

OutType = Literal["auto", "q8_0", "f16", "f32"]

_LINEAR = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""GGUF's names of the linear modules of a layer, by transformers' names."""
_LINEAR_OF_GGUF = {gguf_name: hf_name for hf_name, gguf_name in _LINEAR.items()}
_IN_LAYER = _LINEAR | {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
_OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_ARCHITECTURES = ("llama", "qwen2")
"""GGUF and transformers use the same names for these."""

_LORA_NAME = re.compile(r"(?:.*\.)?layers\.(\d+)\.([\w.]+)\.lora_([AB])\.weight")
_GGUF_LORA_NAME = re.compile(r"blk\.(\d+)\.(\w+)\.weight\.lora_([ab])")
_FILE_TYPES = {"q8_0": "MOSTLY_Q8_0", "f16": "MOSTLY_F16", "f32": "ALL_F32"}
_NUMPY_TYPES = {"f16": "<f2", "f32": "<f4"}
_BLOCK = 32
"""The numbers that share one scale in Q8_0: the length of a row must be a multiple of it."""


class _BaseShape(Struct, frozen=True):
    """The properties of a base model that conversion depends on."""

    architecture: str
    heads: int
    kv_heads: int

    def permuted(self, weights: Array, module: str, *, inverse: bool = False) -> Array:
        """The rows of a module's weights in llama.cpp's order, or back.

        In query and key projections, Llama's GGUFs interleave the halves that rotary embedding
        pairs (rows i and i + half a head).
        """
        heads = {"attn_q": self.heads, "attn_k": self.kv_heads}.get(module)
        if self.architecture != "llama" or heads is None:
            return weights
        rows = weights.shape[0]
        if rows % (2 * heads):
            raise UserError(
                f"weights of {rows} rows do not fit the base model's {heads} heads; was the "
                "adapter trained on another base? Give --base the right one"
            )
        half = rows // heads // 2
        groups = (half, 2) if inverse else (2, half)
        blocks = weights.reshape(heads, *groups, *weights.shape[1:])
        return blocks.swapaxes(1, 2).reshape(weights.shape)


def convert(source: str, target: str, base: str = "", outtype: OutType = "auto") -> Path:
    """Convert a PEFT folder to a GGUF adapter or back, or a transformers folder to a GGUF model.

    `base` is the model that an adapter belongs to (a folder, a .gguf, or a named model). For a
    model it is a GGUF of the same architecture and vocabulary, whose metadata is copied. `outtype`
    auto is q8_0 for a GGUF and f32 for a PEFT folder. On the embedded engine's 8-bit models, a
    q8_0 adapter gives the same completions bit for bit whatever else is in flight; an f16 adapter
    does not. Raises UserError.
    """
    source_path, target_path = user_path(source), user_path(target)
    is_adapter = (source_path / "adapter_config.json").is_file()
    if is_adapter or (source_path / "config.json").is_file():
        check_target(target_path, "gguf", outtype, ("auto", "q8_0", "f16", "f32"))
        to_gguf = _adapter_to_gguf if is_adapter else _model_to_gguf
        with write_errors(target_path), whole(target_path) as new:
            to_gguf(source_path, new, base, "q8_0" if outtype == "auto" else outtype)
    elif source_path.is_file():
        check_target(target_path, "folder", outtype, ("auto", "f16", "f32"))
        with write_errors(target_path), whole(target_path) as new:
            new.mkdir()
            _adapter_to_peft(source_path, new, base, "f32" if outtype == "auto" else outtype)
    else:
        raise UserError(
            f"'{source}' cannot be converted; give a PEFT folder (with adapter_config.json), "
            "a transformers folder (with config.json) or the .gguf of an adapter"
        )
    return target_path


def check_target(
    target: Path,
    kind: Literal["gguf", "folder"],
    outtype: OutType = "auto",
    accepted: tuple[OutType, ...] = ("auto",),
) -> None:
    """Check the target and the type of weights, and create the folder. Raises UserError."""
    if outtype not in accepted:
        raise UserError(
            f"--outtype {outtype} does not fit this conversion; give {', '.join(accepted)}"
        )
    if (target.suffix == ".gguf") != (kind == "gguf"):
        form = "a file name that ends in .gguf" if kind == "gguf" else "the name of a folder"
        raise UserError(f"the target '{target}' must be {form}")
    # A failed conversion leaves an empty folder behind.
    is_empty = target.is_dir() and not any(target.iterdir())
    if target.is_dir() if kind == "gguf" else target.exists() and not is_empty:
        raise UserError(f"the target '{target}' exists already; choose another one")
    try:
        (target.parent if kind == "gguf" else target).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create '{target}': {error.strerror}") from None


class _PeftConfig(Struct, frozen=True):
    """The fields of PEFT's adapter_config.json that conversion depends on."""

    peft_type: str | None = None
    base_model_name_or_path: str | None = None
    lora_alpha: float = 0.0
    alpha_pattern: dict[str, float] | None = None
    use_rslora: bool = False
    use_dora: bool = False

    def rescaling(self, name: str, rank: int) -> float:
        """The factor for a module's B matrix, since llama.cpp scales every one by alpha / rank."""
        module = name.partition(".lora_")[0]
        patterns = (self.alpha_pattern or {}).items()
        alphas = [alpha for key, alpha in patterns if re.fullmatch(rf"(.*\.)?({key})", module)]
        factor = (alphas[0] if alphas else self.lora_alpha) / self.lora_alpha
        return factor * math.sqrt(rank) if self.use_rslora else factor


def _adapter_to_gguf(folder: Path, target: Path, base: str, outtype: OutType) -> None:
    gguf = gguf_library()
    file = folder / "adapter_config.json"
    try:
        config = msgspec.json.decode(read_limited(file), type=_PeftConfig)
        for pattern in config.alpha_pattern or {}:
            re.compile(pattern)
    except (OSError, *UNREADABLE, re.error) as error:
        raise UserError(f"'{file}' is not a PEFT adapter's configuration: {error}") from None
    shape = _shape_of(base or config.base_model_name_or_path or "")
    if config.peft_type != "LORA" or config.use_dora or config.lora_alpha <= 0:
        raise UserError(f"'{folder}' is not a plain LoRA adapter, the only kind that is converted")
    writer = gguf.GGUFWriter(target, shape.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", config.lora_alpha)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    name = ""  # in case the file holds no tensor
    for name, tensor in read_tensors([folder / "adapter_model.safetensors"]):
        match = _LORA_NAME.fullmatch(name)
        if match is None or match[2] not in _LINEAR:
            raise UserError(
                f"'{folder}' trains '{name}'; only LoRA on {', '.join(_LINEAR)} is converted. "
                "Merge it instead: autocoa-bench models merge"
            )
        module, matrix = _LINEAR[match[2]], match[3].lower()
        # A LoRA adds B @ A, so that scale and order of the output rows belong to B.
        if matrix == "b":
            tensor = tensor * config.rescaling(name, tensor.shape[1])
            tensor = shape.permuted(tensor, module)
        _add_tensor(writer, f"blk.{match[1]}.{module}.weight.lora_{matrix}", tensor, outtype)
    if not name:
        raise UserError(f"the adapter '{folder}' has no weights")
    close_gguf(writer)


def _adapter_to_peft(file: Path, target: Path, base: str, outtype: OutType) -> None:
    gguf = gguf_library()
    reader = open_gguf(file)
    alpha = reader.fields.get("adapter.lora.alpha")
    if alpha is None:
        raise UserError(
            f"'{file}' is not a LoRA adapter; adapters are the only GGUF files that are converted"
        )
    shape = _shape_of(base)
    tensors: dict[str, Array] = {}
    for tensor in reader.tensors:
        match = _GGUF_LORA_NAME.fullmatch(tensor.name)
        if match is None or match[2] not in _LINEAR_OF_GGUF:
            raise UserError(f"'{file}' changes '{tensor.name}', which has no counterpart in PEFT")
        layer, module, matrix = match.groups()
        weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        weights = weights.reshape(tensor.shape[::-1])
        if matrix == "b":
            weights = shape.permuted(weights, module, inverse=True)
        path = f"base_model.model.model.layers.{layer}.{_LINEAR_OF_GGUF[module]}"
        tensors[f"{path}.lora_{matrix.upper()}.weight"] = weights.astype(_NUMPY_TYPES[outtype])
    ranks = {name: matrix.shape[0] for name, matrix in tensors.items() if ".lora_A." in name}
    if len(set(ranks.values())) != 1:
        raise UserError(
            f"the modules of '{file}' differ in rank; only adapters of a single rank are converted"
        )
    save(target / "adapter_model.safetensors", tensors)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": next(iter(ranks.values())),
        "lora_alpha": float(alpha.contents()),
        "lora_dropout": 0.0,
        "target_modules": sorted({name.split(".")[-3] for name in ranks}),
        "bias": "none",
        "inference_mode": True,
    }
    (target / "adapter_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _model_to_gguf(folder: Path, target: Path, base: str, outtype: OutType) -> None:
    """Write a GGUF of the folder's weights with the metadata and the tokenizer of `base`."""
    shape = _shape_of(str(folder))
    if not base:
        raise UserError(
            f"'{folder}' needs --base: a GGUF model of the same architecture and vocabulary, from "
            "which the tokenizer and the settings are copied"
        )
    reader = open_gguf(models.resolve(base).path)
    if _shape_of(base) != shape:
        raise UserError(f"'{folder}' and the base '{base}' differ in architecture")
    base_shapes = {tensor.name: tuple(map(int, tensor.shape[::-1])) for tensor in reader.tensors}
    writer = writer_like(reader, target, _FILE_TYPES[outtype])
    tied = _read_json(folder / "config.json").get("tie_word_embeddings", False)
    written = set()
    for name, tensor in read_tensors(sorted(folder.glob("*.safetensors"))):
        # A GGUF without an output matrix uses the embeddings, as tied models do.
        if tied and name == "lm_head.weight":
            continue
        gguf_name, module = _gguf_name(name)
        weights = shape.permuted(tensor, module)
        if base_shapes.get(gguf_name, weights.shape) != weights.shape:
            raise UserError(
                f"'{name}' has shape {weights.shape} in '{folder}' and {base_shapes[gguf_name]} in "
                f"'{base}'; give a base of the same sizes and vocabulary"
            )
        _add_tensor(writer, gguf_name, weights, outtype)
        written.add(gguf_name)
    # Rotary factors are computed from the configuration, so transformers' folders lack them.
    for extra in reader.tensors:
        if extra.name == "rope_freqs.weight":
            writer.add_tensor(extra.name, extra.data, raw_dtype=extra.tensor_type)
            written.add(extra.name)
    missing = base_shapes.keys() - written - {"output.weight"}
    if missing:
        raise UserError(f"'{folder}' lacks weights of '{base}': {', '.join(sorted(missing))}")
    close_gguf(writer)


def _gguf_name(name: str) -> tuple[str, str]:
    """A tensor's name in GGUF, and the name of its module. Raises UserError."""
    module, _, kind = name.rpartition(".")
    if module in _OUTSIDE and kind == "weight":
        return f"{_OUTSIDE[module]}.weight", _OUTSIDE[module]
    match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", module)
    if match is None or match[2] not in _IN_LAYER or kind not in ("weight", "bias"):
        raise UserError(
            f"the weight '{name}' is not of a kind that is converted; use llama.cpp's "
            "convert_hf_to_gguf.py"
        )
    return f"blk.{match[1]}.{_IN_LAYER[match[2]]}.{kind}", _IN_LAYER[match[2]]


def _shape_of(base: str) -> _BaseShape:
    """The shape of a transformers folder, a .gguf, or a named model. Raises UserError."""
    if not base:
        raise UserError(
            "the adapter does not name its base model; give --base a transformers folder, a .gguf, "
            f"or a name such as {models.DEFAULT}"
        )
    folder = user_path(base)
    if (folder / "config.json").is_file():
        config = _read_json(folder / "config.json")
        heads = config.get("num_attention_heads")
        kv_heads = config.get("num_key_value_heads") or heads
        if not isinstance(heads, int) or not isinstance(kv_heads, int):
            raise UserError(f"'{folder}/config.json' does not give the number of attention heads")
        shape = _BaseShape(str(config.get("model_type")), heads, kv_heads)
    else:
        fields = open_gguf(models.resolve(base).path).fields
        architecture = str(fields["general.architecture"].contents())
        if "adapter.type" in fields:
            raise UserError(f"the base '{base}' is itself an adapter; give the model it belongs to")
        heads, kv_heads = (
            int(fields[f"{architecture}.attention.{count}"].contents())
            for count in ("head_count", "head_count_kv")
        )
        shape = _BaseShape(architecture, heads, kv_heads)
    if shape.architecture not in _ARCHITECTURES:
        raise UserError(
            f"'{base}' has the architecture '{shape.architecture}'; only "
            f"{' and '.join(_ARCHITECTURES)} are converted. For others use llama.cpp's "
            "convert_hf_to_gguf.py and convert_lora_to_gguf.py"
        )
    return shape


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_limited(file))
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}") from None
    except UNREADABLE:
        content = None
    if not isinstance(content, dict):
        raise UserError(f"'{file}' does not contain a JSON object")
    return content


def _add_tensor(writer: Any, name: str, weights: Array, outtype: OutType) -> None:
    """Add a vector as f32, a matrix as `outtype`, or as f16 where Q8_0's blocks do not fit."""
    import numpy as np

    gguf = gguf_library()
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    if weights.ndim == 1 or outtype == "f32":
        writer.add_tensor(name, weights)
    elif outtype == "q8_0" and weights.shape[-1] % _BLOCK == 0:
        q8_0 = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(weights, q8_0), raw_dtype=q8_0)
    else:
        writer.add_tensor(name, weights.astype(np.float16))
