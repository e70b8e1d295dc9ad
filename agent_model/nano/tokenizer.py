"""The nano model's tokenizer: one token a word, and one for every long text that prompts repeat.

What is decoded is encoded as the same tokens again, whatever stood between words at first: spaces
are not kept, line breaks are. A nano model cannot follow an instruction or learn from examples in
its context, so each of these is one token, a name for what the model is trained to do after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|> {{ message.content }} <|end|> "
    "{% endfor %}{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
_SPECIAL = ("<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|unknown|>")
_WORD = r"\w+|[^\w\s]|\n"
_NO_SPACE = (r" (?=[.,?:;}\])])", r"(?<=[{\[(]) ", r'(?<=: ") ', r' (?="\n)')
"""Spaces that nobody writes: beside brackets and marks, and inside a passage's quoted title."""


def make_tokenizer(texts: Iterable[str], phrases: Sequence[str]) -> Any:
    """A transformers tokenizer of all words in `texts`, with each of `phrases` as one token."""
    split = tokenizers.Regex(_WORD)
    words = Counter[str]()
    cutter = pre_tokenizers.Split(split, "removed", invert=True)
    for text in texts:
        words.update(word for word, _ in cutter.pre_tokenize_str(text))
    listed = [*_SPECIAL, *sorted(words.keys() - set(_SPECIAL))]
    vocabulary = {word: place for place, word in enumerate(listed)}
    made = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))  # noqa: S106
    made.pre_tokenizer = cutter
    made.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="\u2042", cleanup=False),  # a space before every word
            decoders.Fuse(),
            decoders.Replace(tokenizers.Regex(" ?\n ?"), "\n"),
            *(decoders.Replace(tokenizers.Regex(each), "") for each in _NO_SPACE),
        ]
    )
    made.add_special_tokens([tokenizers.AddedToken(each, normalized=False) for each in _SPECIAL])
    longest_first = sorted(phrases, key=len, reverse=True)
    made.add_tokens([tokenizers.AddedToken(each, normalized=False) for each in longest_first])
    tokenizer = transformers.PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made,
        unk_token="<|unknown|>",  # noqa: S106
        eos_token="<|end|>",  # noqa: S106
        pad_token="<|end|>",  # noqa: S106
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
