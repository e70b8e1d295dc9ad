"""A nano model before it has read anything, and the text that it is to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
import transformers

from agent_model.data import folder
from agent_model.dialects.agent import Agent
from agent_model.nano import base_text
from agent_model.nano.copy_init import copy_heads
from agent_model.nano.tokenizer import make_tokenizer
from autocoa_bench import tasks
from autocoa_bench.search import corpus

_TAGS = ("<think>", "</think>", *Agent.query_tags, *Agent.result_tags, "\\boxed{")
_CORPORA = ("nano", "nano-train", "nano-base")
_TASKS = ("nano", "nano-base")
_WORD_SIZE = 0.2  # of an embedding's entries: words are told apart before training sets in


def make_untrained(out: Path, data: Sequence[Path], passes: int, seed: int) -> None:
    """Write `out/model` (random weights, and a tokenizer) and `out/text.jsonl`.

    The tokenizer has the words of the nano corpora and questions, of what is to be read, and of
    `data`, the folders that later stages train on. `passes`: how often each fact is read.
    """
    shown = base_text.shown(seed)
    words = (
        *_world(),
        *base_text.spoken((*shown.answers, *shown.searches)),
        *base_text.between(),
        *_taught(data),
    )
    tokenizer = make_tokenizer(words, [*base_text.phrases(), *_TAGS])
    model = blank_model(len(tokenizer), tokenizer.eos_token_id, seed)
    model.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
    texts = base_text.texts(shown, tokenizer, passes, seed)
    lines = [msgspec.json.encode({"parts": parts}) for parts in texts]
    part = out / "text.jsonl.part"  # written aside: nobody trains on half of it
    part.write_bytes(b"\n".join(lines) + b"\n")
    part.replace(out / "text.jsonl")


def blank_model(words: int, end: int, seed: int) -> Any:
    """A Llama of a million weights that knows nothing, with a head start in copying. `words` is the
    size of its vocabulary, `end` the token that ends a turn."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=words,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        head_dim=64,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    model = transformers.LlamaForCausalLM(config)
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=_WORD_SIZE)
    copy_heads(model)
    return model


def _world() -> Iterator[str]:
    """The words of passages and questions, of either split."""
    for name in _CORPORA:
        for passage in corpus.read_passages(corpus.corpus_file(name)):
            yield f"{passage.title} {passage.text}"
    for name in _TASKS:
        for task in tasks.resolve(name):
            for question in (*task.load("test"), *task.load("train")):
                yield " ".join([question.text, *(hop.question for hop in question.hops)])


def _taught(folders: Sequence[Path]) -> Iterator[str]:
    """What later stages train on."""
    for found in map(folder.read, folders):
        yield from base_text.spoken(each.trajectory for each in found.records if each.trajectory)
        for pair in found.pairs:
            yield " ".join([*(turn.text for turn in pair.turns), pair.chosen, pair.rejected])
