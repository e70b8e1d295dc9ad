"""The prompt of a turn, cut into pieces that are tokenised one by one.

Runs, training and every export build their prompts here, so that a model sees the same ids in all
of them. The chat template renders the opening once, up to the head of the model's turn, and nothing
else. The rest follows unchanged: what the model sampled as the sampled ids, and the environment's
text as tokens of its own. `engines.tokenizer` does this with a tokenizer in this process, and
`engines.openai.turn_tokenizer` with that of a server.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from autocoa_bench.engines import tool_turns
from autocoa_bench.types import Message, Prompt

_THOUGHT = "<think>"


class Piece(NamedTuple):
    """A stretch of the turn by one author; `ids` are the sampled ones, None where unknown.

    The environment's piece has ids if the model wrote a part of it (a simulated observation), and
    they spell that part.
    """

    is_sampled: bool
    text: str
    ids: tuple[int, ...] | None


def pieces(opening_text: str, prompt: Prompt) -> list[Piece]:
    """The turn after a rendered opening, of which only the end matters here.

    Neighbouring texts of the environment are one piece, to which the prefill belongs.
    """
    parts: list[Piece] = []
    start = prompt.prefill
    for source, group in groupby(prompt.turns, key=lambda turn: turn.source):
        turns = list(group)
        if source == "environment":
            text = start + "".join(turn.text for turn in turns)
            ids = next((turn.token_ids for turn in turns if turn.token_ids), None)
            parts.append(Piece(False, text, ids))
        else:
            parts += [Piece(False, start, None)] if start else []
            parts += [Piece(True, turn.text, turn.token_ids) for turn in turns]
        start = ""
    if start:
        parts.append(Piece(False, start, None))
    if parts and not parts[0].is_sampled:
        parts[0] = parts[0]._replace(text=_unwritten(opening_text, parts[0].text))
    return [piece for piece in parts if piece.text]


def opens_thought(opening_text: str) -> bool:
    """True if the template itself opens a thought at the end of a rendered opening."""
    return opening_text.rstrip().endswith(_THOUGHT)


def _unwritten(opening_text: str, text: str) -> str:
    """The start of a turn without the opening of a thought that the template has written."""
    if not (opens_thought(opening_text) and text.lstrip().startswith(_THOUGHT)):
        return text
    space = opening_text[len(opening_text.rstrip()) :]
    rest = text.lstrip().removeprefix(_THOUGHT)
    shared = next((i for i, char in enumerate(space) if rest[i : i + 1] != char), len(space))
    return rest[shared:]


class Form(NamedTuple):
    """An opening as chat templates take it: its messages, and the tools that it offers."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None


def opening_forms(opening: Sequence[Message]) -> Iterator[Form]:
    """An opening in the forms that chat templates take, the plain one first.

    Some templates refuse a system message or two messages of one role in a row, and some take
    contents only as lists of parts. Some have no place for tools: the last forms describe them.
    """
    tools, others = tool_turns.split(opening)
    for messages in _message_forms(others):
        yield Form(messages, tools)
    for messages in _message_forms(tool_turns.described(tools, others)) if tools else ():
        yield Form(messages, None)


def _message_forms(opening: Sequence[Message]) -> Iterator[list[dict[str, Any]]]:
    plain = [{"role": message.role, "content": message.content} for message in opening]
    merged: list[dict[str, Any]] = []
    for message in plain:
        role = "user" if message["role"] == "system" else message["role"]
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += f"\n\n{message['content']}"
        else:
            merged.append({"role": role, "content": message["content"]})
    for form in [plain] if merged == plain else [plain, merged]:
        yield form
    for form in [plain] if merged == plain else [plain, merged]:
        yield [
            {**message, "content": [{"type": "text", "text": message["content"]}]}
            for message in form
        ]


def lost_message(opening_text: str, opening: Sequence[Message]) -> int | None:
    """The number, from 1, of a message that a rendered opening lacks, white space aside.

    Tools are there if their descriptions are.
    """
    text = "".join(opening_text.split())
    for number, message in enumerate(opening, 1):
        contents = [message.content]
        if message.role == "tools":
            contents = tool_turns.descriptions(tool_turns.split(opening)[0] or ())
        if any("".join(content.split()) not in text for content in contents):
            return number
    return None


def first_stop(text: str, stops: Iterable[str], start: int = 0) -> str | None:
    """The stop string that comes first in text[start:], of two at one place the shorter; None for
    none."""
    matches = [(text.find(stop, start), len(stop), stop) for stop in stops]
    return min((match for match in matches if match[0] >= 0), default=(0, 0, None))[2]


def trimmed_ids(
    ids: Sequence[int],
    text: str,
    decode: Callable[[Sequence[int]], str],
    encode: Callable[[str], Sequence[int]],
) -> tuple[int, ...] | None:
    """Sampled ids that spell a text: if the last one goes beyond it, that one is replaced by the
    ids of the text that remains; None where this does not help."""
    if decode(ids) == text:
        return tuple(ids)
    before = decode(ids[:-1])
    if not text.startswith(before):
        return None
    trimmed = (*ids[:-1], *encode(text.removeprefix(before)))
    return trimmed if decode(trimmed) == text else None
