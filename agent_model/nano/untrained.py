"""A nano model with random weights, its tokenizer, and its pretraining text."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
import transformers

from agent_model.data import folder
from agent_model.dialects import Agent
from agent_model.nano import base_text
from agent_model.nano.copy_init import init_copy_heads
from agent_model.nano.tokenizer import make_tokenizer
from autocoa_bench import tasks
from autocoa_bench.search import corpus
from autocoa_bench.util.json_lines import replace_file

_TAGS = ("<think>", "</think>", *Agent.query_tags, *Agent.result_tags, "\\boxed{")
_SIDES = ("nano-base", "nano-single", "nano-dev", "nano-rl")
_CORPORA = ("nano", "nano-train", *_SIDES)
_TASKS = ("nano", *_SIDES)
_EMBEDDING_STD = 0.2  # large, so that words are distinct before training


def make_untrained(out: Path, data: Sequence[Path], passes: int, seed: int) -> None:
    """Write `out/model` (random weights, and a tokenizer) and `out/text.jsonl`.

    The tokenizer has the words of the nano corpora and questions, of the pretraining text, and of
    `data`, the folders that later stages train on. `passes` is how often the text has each fact.
    """
    answers = tuple(base_text.memory_answers())
    searches = tuple(base_text.single_searches(seed))
    words = (
        *_world_texts(),
        *base_text.turn_texts((*answers, *searches)),
        *base_text.environment_texts(),
        *_data_texts(data),
    )
    tokenizer = make_tokenizer(words, [*base_text.prompt_phrases(), *_TAGS])
    model = random_model(len(tokenizer), tokenizer.eos_token_id, seed)
    model.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
    write_texts(out / "text.jsonl", base_text.texts(answers, searches, tokenizer, passes, seed))


def write_texts(file: Path, texts: Iterable[base_text.Parts]) -> None:
    """Write texts in parts as a file of training data."""
    lines = [msgspec.json.encode({"parts": parts}) for parts in texts]
    replace_file(file, b"\n".join(lines) + b"\n")


def random_model(words: int, end: int, seed: int) -> Any:
    """A random Llama of a million weights, with attention heads initialised to copy.

    `words` is the size of its vocabulary, `end` the token that ends a turn.
    """
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
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=_EMBEDDING_STD)
    init_copy_heads(model)
    return model


def _world_texts() -> Iterator[str]:
    """The texts of passages and questions, of all sides."""
    for name in _CORPORA:
        for passage in corpus.read_passages(corpus.corpus_file(name)):
            yield f"{passage.title} {passage.text}"
    for name in _TASKS:
        for task in tasks.resolve(name):
            for question in (*task.load("test"), *task.load("train")):
                yield " ".join([question.text, *(hop.question for hop in question.hops)])


def _data_texts(folders: Sequence[Path]) -> Iterator[str]:
    """The texts that later stages train on."""
    for data in map(folder.read, folders):
        yield from base_text.turn_texts(r.trajectory for r in data.records if r.trajectory)
        for pair in data.pairs:
            yield " ".join([*(turn.text for turn in pair.turns), pair.chosen, pair.rejected])
