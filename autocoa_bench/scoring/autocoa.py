"""The two scorers of AutoCoA's released code, quirks included, for comparison with its numbers.

`reward` scores RL rollouts, and runs of the RL evaluation script; `evaluation` is the exact match
of the other evaluation script. Neither is the strict exact match that the paper states (`em` is).
Each parses the model's response in its own way. The released code's treatment of scores (a mean
that drops all-zero columns and failed questions) is not adopted.
"""

import re
from collections.abc import Sequence

from autocoa_bench.scoring.scorer import BoxScorer
from autocoa_bench.scoring.text import exact_match, normalise

_CLOSED_AT_FIRST_BRACE = re.compile(r"\\boxed\{([^}]*)\}")
_OPEN_TO_LAST_BRACE = re.compile(r"\\boxed\{(.*)\}")
_TEXT_COMMAND = re.compile(r"\\text\{(.*?)\}")
_ANNOUNCED = re.compile(
    r"(?:the answer is|(?:therefore|thus|so|in conclusion|hence),)[:\s]+([^.]+)", re.IGNORECASE
)
_CORNER_BRACKETS = str.maketrans("", "", "「」『』")
_DIGITS = {
    word: str(digit)
    for digit, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    )
}
_FILLERS = frozenset(
    ["well", "so", "basically", "actually", "literally", "simply", "just", "um", "uh"]
)
_WORD = re.compile(r"\w+")
_SUFFICIENT_SHARE = 0.7
"""The share of a gold's words from which an answer is right."""


def _reward(response: str, golds: Sequence[str]) -> float:
    """1.0 where a gold's normalised words are the answer's, or 70 % of them are among its words.

    An answer that contains a gold as a substring, or is contained in one, scores 0 unless equal.
    """
    answer = _reward_answer(response)
    return 0.0 if answer is None else float(any(_rewarded(answer, gold) for gold in golds))


def _reward_answer(response: str) -> str | None:
    """The answer after the last `</think>`: the last box, up to its first closing brace.

    Without a box it is the announced answer ("The answer is ..."), else the last sentence but one.
    There is none after a search outside the reasoning. The released scorer looks for `</think>` and
    a box in prompt and response together, and its prompt contains both: the check for `</think>`
    never fails, and a response without either is parsed as the prompt's placeholder: as none.
    """
    _, closed, text = response.rpartition("</think>")
    text = text.strip()
    if "<begin_search>" in text:
        return None
    boxes = _CLOSED_AT_FIRST_BRACE.findall(text)
    if boxes:
        return _reward_normalised(boxes[-1])
    if not closed or not text:
        return None
    announced = _ANNOUNCED.search(text)
    if announced:
        return _reward_normalised(announced[1])
    sentences = text.split(".")
    return _reward_normalised(sentences[-2] if len(sentences) > 1 else text)


def _reward_normalised(text: str) -> str:
    """`normalise`, then without corner brackets and filler words, and number words as digits."""
    plain = normalise(text).translate(_CORNER_BRACKETS)
    plain = _WORD.sub(lambda match: _DIGITS.get(match[0], match[0]), plain)
    plain = _WORD.sub(lambda match: " " if match[0] in _FILLERS else match[0], plain)
    return " ".join(plain.split())


def _rewarded(answer: str, gold: str) -> bool:
    normalised = _reward_normalised(gold)
    if not gold or answer == normalised:
        return bool(gold)
    if normalised in answer or answer in normalised:
        return False
    words = set(normalised.split())
    return len(words & set(answer.split())) >= len(words) * _SUFFICIENT_SHARE


def _evaluation(response: str, golds: Sequence[str]) -> float:
    """Exact match of the first box after the last search, `\\text{}` unwrapped.

    The box ends at the last brace of its line.
    """
    box = _OPEN_TO_LAST_BRACE.search(response.rpartition("</end_search>")[2])
    return exact_match(_TEXT_COMMAND.sub(r"\1", box[1]) if box else "", golds)


reward = BoxScorer(_reward)
"""The RL reward, 1.0 or 0.0: an answer is right from 70 % of a gold's words."""

evaluation = BoxScorer(_evaluation)
"""The evaluation script's exact match, 1.0 or 0.0."""
