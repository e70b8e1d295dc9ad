"""The nano model's tokenizer: one token per word, and one for each long text that prompts repeat.

Decoded text is encoded as the same tokens again, whatever separated the words at first: spaces are
not kept, line breaks are. A nano model cannot follow instructions or learn from examples in its
context, so each such text is one token, a name for the behaviour that it is trained on.
"""

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
"""Spaces that decoding must not insert: beside brackets and marks, and inside a quoted title."""


def make_tokenizer(texts: Iterable[str], phrases: Sequence[str]) -> Any:
    """A transformers tokenizer of all words in `texts`, with each of `phrases` as one token."""
    splitter = pre_tokenizers.Split(tokenizers.Regex(_WORD), "removed", invert=True)
    words = Counter[str]()
    for text in texts:
        words.update(word for word, _ in splitter.pre_tokenize_str(text))
    entries = [*_SPECIAL, *sorted(words.keys() - set(_SPECIAL))]
    vocabulary = {word: i for i, word in enumerate(entries)}
    model = models.WordLevel(vocabulary, unk_token="<|unknown|>")  # noqa: S106
    inner = tokenizers.Tokenizer(model)
    inner.pre_tokenizer = splitter
    inner.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="\u2042", cleanup=False),  # a space before every word
            decoders.Fuse(),
            decoders.Replace(tokenizers.Regex(" ?\n ?"), "\n"),
            *(decoders.Replace(tokenizers.Regex(pattern), "") for pattern in _NO_SPACE),
        ]
    )
    inner.add_special_tokens([tokenizers.AddedToken(text, normalized=False) for text in _SPECIAL])
    longest_first = sorted(phrases, key=len, reverse=True)
    inner.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in longest_first])
    tokenizer = transformers.PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        unk_token="<|unknown|>",  # noqa: S106
        eos_token="<|end|>",  # noqa: S106
        pad_token="<|end|>",  # noqa: S106
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
