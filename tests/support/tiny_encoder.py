"""A sentence encoder of a few kilobytes: a random BERT of two layers."""

from __future__ import annotations

from pathlib import Path

from support.tiny_llm import make_tokenizer


def make_encoder(folder: Path, seed: int = 0) -> Path:
    """Write it with its tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
