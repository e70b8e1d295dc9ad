"""Derived from a trajectory: its number of actions, its turns, and an estimate of its tokens."""

import math
from collections.abc import Sequence

from autocoa_bench.types import Step, Trajectory, Turn

# Of each byte of a text: a vowel, another lower-case letter, a capital, a space, or another byte.
_CLASSES = bytes(
    ord(
        "v"
        if chr(i) in "aeiou"
        else "c"
        if i in range(97, 123)
        else "A"
        if i in range(65, 91)
        else " "
        if i == 32
        else "#"
    )
    for i in range(256)
)
_PLAUSIBLE = 0.9
"""The least share of a prompt's words that the count of its tokens reaches."""


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


def least_tokens(text: str) -> int:
    """Fewer tokens than any tokenizer finds in a text: its words, or an eighth of its letters."""
    return max(len(text.split()), len(text) // 8)


def is_cut(prompt_tokens: int, least: int) -> bool:
    """True if a server has counted too few tokens for a prompt of at least `least` of them.

    Then it has cut the prompt, as Ollama does without a word, or not counted what it had cached.
    """
    return prompt_tokens < _PLAUSIBLE * least


def n_cut_prompts(trajectory: Trajectory) -> int:
    """The number of prompts that the server seems to have cut, by its own counts."""
    least = sum(least_tokens(message.content) for message in trajectory.opening)
    number = 0
    for step in trajectory.steps:
        if step.prompt_tokens is not None:
            number += is_cut(step.prompt_tokens, least)
            least = max(least, step.prompt_tokens)
        # A template may drop thoughts, but nothing of the environment's.
        least += least_tokens(step.observation)
    return number


def n_actions(trajectory: Trajectory) -> int:
    """The number of actions of a trajectory, which are its searches (#action of Figure 3)."""
    return sum(step.kind == "search" for step in trajectory.steps)


def n_malformed(trajectory: Trajectory) -> int:
    """The number of completions that were neither a search nor an answer."""
    return sum(step.kind == "malformed" for step in trajectory.steps)


def n_cut(trajectory: Trajectory) -> int:
    """The number of forced answers that the token limit cut before they were complete."""
    return sum(step.forced and step.stop_reason == "length" for step in trajectory.steps)


def turns_of(trajectory: Trajectory) -> tuple[Turn, ...]:
    """The assistant's turn of a trajectory as pieces, in order, by their source."""
    prefill = (Turn("environment", trajectory.prefill),) if trajectory.prefill else ()
    return prefill + turns_of_steps(trajectory.steps)


def turns_of_steps(steps: Sequence[Step]) -> tuple[Turn, ...]:
    """The pieces of the assistant's turn that steps consist of; empty texts are left out."""
    turns: list[Turn] = []
    for step in steps:
        turns += [
            Turn("model", step.text, step.token_ids),
            Turn("environment", step.observation, step.observation_ids),
        ]
    return tuple(turn for turn in turns if turn.text)
