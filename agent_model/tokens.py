"""Trajectories as token ids with the kind of each token, cut where a sampler cuts.

A trajectory is encoded piece by piece, never as one string: while it is sampled, every completion
and every observation is appended as tokens of its own, and 48 of 48 measured rollouts tokenise
differently as one string. Loss masks follow from kinds, so what is trained is decided here alone.
"""

import difflib
from collections.abc import Iterable, Sequence, Set
from enum import IntEnum
from itertools import groupby
from typing import Any

from msgspec import Struct

from agent_model.data.pairs import Pair
from agent_model.dialects import Agent, R1Searcher, SearchR1
from autocoa_bench.engines import chat_template
from autocoa_bench.errors import UserError
from autocoa_bench.types import Message, Prompt, Step, Trajectory

Tokenizer = Any
"""A transformers tokenizer."""

_QUERY_TAGS = {solver.name: solver.query_tags[0] for solver in (Agent, SearchR1, R1Searcher)}
_ANSWER_OPENINGS = ("\\boxed", "<answer>")
_PLACEHOLDER = "\u2042"  # stands for an assistant's text when a chat template is rendered


class Kind(IntEnum):
    """The author and role of a token.

    PROMPT and OBSERVATION come from the environment, all others from the model. SIMULATED is what
    the model wrote as search results, in the place of an observation.
    """

    PROMPT = 0
    THOUGHT = 1
    ACTION = 2
    OBSERVATION = 3
    ANSWER = 4
    SIMULATED = 5


_OBSERVED = frozenset({Kind.OBSERVATION, Kind.SIMULATED})


class Encoded(Struct, frozen=True):
    """Token ids (T,) and the kind of each (T,)."""

    ids: tuple[int, ...]
    kinds: tuple[Kind, ...]


class MaskLeak(UserError):
    """A token that a stage excludes would enter its loss."""


def encode(trajectory: Trajectory, tokenizer: Tokenizer, *, ends: bool = True) -> Encoded:
    """The tokens of a trajectory: the prompt, then each step's sampled text and its observation.

    A step's own `token_ids` are used if they spell its text; other text is tokenised by itself.
    With `ends`, an answer that stopped by itself is followed by the end of turn, sampled or not;
    without, only if it was sampled. A search never is. Raises UserError for a search of a solver
    whose tags are unknown; a trajectory without searches, such as a judge's verdict, needs none.
    """
    searches = any(step.kind == "search" for step in trajectory.steps)
    if searches and trajectory.solver not in _QUERY_TAGS:
        raise UserError(
            f"cannot train on a trajectory of solver '{trajectory.solver}'; training takes "
            f"trajectories of {', '.join(sorted(_QUERY_TAGS))}, whose turn is one text with tags"
        )
    tag = _QUERY_TAGS.get(trajectory.solver, "")
    pieces = [_prompt_piece(trajectory.opening, trajectory.prefill, tokenizer)]
    # Observations of steps without ids of their own follow one another and form one piece.
    unencoded: list[tuple[str, Sequence[int] | None]] = []
    for step in trajectory.steps:
        own = _step_piece(step, tag, ends, tokenizer)
        if own.ids:
            pieces += [_observed_piece(unencoded, tokenizer), own]
            unencoded = []
        unencoded.append((step.observation, step.observation_ids))
    return _join([*pieces, _observed_piece(unencoded, tokenizer)])


def encode_pair(pair: Pair, tokenizer: Tokenizer) -> tuple[Encoded, Encoded]:
    """The chosen and the rejected text of a pair, each after its context of PROMPT tokens.

    If the context ends in the model's own text, that text and its continuation are encoded as one
    piece, as they would be sampled. If a token of either side would then span both, both sides are
    cut at the boundary, so that they continue from the same tokens.
    """
    begun = pair.turns[-1].text if pair.turns and pair.turns[-1].source == "model" else ""
    joined = all(_splits_at(begun, text, tokenizer) for text in (pair.chosen, pair.rejected))
    return (
        _encode_side(pair, begun, pair.chosen, pair.ends[0], joined, tokenizer),
        _encode_side(pair, begun, pair.rejected, pair.ends[1], joined, tokenizer),
    )


def encode_prompt(prompt: Prompt, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids of a prompt, cut at the same places as a trajectory's: sampled ids as they are, and
    the environment's text in one piece up to the model's next turn."""
    ids = list(_prompt_piece(prompt.opening, prompt.prefill, tokenizer).ids)
    for source, group in groupby(prompt.turns, key=lambda turn: turn.source):
        if source == "environment":
            ids += _observed_piece([(turn.text, turn.token_ids) for turn in group], tokenizer).ids
        else:
            for turn in group:
                ids += turn.token_ids or _ids(turn.text, tokenizer)
    return tuple(ids)


def retokenisation_drift(trajectory: Trajectory, tokenizer: Tokenizer) -> tuple[int, int]:
    """The number of tokens that would differ if the whole text were tokenised at once, and the
    number of all tokens."""
    pieces = encode(trajectory, tokenizer).ids
    text = _prompt_text(trajectory.opening, trajectory.prefill, tokenizer)
    text += "".join(step.text + step.observation for step in trajectory.steps)
    ids = _ids(text, tokenizer)
    if pieces and pieces[-1] == end_of_turn(tokenizer) != ids[-1]:
        ids = (*ids, pieces[-1])
    matcher = difflib.SequenceMatcher(None, pieces, ids, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return len(pieces) - same, len(pieces)


def audit(
    encoded: Encoded,
    trained: Sequence[bool],
    trains: frozenset[Kind],
    trajectory: Trajectory,
    tokenizer: Tokenizer,
) -> None:
    """Check that only tokens of the kinds in `trains` are trained, and that the tokens labelled
    OBSERVATION or SIMULATED spell exactly the environment's text.

    `trained` (T,) marks the tokens that enter the loss. Raises MaskLeak.
    """
    for position, (kind, used) in enumerate(zip(encoded.kinds, trained, strict=True)):
        if used and kind not in trains:
            raise MaskLeak(
                f"token {position} of a trajectory is of kind {kind.name.lower()} and would enter "
                f"a loss over {', '.join(sorted(kind.name.lower() for kind in trains))}"
            )
    observed = [(s.observation, s.observation_ids) for s in trajectory.steps if s.observation]
    pieces = (_observed_piece([part], tokenizer) for part in observed)
    text = "".join(text for text, _ in observed)
    _check_spelling(encoded, _OBSERVED, text, pieces, "an observation", tokenizer)


def audit_pair(
    sides: tuple[Encoded, Encoded],
    trained: tuple[Sequence[bool], Sequence[bool]],
    pair: Pair,
    tokenizer: Tokenizer,
) -> None:
    """Check that on both sides the PROMPT tokens come first, spell exactly the pair's context and
    are not trained. Raises MaskLeak."""
    opening = _prompt_text(pair.opening, pair.prefill, tokenizer)
    parts = [opening, *(turn.text for turn in pair.turns)]
    for side, used in zip(sides, trained, strict=True):
        count = side.kinds.count(Kind.PROMPT)
        if Kind.PROMPT in side.kinds[count:] or any(used[:count]):
            raise MaskLeak("a token of a pair's context would enter its loss")
        pieces = (_text_piece(part, Kind.PROMPT, tokenizer) for part in parts)
        _check_spelling(side, {Kind.PROMPT}, "".join(parts), pieces, "a pair's context", tokenizer)


def _check_spelling(
    encoded: Encoded,
    kinds: Set[Kind],
    expected: str,
    pieces: Iterable[Encoded],
    label: str,
    tokenizer: Tokenizer,
) -> None:
    """Check that the tokens of some kinds decode to a text. Raises MaskLeak.

    `pieces` are that text's expected pieces, encoded lazily: only if the text alone cannot decide.
    """
    pairs = zip(encoded.ids, encoded.kinds, strict=True)
    ids = tuple(token for token, kind in pairs if kind in kinds)
    spelled = decode(ids, tokenizer)
    # Some tokenizers lose spaces or unknown words, others put a space before every piece.
    if spelled == expected or spelled == decode(_ids(expected, tokenizer), tokenizer):
        return
    if spelled.split() == expected.split() and ids == _join(list(pieces)).ids:
        return
    start = next(
        (i for i, (a, b) in enumerate(zip(spelled, expected, strict=False)) if a != b),
        min(len(spelled), len(expected)),
    )
    raise MaskLeak(
        f"the tokens of {label} spell {spelled[start : start + 40]!r} instead of "
        f"{expected[start : start + 40]!r}; no mask over them would be right"
    )


def end_of_turn(tokenizer: Tokenizer) -> int:
    """The id that the chat template puts after an assistant's text, or the tokenizer's eos.

    Raises UserError if the tokenizer has no template.
    """
    _check_template(tokenizer)
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _PLACEHOLDER}]
    rendered = chat_template.render(tokenizer, messages)
    first = _ids(rendered.rpartition(_PLACEHOLDER)[2], tokenizer)[:1]
    special = set(tokenizer.all_special_ids)
    return int(first[0] if first and first[0] in special else tokenizer.eos_token_id)


def decode(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """The text of ids, special tokens included and spaces left as they are."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)) if ids else ""


def _join(pieces: Sequence[Encoded]) -> Encoded:
    return Encoded(
        tuple(token for piece in pieces for token in piece.ids),
        tuple(kind for piece in pieces for kind in piece.kinds),
    )


def _check_template(tokenizer: Tokenizer) -> None:
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of '{tokenizer.name_or_path}' has no chat template, so no turn can be "
            "opened; use an instruction-tuned model, or put a chat_template.jinja beside it"
        )


def _prompt_text(opening: Sequence[Message], prefill: str, tokenizer: Tokenizer) -> str:
    _check_template(tokenizer)
    messages = [{"role": message.role, "content": message.content} for message in opening]
    return chat_template.render(tokenizer, messages, open_turn=True) + prefill


def _prompt_piece(opening: Sequence[Message], prefill: str, tokenizer: Tokenizer) -> Encoded:
    return _text_piece(_prompt_text(opening, prefill, tokenizer), Kind.PROMPT, tokenizer)


def _text_piece(text: str, kind: Kind, tokenizer: Tokenizer) -> Encoded:
    ids = _ids(text, tokenizer)
    return Encoded(ids, (kind,) * len(ids))


def _observed_piece(
    parts: Sequence[tuple[str, Sequence[int] | None]], tokenizer: Tokenizer
) -> Encoded:
    """The environment's text as one piece, given in parts with the ids of what the model wrote
    itself, if it did; the first of these keep their place."""
    text = "".join(text for text, _ in parts)
    sampled = next((ids for _, ids in parts if ids), ())
    spelled = decode(sampled, tokenizer)
    if not (sampled and spelled and spelled in text):
        return _text_piece(text, Kind.OBSERVATION, tokenizer)
    before, after = (
        _text_piece(part, Kind.OBSERVATION, tokenizer) for part in text.split(spelled, maxsplit=1)
    )
    own = Encoded(tuple(sampled), (Kind.SIMULATED,) * len(sampled))
    return _join([before, own, after])


def _step_piece(step: Step, tag: str, ends: bool, tokenizer: Tokenizer) -> Encoded:
    end = end_of_turn(tokenizer)
    ids = step.token_ids or ()
    if not ids or decode(ids[:-1] if ids[-1] == end else ids, tokenizer) != step.text:
        ids = _ids(step.text, tokenizer)
    boundary, late = _boundary(step, tag)
    kinds = _kinds(ids, boundary, Kind.THOUGHT, late, tokenizer)
    ended = step.kind == "answer" and not step.forced and step.stop_reason == "stop"
    if ends and ended and ids[-1:] != (end,):
        ids, kinds = (*ids, end), (*kinds, Kind.ANSWER)
    return Encoded(ids, kinds)


def _boundary(step: Step, tag: str) -> tuple[int, Kind]:
    """The character at which a step's thought ends, and the kind of the text after it."""
    if step.kind == "search":
        return step.text.find(tag), Kind.ACTION
    if step.kind == "answer":
        return (0 if step.forced else _answer_start(step.text)), Kind.ANSWER
    return len(step.text), Kind.THOUGHT


def _answer_start(text: str) -> int:
    """The end of `</think>`, or without one the start of the last answer's opening."""
    closed = text.rfind("</think>")
    if closed >= 0:
        return closed + len("</think>")
    start = max(text.rfind(opening) for opening in _ANSWER_OPENINGS)
    return start if start >= 0 else len(text)


def _kinds(
    ids: Sequence[int], boundary: int, early: Kind, late: Kind, tokenizer: Tokenizer
) -> tuple[Kind, ...]:
    """A kind per id: `late` from the token on that contains the character at `boundary`."""
    # Bisect for the first token whose text extends beyond the boundary.
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(decode(ids[: middle + 1], tokenizer)) > boundary:
            high = middle
        else:
            low = middle + 1
    return (early,) * low + (late,) * (len(ids) - low)


def _splits_at(begun: str, text: str, tokenizer: Tokenizer) -> bool:
    """True if a token boundary separates `begun` from `text` when both are encoded as one."""
    ids = _ids(begun + text, tokenizer)
    count = _kinds(ids, len(begun), Kind.PROMPT, Kind.THOUGHT, tokenizer).count(Kind.PROMPT)
    return decode(ids[:count], tokenizer) == begun


def _encode_side(
    pair: Pair, begun: str, text: str, ends: bool, joined: bool, tokenizer: Tokenizer
) -> Encoded:
    """One side of a pair; `joined`: its text is encoded in one piece with `begun`."""
    pieces = [_prompt_piece(pair.opening, pair.prefill, tokenizer)]
    earlier = pair.turns[:-1] if begun else pair.turns
    pieces += (_text_piece(turn.text, Kind.PROMPT, tokenizer) for turn in earlier)
    if not joined:
        pieces.append(_text_piece(begun, Kind.PROMPT, tokenizer))
        begun = ""
    ids = _ids(begun + text, tokenizer)
    context = _kinds(ids, len(begun), Kind.PROMPT, Kind.THOUGHT, tokenizer)
    starts = [text.find(tag) for tag in _QUERY_TAGS.values() if tag in text]
    late = Kind.ACTION if starts else Kind.ANSWER
    start = len(begun) + (min(starts) if starts else _answer_start(text))
    own = _kinds(ids, start, Kind.THOUGHT, late, tokenizer)
    kinds = tuple(c if c is Kind.PROMPT else o for c, o in zip(context, own, strict=True))
    if ends:
        ids, kinds = (*ids, end_of_turn(tokenizer)), (*kinds, Kind.ANSWER)
    return _join([*pieces, Encoded(ids, kinds)])


def _ids(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids without the special tokens that a tokenizer adds: templates write their own."""
    return tuple(tokenizer(text, add_special_tokens=False).input_ids) if text else ()
