"""Foreign instructions in the prompts of a file: what its prompts share is not the question."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

OWN_END = "Now, please answer the user's question below:"
"""The end of AutoCoA's own instructions."""

_LEAD = re.compile(
    r"(?i)(?:^|(?<=[\s*>。]))(?:user(?:'s)? |the )?"
    r"(?:question|query|problem|问题|質問|질문)\**\s*[:：]\s*"
    r"|(?:^|(?<=\n))(?:q|user|human)\**\s*[:：]\s*"
)
"""What many instructions put before the question."""

_TAIL = re.compile(
    r"(?i)(?<!\s)\s++(?:the |final |your |short )*(?:answer|response|output|assistant|ai|a)\**"
    r"\s*[:：]\s*\Z"
)
"""What many put after the question, for the model to continue."""

_CUT = re.compile(r"\n\s*|(?<=[:：>\]|])\s*|(?<=[.!?。！？])(?:\s+|$)")
"""The places where an instruction may end."""

_ASKS_FOR = re.compile(
    r"(?i)\b(?:answer|respond|reply|question|search|think|reason|solve|you|your|assistant|"
    r"step by step|output|final|provide|instruction)\b|[回搜思请]"
)
"""Words of instructions, which a sentence of a question seldom has."""

_SHORTEST_INSTRUCTION = 12
_LONG_PROMPT = 400


class Prompt(NamedTuple):
    """The last user message of a prompt, and the dataset that it belongs to."""

    text: str
    source: str


def without_instructions(prompts: Sequence[Prompt]) -> tuple[list[str], list[str]]:
    """The questions in the prompts of a file, and notes for the user about what was left out.

    The prompts of each dataset are compared with one another. Where they share nothing, or one
    stands alone, each is cut at a lead such as `Question:`.
    """
    texts = [prompt.text.rpartition(OWN_END)[2].strip() for prompt in prompts]
    groups: dict[str, list[int]] = defaultdict(list)
    for position, prompt in enumerate(prompts):
        groups[prompt.source].append(position)
    notes = []
    for positions in groups.values():
        group = [texts[position] for position in positions]
        cuts = [_shared(group)] * len(group) if len(set(group)) > 1 else []
        if not any(map(any, cuts)):
            cuts = [_lead(text) for text in group]
        if all(map(any, cuts)):
            left_out = " ... ".join(_excerpt(text) for text in cuts[0] if text.strip())
            notes.append(f"the prompts' instruction is not part of the questions: {left_out}")
            for position, (start, end) in zip(positions, cuts, strict=True):
                text = texts[position]
                texts[position] = text[len(start) : len(text) - len(end)].strip()
        elif any(map(any, cuts)) or _looks_instructed(group):
            notes.append(
                f"the prompts are asked whole, such as '{_excerpt(group[0])}'; a field 'question' "
                "beside them would be asked instead"
            )
    return texts, notes


def _shared(texts: list[str]) -> tuple[str, str]:
    """What all texts begin and end with, cut where an instruction may end."""
    start = _common_start(texts)
    leads = list(_LEAD.finditer(start))
    if leads:
        start = start[: leads[-1].end()]
    else:
        start = start[: max((match.end() for match in _CUT.finditer(start)), default=0)]
        start = start if _is_instruction(start) else ""
    rests = [text[len(start) :] for text in texts]
    end = _common_start([text[::-1] for text in rests])[::-1]
    match = re.search(r"\n|(?<=[.!?。！？])\s+|</|\[/|<\|", end)
    if not match:  # the questions end differently, and the instruction begins a sentence
        match = re.search(r"(?<!\s)\s++(?=[A-Z(\[])", end)
    end = end[match.start() :] if match else ""
    end = end if _is_instruction(end) else ""
    # A text that is all instruction would leave no question.
    if any(not text[: len(text) - len(end)].strip() for text in rests):
        return "", ""
    return start, end


def _common_start(texts: Sequence[str]) -> str:
    """The longest start that all texts have: that of the first and the last in order."""
    first, last = min(texts), max(texts)
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((at for at, (a, b) in pairs if a != b), min(len(first), len(last)))]


def _is_instruction(text: str) -> bool:
    marked = re.fullmatch(r"\s*[<\[].*[>\]]\s*", text, re.DOTALL)
    return bool(marked or "<|" in text or _TAIL.fullmatch(text)) or (
        len(text.strip()) >= _SHORTEST_INSTRUCTION and bool(_ASKS_FOR.search(text))
    )


def _lead(text: str) -> tuple[str, str]:
    """The start of a single prompt up to the last lead that a question follows."""
    for match in reversed(list(_LEAD.finditer(text))):
        question = text[match.end() :]
        tail = _TAIL.search(question)
        if (question[: tail.start()] if tail else question).strip():
            return text[: match.end()], tail[0] if tail else ""
    return "", ""


def _looks_instructed(texts: list[str]) -> bool:
    shared = len(_common_start(texts)) if len(texts) > 1 else 0
    sentences = len(re.findall(r"[.!?。！？](?:\s|$)|\n", texts[0]))
    return (
        shared > _LONG_PROMPT
        or (len(texts[0]) > _LONG_PROMPT and "\n" in texts[0])
        or (len(texts) == 1 and sentences > 1 and bool(_ASKS_FOR.search(texts[0])))
    )


def _excerpt(text: str) -> str:
    """The start and the end of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:60]} ... {line[-32:]}"
