"""Adapters and models between PEFT, transformers and GGUF."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from typer.testing import CliRunner

from autocoa_bench.cli.main import app
from autocoa_bench.engines.weights import convert as conversion
from autocoa_bench.engines.weights.convert import convert
from autocoa_bench.engines.weights.formats import read_tensors, save
from autocoa_bench.errors import UserError
from support.tiny import edit_json, numpy_lora

LLAMA = {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2}


def base(folder: Path, **config: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(LLAMA | config))
    return str(folder)


def lora(
    folder: Path, rank: int = 32, module: str = "self_attn.q_proj", rows: int = 32, **config: Any
) -> Path:
    """A PEFT folder with random numbers for one module of two layers."""
    numpy_lora(folder, layers=2, rank=rank, shapes={module: (rows, 64)})
    edit_json(folder / "adapter_config.json", **config)
    return folder


def written(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def tensors_of(folder: Path) -> dict[str, Any]:
    return dict(read_tensors([folder / "adapter_model.safetensors"]))


def converted(tmp_path: Path, folder: Path, outtype: conversion.OutType = "f32") -> Path:
    target = str(tmp_path / "adapter.gguf")
    return convert(str(folder), target, base(tmp_path / "base"), outtype)


@pytest.mark.parametrize("module", ["self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj"])
def test_an_adapter_comes_back_as_it_was(tmp_path: Path, module: str) -> None:
    folder = lora(tmp_path / "lora", module=module)
    gguf_file = converted(tmp_path, folder)
    peft_folder = convert(str(gguf_file), str(tmp_path / "peft_folder"), base(tmp_path / "base"))
    before, after = tensors_of(folder), tensors_of(peft_folder)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    config = json.loads((peft_folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (32, 64.0)
    assert config["target_modules"] == [module.rpartition(".")[2]]


def test_rows_of_a_llamas_queries_interleave_the_halves_of_each_head(tmp_path: Path) -> None:
    folder = lora(tmp_path / "lora")
    [weights] = [
        tensor for name, tensor in tensors_of(folder).items() if "0.self_attn.q_proj.lora_B" in name
    ]
    rows = written(converted(tmp_path, folder))["blk.0.attn_q.weight.lora_b"].data
    order = [head * 8 + at for head in range(4) for pair in range(4) for at in (pair, pair + 4)]
    assert np.array_equal(rows, weights[order])


def test_a_qwens_rows_stay_in_their_order(tmp_path: Path) -> None:
    folder = lora(tmp_path / "lora")
    qwen = base(tmp_path / "base", model_type="qwen2")
    gguf_file = convert(str(folder), str(tmp_path / "adapter.gguf"), qwen, "f32")
    weights = tensors_of(folder)
    name = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"
    assert np.array_equal(written(gguf_file)["blk.1.attn_q.weight.lora_b"].data, weights[name])


@pytest.mark.parametrize(
    ("config", "factor"),
    [
        ({"use_rslora": True}, 4.0),
        ({"alpha_pattern": {"q_proj": 8}}, 0.25),
        ({"alpha_pattern": {"v_proj": 8}}, 1.0),
    ],
)
def test_every_scaling_is_kept(tmp_path: Path, config: dict[str, Any], factor: float) -> None:
    plain = converted(tmp_path, lora(tmp_path / "plain", rank=16))
    before = written(plain)["blk.0.attn_q.weight.lora_b"].data.copy()
    plain.unlink()
    after = converted(tmp_path, lora(tmp_path / "scaled", rank=16, **config))
    assert np.allclose(written(after)["blk.0.attn_q.weight.lora_b"].data, factor * before)


def test_eight_bits_are_taken_where_their_blocks_fit(tmp_path: Path) -> None:
    tensors = written(converted(tmp_path, lora(tmp_path / "lora", rank=16), "q8_0"))
    kinds = {name[-1]: tensor.tensor_type.name for name, tensor in tensors.items()}
    assert kinds == {"a": "Q8_0", "b": "F16"}


def test_brain_floats_are_read_as_the_numbers_they_are(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensor = torch.tensor([[1.0, -2.5e-20, 3.4e30]], dtype=torch.bfloat16)
    save_file({"x": tensor}, tmp_path / "x.safetensors")
    assert np.array_equal(dict(read_tensors([tmp_path / "x.safetensors"]))["x"], tensor.float())


def test_what_is_saved_is_read_by_the_safetensors_package(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    tensors = {"a": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.ones(3, "<f2")}
    save(tmp_path / "x.safetensors", tensors)
    read = load_file(tmp_path / "x.safetensors")
    assert all(np.array_equal(read[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"use_dora": True}, "not a plain LoRA"),
        ({"peft_type": "IA3"}, "not a plain LoRA"),
        ({"lora_alpha": 0}, "not a plain LoRA"),
        ({"lora_alpha": "abc"}, "not a PEFT adapter's configuration"),
        ({"alpha_pattern": {"q_proj": "x"}}, "not a PEFT adapter's configuration"),
        ({"alpha_pattern": {"(": 1}}, "not a PEFT adapter's configuration"),
    ],
)
def test_another_kind_of_adapter_is_refused(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    folder = lora(tmp_path / "lora")
    edit_json(folder / "adapter_config.json", **config)
    with pytest.raises(UserError, match=message):
        converted(tmp_path, folder)


def test_weights_that_are_no_floats_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    folder = lora(tmp_path / "lora")
    save_file({"steps": np.arange(3)}, folder / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"tensor 'steps' in .* has type I64; only floats"):
        converted(tmp_path, folder)


def test_conversion_does_not_import_torch(tmp_path: Path) -> None:
    folder, target = lora(tmp_path / "lora"), tmp_path / "adapter.gguf"
    program = (
        "import sys; from autocoa_bench.engines.weights.convert import convert; "
        f"convert({str(folder)!r}, {str(target)!r}, {base(tmp_path / 'base')!r}); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    assert target.exists()


@pytest.mark.parametrize("half", [0, 50, -100])  # bytes that are left, or are gone
def test_weights_that_were_cut_off_are_refused(tmp_path: Path, half: int) -> None:
    folder = lora(tmp_path / "lora")
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:half])
    with pytest.raises(UserError, match="is not a safetensors file, or is damaged"):
        converted(tmp_path, folder)


def test_an_adapter_without_a_weight_is_refused(tmp_path: Path) -> None:
    folder = lora(tmp_path / "lora")
    save(folder / "adapter_model.safetensors", {})
    with pytest.raises(UserError, match="has no weights"):
        converted(tmp_path, folder)


def test_an_adapter_for_a_base_is_refused(tmp_path: Path) -> None:
    adapter = converted(tmp_path, lora(tmp_path / "lora"))
    with pytest.raises(UserError, match="is itself an adapter"):
        convert(str(adapter), str(tmp_path / "peft_folder"), str(adapter))


def test_a_failed_try_does_not_stand_in_the_way(tmp_path: Path) -> None:
    adapter = converted(tmp_path, lora(tmp_path / "lora"))
    peft_folder = str(tmp_path / "peft_folder")
    with pytest.raises(UserError, match="give --base"):
        convert(str(adapter), peft_folder)
    assert convert(str(adapter), peft_folder, base(tmp_path / "base")) == Path(peft_folder)


def test_a_module_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"router.*models merge"):
        converted(tmp_path, lora(tmp_path / "lora", module="mlp.router"))


def test_another_architecture_is_refused_with_the_tool_that_takes_it(tmp_path: Path) -> None:
    folder = lora(tmp_path / "lora")
    wrong_base = base(tmp_path / "base", model_type="mamba")
    with pytest.raises(UserError, match=r"'mamba'.*convert_hf_to_gguf\.py"):
        convert(str(folder), str(tmp_path / "adapter.gguf"), wrong_base)


@pytest.mark.parametrize(
    ("source", "target", "outtype", "message"),
    [
        ("lora", "adapter", "auto", r"ends in \.gguf"),
        ("nothing", "adapter.gguf", "auto", "cannot be converted; give a PEFT folder"),
        ("adapter.gguf", "back.gguf", "auto", "must be the name of a folder"),
        ("adapter.gguf", "peft_folder", "q8_0", "--outtype q8_0 does not fit"),
        ("adapter.gguf", "lora", "auto", "exists already"),
        ("lora/adapter_model.safetensors", "peft_folder", "auto", "is not a GGUF file"),
    ],
)
def test_a_request_that_makes_no_sense_says_what_does(
    tmp_path: Path, source: str, target: str, outtype: conversion.OutType, message: str
) -> None:
    converted(tmp_path, lora(tmp_path / "lora"))
    with pytest.raises(UserError, match=message):
        convert(str(tmp_path / source), str(tmp_path / target), base(tmp_path / "base"), outtype)


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    wrong_base = base(tmp_path / "base", num_attention_heads=9)
    with pytest.raises(UserError, match="trained on another base"):
        convert(str(lora(tmp_path / "lora")), str(tmp_path / "adapter.gguf"), wrong_base)


def test_a_base_that_does_not_say_its_heads_is_refused(tmp_path: Path) -> None:
    wrong_base = base(tmp_path / "base", num_attention_heads="x")
    with pytest.raises(UserError, match="the number of attention heads"):
        convert(str(lora(tmp_path / "lora")), str(tmp_path / "adapter.gguf"), wrong_base)


def test_the_command_line_converts(tmp_path: Path) -> None:
    arguments = [str(lora(tmp_path / "lora")), str(tmp_path / "adapter.gguf")]
    arguments += ["--base", base(tmp_path / "base"), "--outtype", "f16"]
    done = CliRunner().invoke(app, ["models", "convert", *arguments])
    assert (done.exit_code, done.output.strip()) == (0, arguments[1])
    assert written(Path(arguments[1]))["blk.1.attn_q.weight.lora_a"].tensor_type.name == "F16"


def test_an_adapter_whose_base_is_unknown_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --base"):
        convert(str(lora(tmp_path / "lora")), str(tmp_path / "adapter.gguf"))
