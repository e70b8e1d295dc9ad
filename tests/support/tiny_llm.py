"""A language model of a few kilobytes with a real byte-level tokenizer, and data to train it on."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from agent_model.data.pairs import Pair
from agent_model.dialects.agent import Agent
from agent_model.tokens import end_of_turn
from autocoa_bench.types import Completion, Passage, Question, Record, Trajectory, Turn
from support.play import play

_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' "
    "+ message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_WORDS = ("tower", "mill", "river", "bridge", "castle", "king", "poet", "city", "born", "died")


def make_tokenizer() -> Any:
    """A byte-level BPE tokenizer of 400 tokens with a ChatML template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([Agent.instruction, " ".join(_WORDS), "</search_result>\n\n"], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )
    made.chat_template = _TEMPLATE
    return made


def make_model(folder: Path) -> Path:
    """Write a random Llama of two layers with its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def saying(tokenizer: Any, text: str) -> Any:
    """A `draw` whose every row says a text, letter by letter, and ends its turn, over and over."""
    ids = [*spelled(tokenizer, text), end_of_turn(tokenizer)]
    said: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    def draw(logits: Any, _: float, rng: list[object]) -> tuple[list[int], list[float]]:
        places = [said.setdefault(each, 0) for each in rng]
        said.update({each: place + 1 for each, place in zip(rng, places, strict=True)})
        assert len(logits) == len(rng)
        return [ids[place % len(ids)] for place in places], [0.0] * len(places)

    return draw


def spelled(tokenizer: Any, text: str) -> list[int]:
    """A text's ids letter by letter, as no tokenizer encodes it."""
    return [id_ for letter in text for id_ in tokenizer(letter).input_ids]


def searched(number: int = 0) -> Trajectory:
    """Two searches and an answer; what is found differs by number."""
    chance = random.Random(number)
    passages = [
        Passage(f"p{i}", chance.choice(_WORDS), " ".join(chance.choices(_WORDS, k=8 + number % 7)))
        for i in range(2)
    ]
    replies = (
        f"I need the builder of tower {number}.\n<begin_search> builder {number} </end_search>",
        "Now é, the place. 😀\n<begin_search> place </end_search>",
        "It is Anna.\n</think>\n\n\\boxed{Anna}",
    )
    return play(Agent(shots=0), replies, passages)[0]


def thought() -> Trajectory:
    """An answer without a search."""
    return play(Agent(shots=0), ["I know it.\n</think>\n\n\\boxed{Anna}"])[0]


def forced() -> Trajectory:
    """Two malformed completions: the environment nudges, then opens the answer itself."""
    return play(Agent(shots=0), ["Well.", "Well, well.", Completion("Anna")])[0]


def write_records(file: Path, count: int) -> Path:
    """Trajectories of `count` questions, one in four of them short."""
    with file.open("wb") as stream:
        for number in range(count):
            trajectory = thought() if number % 4 == 3 else searched(number)
            record = Record(Question(f"q{number}", f"Question {number}?", ("Anna",)), 0, trajectory)
            stream.write(msgspec.json.encode(record) + b"\n")
    return file


def pair(number: int = 0) -> Pair:
    """To search rather than to answer at once."""
    question = Question(f"q{number}", f"Who built tower {number}?", ("Anna",))
    return Pair(
        question=question,
        opening=Agent(shots=0).opening(question),
        prefill=Agent.prefill,
        turns=(Turn("model", "I am not sure. "),),
        chosen=f"I look it up.\n<begin_search> tower {number} </end_search>",
        rejected="It is Bert.\n</think>\n\n\\boxed{Bert}",
        ends=(False, True),
    )


def write_pairs(file: Path, count: int) -> Path:
    """`count` pairs."""
    file.write_bytes(b"".join(msgspec.json.encode(pair(i)) + b"\n" for i in range(count)))
    return file
