"""Trained weights between the forms that servers read: PEFT and transformers folders, and GGUF.

For models of the Llama and Qwen2 architectures, by numpy and the gguf package: no torch, no
network.
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
from autocoa_bench.engines.weights.gguf import close_gguf, library, open_gguf, with_metadata_of
from autocoa_bench.engines.weights.safetensors import TensorFile, save
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.util.paths import user_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

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
_IN_LAYER = _LINEAR | {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_OUTSIDE = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_ARCHITECTURES = ("llama", "qwen2")
"""As GGUF and transformers both call them."""

_LORA_NAME = re.compile(r"(?:.*\.)?layers\.(\d+)\.([\w.]+)\.lora_([AB])\.weight")
_GGUF_LORA_NAME = re.compile(r"blk\.(\d+)\.(\w+)\.weight\.lora_([ab])")
_FILE_TYPES = {"q8_0": "MOSTLY_Q8_0", "f16": "MOSTLY_F16", "f32": "ALL_F32"}
_NUMPY = {"f16": "<f2", "f32": "<f4"}
_BLOCK = 32
"""Numbers that Q8_0 gives one scale: a row must hold a multiple of them."""


class _Shape(Struct, frozen=True):
    """What conversion has to know of a base model."""

    architecture: str
    heads: int
    kv_heads: int

    def heads_to_permute(self, module: str) -> int:
        """The heads whose rows llama.cpp orders otherwise than transformers; 0: none.

        Llama's GGUFs interleave the halves that rotary embedding pairs (rows i and i + half a
        head), in the query and key projections.
        """
        if self.architecture != "llama":
            return 0
        return {"attn_q": self.heads, "attn_k": self.kv_heads}.get(module, 0)


def convert(source: str, target: str, base: str = "", outtype: OutType = "auto") -> Path:
    """Convert a PEFT folder to a GGUF adapter or back, or a transformers folder to a GGUF model.

    `base` is the model that an adapter is for (a folder, a .gguf, or a named model), or the GGUF
    of the same architecture and vocabulary whose metadata a model takes over. `outtype` auto is
    q8_0 for a GGUF, f32 for a PEFT folder. On the embedded engine's 8-bit models, completions are
    the same bit for bit whatever else is in flight with a q8_0 adapter, not with an f16 one.
    Raises UserError.
    """
    given, made = user_path(source), user_path(target)
    if given.is_dir() and (given / "adapter_config.json").is_file():
        check_target(made, "gguf", outtype, ("auto", "q8_0", "f16", "f32"))
        _adapter_to_gguf(given, made, base, "q8_0" if outtype == "auto" else outtype)
    elif given.is_dir() and (given / "config.json").is_file():
        check_target(made, "gguf", outtype, ("auto", "q8_0", "f16", "f32"))
        _model_to_gguf(given, made, base, "q8_0" if outtype == "auto" else outtype)
    elif given.is_file():
        check_target(made, "folder", outtype, ("auto", "f16", "f32"))
        _adapter_to_peft(given, made, base, "f32" if outtype == "auto" else outtype)
    else:
        raise UserError(
            f"'{source}' is nothing that can be converted: give a PEFT folder (with "
            "adapter_config.json), a transformers folder (with config.json) or an adapter's .gguf"
        )
    return made


def check_target(
    target: Path,
    kind: Literal["gguf", "folder"],
    outtype: OutType = "auto",
    fit: tuple[OutType, ...] = ("auto",),
) -> None:
    """Refuse a type of weights or a place that does not fit; make the folder that is needed."""
    if outtype not in fit:
        raise UserError(f"--outtype {outtype} does not fit here; take one of {', '.join(fit)}")
    if (target.suffix == ".gguf") != (kind == "gguf"):
        wanted = "a file that ends in .gguf" if kind == "gguf" else "a folder"
        raise UserError(f"this makes {wanted}, and '{target}' is none; choose another target")
    empty = target.is_dir() and not any(target.iterdir())  # of a try that failed
    if target.is_dir() if kind == "gguf" else target.exists() and not empty:
        raise UserError(f"'{target}' is there already; choose another target")
    try:
        (target.parent if kind == "gguf" else target).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make '{target}': {error.strerror}") from None


def _adapter_to_gguf(folder: Path, target: Path, base: str, outtype: OutType) -> None:
    gguf = library()
    config = _read_peft(folder / "adapter_config.json")
    shape = _shape_of(base or config.base_model_name_or_path or "")
    if config.peft_type != "LORA" or config.use_dora or config.lora_alpha <= 0:
        raise UserError(f"'{folder}' holds no plain LoRA adapter, the only kind that is converted")
    tensors = TensorFile([folder / "adapter_model.safetensors"])
    if not tensors:
        raise UserError(f"'{folder}' holds an adapter without a weight")
    writer = gguf.GGUFWriter(target, shape.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", config.lora_alpha)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, tensor in tensors.items():
        found = _LORA_NAME.fullmatch(name)
        if found is None or found[2] not in _LINEAR:
            raise UserError(
                f"'{folder}' trains '{name}'; only LoRA on {', '.join(_LINEAR)} is converted. "
                "Merge it instead: autocoa-bench models merge"
            )
        module, part = _LINEAR[found[2]], found[3].lower()
        if part == "b":
            tensor = tensor * _rescale(config, name, tensor.shape[1])
            tensor = _permuted(tensor, shape.heads_to_permute(module))
        _add(writer, f"blk.{found[1]}.{module}.weight.lora_{part}", tensor, outtype)
    close_gguf(writer)


class _Peft(Struct, frozen=True):
    """What conversion has to know of an adapter in PEFT's format."""

    peft_type: str | None = None
    base_model_name_or_path: str | None = None
    lora_alpha: float = 0.0
    alpha_pattern: dict[str, float] | None = None
    use_rslora: bool = False
    use_dora: bool = False


def _read_peft(file: Path) -> _Peft:
    try:
        config = msgspec.json.decode(file.read_bytes(), type=_Peft)
        for pattern in config.alpha_pattern or {}:
            re.compile(pattern)
    except (OSError, *UNREADABLE, re.error) as error:
        raise UserError(f"'{file}' is no adapter's in PEFT's format: {error}") from None
    return config


def _rescale(config: _Peft, name: str, rank: int) -> float:
    """What a module's B is multiplied by, since llama.cpp scales all by alpha / rank."""
    module = name.partition(".lora_")[0]
    patterns = (config.alpha_pattern or {}).items()
    own = [value for key, value in patterns if re.fullmatch(rf"(.*\.)?({key})", module)]
    factor = (own[0] if own else config.lora_alpha) / config.lora_alpha
    return factor * math.sqrt(rank) if config.use_rslora else factor


def _adapter_to_peft(file: Path, target: Path, base: str, outtype: OutType) -> None:
    gguf = library()
    reader = open_gguf(file)
    alpha = reader.fields.get("adapter.lora.alpha")
    if alpha is None:
        raise UserError(f"'{file}' is no LoRA adapter; only adapters are converted from GGUF")
    shape = _shape_of(base)
    tensors: dict[str, Array] = {}
    hf_names = {ours: theirs for theirs, ours in _LINEAR.items()}
    for tensor in reader.tensors:
        found = _GGUF_LORA_NAME.fullmatch(tensor.name)
        if found is None or found[2] not in hf_names:
            raise UserError(f"'{file}' changes '{tensor.name}', which no PEFT adapter here can")
        weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(
            tensor.shape[::-1]
        )
        if found[3] == "b":
            weights = _unpermuted(weights, shape.heads_to_permute(found[2]))
        path = f"base_model.model.model.layers.{found[1]}.{hf_names[found[2]]}"
        tensors[f"{path}.lora_{found[3].upper()}.weight"] = weights.astype(_NUMPY[outtype])
    ranks = {name: t.shape[0] for name, t in tensors.items() if ".lora_A." in name}
    if len(set(ranks.values())) != 1:
        raise UserError(f"the modules of '{file}' have several ranks; only one is converted")
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
    """Write a GGUF of the folder's weights under the metadata of `base`, tokenizer included."""
    shape = _shape_of(str(folder))
    if not base:
        raise UserError(
            f"'{folder}' needs --base: a GGUF model of the same architecture and vocabulary, whose "
            "tokenizer and settings are taken over"
        )
    reader = open_gguf(models.resolve(base).path)
    if _shape_of(base) != shape:
        raise UserError(f"'{folder}' and the base '{base}' are not of the same architecture")
    shapes = {tensor.name: tuple(map(int, tensor.shape[::-1])) for tensor in reader.tensors}
    writer = with_metadata_of(reader, target, _FILE_TYPES[outtype])
    tensors = TensorFile(sorted(folder.glob("*.safetensors")))
    tied = _read_json(folder / "config.json").get("tie_word_embeddings", False)
    written = set()
    for name in tensors:
        if tied and name == "lm_head.weight":
            continue
        ours, module = _gguf_name(name)
        weights = _permuted(tensors[name], shape.heads_to_permute(module))
        if shapes.get(ours, weights.shape) != weights.shape:
            raise UserError(
                f"'{name}' of '{folder}' is {weights.shape}, and that of '{base}' {shapes[ours]}: "
                "not the same vocabulary or sizes"
            )
        _add(writer, ours, weights, outtype)
        written.add(ours)
    for tensor in reader.tensors:
        if tensor.name == "rope_freqs.weight":
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            written.add(tensor.name)
    missing = shapes.keys() - written - {"output.weight"}
    if missing:
        raise UserError(f"'{folder}' lacks weights that '{base}' has: {', '.join(sorted(missing))}")
    close_gguf(writer)


def _gguf_name(name: str) -> tuple[str, str]:
    """A tensor's name in GGUF, and its module's."""
    module, _, what = name.rpartition(".")
    if module in _OUTSIDE and what == "weight":
        return f"{_OUTSIDE[module]}.weight", _OUTSIDE[module]
    found = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", module)
    if found is None or found[2] not in _IN_LAYER or what not in ("weight", "bias"):
        raise UserError(
            f"the weight '{name}' is unknown here; convert with llama.cpp's convert_hf_to_gguf.py"
        )
    return f"blk.{found[1]}.{_IN_LAYER[found[2]]}.{what}", _IN_LAYER[found[2]]


def _shape_of(base: str) -> _Shape:
    """The shape of a base model: a transformers folder, a .gguf, or a named model."""
    if not base:
        raise UserError(
            "the base model is not known; give --base a transformers folder, a .gguf, or a name "
            f"such as {models.DEFAULT}"
        )
    folder = user_path(base)
    if (folder / "config.json").is_file():
        config = _read_json(folder / "config.json")
        heads = config.get("num_attention_heads")
        kv_heads = config.get("num_key_value_heads") or heads
        if not isinstance(heads, int) or not isinstance(kv_heads, int):
            raise UserError(
                f"'{folder}/config.json' does not say how many attention heads there are"
            )
        shape = _Shape(str(config.get("model_type")), heads, kv_heads)
    else:
        fields = open_gguf(models.resolve(base).path).fields
        kind = str(fields["general.architecture"].contents())
        if "adapter.type" in fields:
            raise UserError(
                f"the base '{base}' is an adapter itself; give the model that it is for"
            )
        heads, kv_heads = (
            int(fields[f"{kind}.attention.head_count{suffix}"].contents()) for suffix in ("", "_kv")
        )
        shape = _Shape(kind, heads, kv_heads)
    if shape.architecture not in _ARCHITECTURES:
        raise UserError(
            f"'{base}' is of the architecture '{shape.architecture}'; {', '.join(_ARCHITECTURES)} "
            "are converted here, others by llama.cpp's convert_hf_to_gguf.py and "
            "convert_lora_to_gguf.py"
        )
    return shape


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}") from None
    except UNREADABLE:
        raise UserError(f"'{file}' is no JSON file") from None
    if not isinstance(found, dict):
        raise UserError(f"'{file}' holds no JSON object")
    return found


def _permuted(weights: Array, heads: int) -> Array:
    """Rows as llama.cpp orders them in queries and keys; 0 heads: as they are."""
    if not heads:
        return weights
    _check_rows(weights, heads)
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def _unpermuted(weights: Array, heads: int) -> Array:
    """The inverse of `_permuted`."""
    if not heads:
        return weights
    _check_rows(weights, heads)
    pairs = weights.reshape(heads, weights.shape[0] // heads // 2, 2, *weights.shape[1:])
    return pairs.swapaxes(1, 2).reshape(weights.shape)


def _check_rows(weights: Array, heads: int) -> None:
    if weights.shape[0] % (2 * heads):
        raise UserError(
            f"weights of {weights.shape[0]} rows do not fit the base model's {heads} heads; was "
            "this trained on another base? Give --base the right one"
        )


def _add(writer: Any, name: str, weights: Array, outtype: OutType) -> None:
    """Add a tensor: vectors as f32, matrices as `outtype`, f16 where Q8_0's blocks don't fit."""
    import numpy as np

    gguf = library()
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    if weights.ndim == 1 or outtype == "f32":
        writer.add_tensor(name, weights)
    elif outtype == "q8_0" and weights.shape[-1] % _BLOCK == 0:
        q8_0 = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(weights, q8_0), raw_dtype=q8_0)
    else:
        writer.add_tensor(name, weights.astype(np.float16))
