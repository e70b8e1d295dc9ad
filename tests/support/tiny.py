"""Tiny random models of transformers, with a tokenizer of letters, as folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tiny_model(
    folder: Path,
    kind: str = "llama",
    seed: int = 0,
    vocabulary: int = 260,
    size: int = 32,
    **more: Any,
) -> Path:
    """A model of 2 layers; `kind` is llama, qwen2 or another type of transformers, and `more` of
    its own configuration."""
    import torch
    import transformers

    config = transformers.AutoConfig.for_model(
        kind,
        vocab_size=vocabulary,
        hidden_size=size,
        intermediate_size=2 * size,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=256,
        bos_token_id=None,
        **more,
    )
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():  # far from uniform, biases too, so that a mistake shows
        if parameter.dim() > 1 or (kind == "qwen2" and parameter.shape[0] != size):
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tiny_tokenizer(folder)
    return folder


def tiny_tokenizer(folder: Path) -> Any:
    """A token a letter, and four special ones; saved in the folder."""
    import transformers
    from tokenizers import AddedToken, Tokenizer, decoders, models

    letters = ["\n", *map(chr, range(32, 127)), *map(chr, range(0xC0, 0xC0 + 160))]
    inner = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    inner.decoder = decoders.Fuse()
    special = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    inner.add_special_tokens([AddedToken(each) for each in special])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|end|>", chat_template=TEMPLATE
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def random_lora(base: Path, folder: Path, *, rank: int = 8, std: float = 0.05) -> Path:
    """A PEFT folder of a LoRA on every linear layer of a model, of a fixed seed."""
    import peft
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    torch.manual_seed(1)
    adapted = peft.get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=std)
    adapted.save_pretrained(folder)
    return folder


def edit_json(file: Path, **changes: Any) -> None:
    """Change entries of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def numpy_lora(folder: Path, layers: int, rank: int, shapes: dict[str, tuple[int, int]]) -> Path:
    """A PEFT folder of random numbers; `shapes` are (outputs, inputs) by module."""
    import numpy as np

    from autocoa_bench.engines.weights.formats import save

    random = np.random.default_rng(0)
    tensors: dict[str, Any] = {}
    for layer in range(layers):
        for module, (outputs, inputs) in shapes.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            drawn = random.normal(0, inputs**-0.5, (rank, inputs))
            tensors[f"{name}.lora_A.weight"] = drawn.astype("<f4")
            drawn = random.normal(0, 0.01, (outputs, rank))
            tensors[f"{name}.lora_B.weight"] = drawn.astype("<f4")
    folder.mkdir()
    save(folder / "adapter_model.safetensors", tensors)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
