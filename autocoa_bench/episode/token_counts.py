"""Counts of tokens: estimates where no server has counted, and checks where one has."""

import math
from collections.abc import Iterable
from functools import lru_cache

_HIDDEN_TOKENS = 8192
"""The most tokens of a prompt beside our text: a chat template, a server's own system message."""
_LONGEST_TOKEN = 8
"""Characters of a token in text without spaces, more than of any tokenizer on average."""
_LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8, hence its most tokens."""
_PLAUSIBLE = 0.9
"""The least share of its words, or of an earlier count, that the tokens of a prompt reach."""

# Of each byte of a text: a space, a capital, a vowel, another lower-case letter, or another byte.
_CLASSES = (
    b"#" * 32 + b" " + b"#" * 32 + b"A" * 26 + b"#" * 6 + b"vcccvcccvcccccvcccccvccccc" + b"#" * 133
)


@lru_cache(maxsize=256)  # an episode estimates each of its texts several times
def estimate_tokens(text: str) -> int:
    """The tokens of a text that no server has counted: at least those that a tokenizer finds.

    A token is at least a byte of UTF-8, and outside of English words often no more: digits,
    capitals and other scripts count by their bytes. A space belongs to the word that follows it.
    Lower-case letters count a half where consonants and vowels alternate as in a language, and up
    to one where they do not. English has twice the tokens by this that SmolLM2's tokenizer finds.
    """
    classes = text.encode("utf-8", "surrogatepass").translate(_CLASSES)
    lower = classes.count(b"c") + classes.count(b"v")
    capitalised = classes.count(b" A")
    spaces = classes.count(b" c") + classes.count(b" v") + capitalised
    letters = max(lower / 2, lower - 1.75 * classes.count(b"cv")) + capitalised / 2
    return math.ceil(len(classes) - lower - capitalised - spaces + letters)


class PromptSize:
    """What the tokens of a growing prompt can be, by its text and the server's earlier counts.

    Servers cut prompts without a word (Ollama, to the half of its context), count only what they
    have not cached, or add up the counts of a session.
    """

    def __init__(self, opening: Iterable[str]) -> None:
        self._least, self._most = 0, _HIDDEN_TOKENS
        for text in opening:
            self.add("", text)

    def add(self, sampled: str, observed: str) -> None:
        """Append text. A template may drop what a model has sampled, and nothing else."""
        words = observed.count(" ") - 2 * observed.count("  ")
        self._least += max(words, len(observed) // _LONGEST_TOKEN)
        self._most += _LONGEST_CHARACTER * (len(sampled) + len(observed))

    def is_cut(self, count: int) -> bool:
        """True if a count is below the words of the prompt, or below an earlier count."""
        return count < _PLAUSIBLE * self._least

    def checked(self, count: int | None) -> int | None:
        """A count of the prompt's tokens; None for one that cannot be true."""
        if count is None or self.is_cut(count) or count > self._most:
            return None
        self._least = max(self._least, count)
        return count
