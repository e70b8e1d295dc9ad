"""Trajectories as token ids with the kind of each token, cut where a sampler cuts.

A trajectory is encoded piece by piece, never as one string: while it is sampled, every completion
and every observation is appended as tokens of its own, and 48 of 48 measured rollouts tokenise
differently as one string. Loss masks follow from kinds, so what is trained is decided here alone.
"""

import difflib
from collections.abc import Iterable, Sequence, Set
from enum import IntEnum
from math import nan

from msgspec import Struct

from agent_model import dialects
from agent_model.data.pairs import Pair
from autocoa_bench.engines.tokenizer import (
    Tokenizer,
    decode,
    end_ids,
    prompt_ids,
    prompt_text,
    split_observation,
)
from autocoa_bench.engines.tokenizer import encode as encode_text
from autocoa_bench.episode.trajectory import turns_of_steps
from autocoa_bench.errors import UserError
from autocoa_bench.types import Prompt, Step, Trajectory

_QUERY_TAGS: dict[str, str] = {
    solver.name: solver.query_tags[0]
    for solver in (getattr(dialects, name) for name in dialects.__all__)
    if hasattr(solver, "name")  # not a base class
}
_ANSWER_OPENINGS = ("\\boxed", "<answer>")


class Kind(IntEnum):
    """The author and role of a token.

    PROMPT and OBSERVATION come from the environment, all others from the model. SIMULATED is what
    the model wrote as search results, in the place of an observation. CONTEXT is what a row of
    `encode_sampled` only reads.
    """

    PROMPT = 0
    THOUGHT = 1
    ACTION = 2
    OBSERVATION = 3
    ANSWER = 4
    SIMULATED = 5
    CONTEXT = 6


_OBSERVED = frozenset({Kind.OBSERVATION, Kind.SIMULATED})


class Encoded(Struct, frozen=True):
    """Token ids (T,) and the kind of each (T,).

    `logps` (T,) are the log-probabilities with which the tokens were sampled, NaN where they are
    unknown; empty if all are.
    """

    ids: tuple[int, ...]
    kinds: tuple[Kind, ...]
    logps: tuple[float, ...] = ()


class MaskLeak(UserError):
    """A token that a stage excludes would enter its loss."""


def encode(trajectory: Trajectory, tokenizer: Tokenizer) -> Encoded:
    """The tokens of a trajectory: the prompt, then each step's sampled text and its observation.

    A step's own `token_ids` are used if they spell its text; other text is tokenised by itself.
    An answer that stopped by itself is followed by the end of turn, sampled or not; a search only
    where that is a part of its text. Raises UserError for a search of a solver whose tags are
    unknown; a trajectory without searches, such as a judge's verdict, needs none.
    """
    tag = _query_tag(trajectory)
    end = end_ids(tokenizer)
    pieces = []
    for step in trajectory.steps:
        own = _step_piece(step, tag, tokenizer)
        ended = step.kind == "answer" and not step.forced and step.stop_reason == "stop"
        if ended and not (own.ids and own.ids[-1] in end):
            own = _join([own, Encoded(end[:1], (Kind.ANSWER,))])
        pieces.append(own)
    return _row(trajectory, pieces, tokenizer)


def encode_sampled(trajectory: Trajectory, tokenizer: Tokenizer) -> tuple[Encoded, ...]:
    """The tokens of a trajectory exactly as they were sampled, in one or more rows.

    Every sampled token has its kind (THOUGHT, ACTION, ANSWER) in one row alone, after the tokens
    that it was sampled after. The first row is the whole episode. Where that went on with other
    tokens than the sampled ones (a text that was cut, an end of turn that was dropped), those that
    nobody sampled are CONTEXT, and one more row ends in what was sampled instead, after the prompt
    of that completion as CONTEXT. Steps without `sampled_ids` are encoded as by `encode`, with no
    end of turn that was not sampled. Raises UserError, as `encode` does.
    """
    tag = _query_tag(trajectory)
    pieces, branches = [], []
    for number, step in enumerate(trajectory.steps):
        shown = _step_piece(step, tag, tokenizer)
        if step.sampled_ids is None:
            pieces.append(_with_logps(shown, step.logps))
            continue
        ids = step.sampled_ids
        kinds = _kinds(ids, *_boundary(step, tag), tokenizer)
        sampled = _with_logps(Encoded(ids, kinds), step.logps)
        if number == len(trajectory.steps) - 1 and not step.observation:
            pieces.append(sampled)  # nothing was read after it
            continue
        pairs = zip(shown.ids, ids, strict=False)
        shared = next(
            (i for i, (a, b) in enumerate(pairs) if a != b), min(len(shown.ids), len(ids))
        )
        pieces.append(_join([_part(sampled, 0, shared), _as_context(shown.ids[shared:])]))
        if shared < len(ids):
            turns = turns_of_steps(trajectory.steps[:number])
            prompt = Prompt(trajectory.opening, turns, trajectory.prefill)
            context = (*prompt_ids(prompt, tokenizer), *ids[:shared])
            branches.append(_join([_as_context(context), _part(sampled, shared, len(ids))]))
    return _row(trajectory, pieces, tokenizer), *branches


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


def end_of_turn(tokenizer: Tokenizer) -> int:
    """The id that ends a turn in training: the one that the chat template writes, or the eos."""
    return end_ids(tokenizer)[0]


def retokenisation_drift(trajectory: Trajectory, tokenizer: Tokenizer) -> tuple[int, int]:
    """The number of tokens that would differ if the whole text were tokenised at once, and the
    number of all tokens."""
    pieces = encode(trajectory, tokenizer).ids
    prompt = Prompt(trajectory.opening, turns_of_steps(trajectory.steps), trajectory.prefill)
    ids = encode_text(prompt_text(prompt, tokenizer), tokenizer)
    if pieces and pieces[-1] in end_ids(tokenizer) and pieces[-1] != ids[-1]:
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
    steps = trajectory.steps[_first_written(trajectory) :]
    observed = [(s.observation, s.observation_ids) for s in steps if s.observation]
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
    context = Prompt(pair.opening, pair.turns, pair.prefill)
    text = prompt_text(context, tokenizer)
    for side, used in zip(sides, trained, strict=True):
        count = side.kinds.count(Kind.PROMPT)
        if Kind.PROMPT in side.kinds[count:] or any(used[:count]):
            raise MaskLeak("a token of a pair's context would enter its loss")
        _check_spelling(side, {Kind.PROMPT}, text, [], "a pair's context", tokenizer)


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
    if spelled == expected or spelled == decode(encode_text(expected, tokenizer), tokenizer):
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


def _query_tag(trajectory: Trajectory) -> str:
    """The tag that opens a query of the trajectory's solver. Raises UserError if it is unknown."""
    searches = any(step.kind == "search" and not step.is_retrieval for step in trajectory.steps)
    if searches and trajectory.solver not in _QUERY_TAGS:
        raise UserError(
            f"cannot train on a trajectory of solver '{trajectory.solver}'; training takes "
            f"trajectories of {', '.join(sorted(_QUERY_TAGS))}, whose turn is one text with tags"
        )
    return _QUERY_TAGS.get(trajectory.solver, "")


def _row(trajectory: Trajectory, steps: Sequence[Encoded], tokenizer: Tokenizer) -> Encoded:
    """The whole trajectory, of whose steps the tokens are given."""
    start = _first_written(trajectory)
    pieces = [_prompt_piece(_start(trajectory), tokenizer)]
    # Observations of steps without ids of their own follow one another and form one piece.
    unencoded: list[tuple[str, Sequence[int] | None]] = []
    for step, own in zip(trajectory.steps[start:], steps[start:], strict=True):
        if own.ids:
            pieces += [_observed_piece(unencoded, tokenizer), own]
            unencoded = []
        unencoded.append((step.observation, step.observation_ids))
    return _join([*pieces, _observed_piece(unencoded, tokenizer)])


def _join(pieces: Sequence[Encoded]) -> Encoded:
    logps: Iterable[float] = ()
    if any(piece.logps for piece in pieces):
        logps = (logp for piece in pieces for logp in piece.logps or (nan,) * len(piece.ids))
    return Encoded(
        tuple(token for piece in pieces for token in piece.ids),
        tuple(kind for piece in pieces for kind in piece.kinds),
        tuple(logps),
    )


def _part(encoded: Encoded, start: int, end: int) -> Encoded:
    return Encoded(encoded.ids[start:end], encoded.kinds[start:end], encoded.logps[start:end])


def _as_context(ids: Sequence[int]) -> Encoded:
    return Encoded(tuple(ids), (Kind.CONTEXT,) * len(ids))


def _with_logps(encoded: Encoded, logps: Sequence[float] | None) -> Encoded:
    """Encoded text with the log-probabilities of its tokens, if they are known."""
    known = logps is not None and len(logps) == len(encoded.ids)
    return Encoded(encoded.ids, encoded.kinds, tuple(logps or ())) if known else encoded


def _first_written(trajectory: Trajectory) -> int:
    """The number of steps before the first for which the model wrote anything."""
    written = (bool(s.text or s.token_ids) or s.kind == "answer" for s in trajectory.steps)
    return next((i for i, is_written in enumerate(written) if is_written), len(trajectory.steps))


def _start(trajectory: Trajectory) -> Prompt:
    """A trajectory's prompt up to the first text of the model."""
    silent = trajectory.steps[: _first_written(trajectory)]
    return Prompt(trajectory.opening, turns_of_steps(silent), trajectory.prefill)


def _prompt_piece(prompt: Prompt, tokenizer: Tokenizer) -> Encoded:
    ids = prompt_ids(prompt, tokenizer)
    return Encoded(ids, (Kind.PROMPT,) * len(ids))


def _text_piece(text: str, kind: Kind, tokenizer: Tokenizer) -> Encoded:
    ids = encode_text(text, tokenizer)
    return Encoded(ids, (kind,) * len(ids))


def _observed_piece(
    parts: Sequence[tuple[str, Sequence[int] | None]], tokenizer: Tokenizer
) -> Encoded:
    """The environment's text as one piece, given in parts with the ids of what the model wrote
    itself, if it did; the first of these keep their place."""
    text = "".join(text for text, _ in parts)
    sampled = next((ids for _, ids in parts if ids), None)
    before, own, after = split_observation(text, sampled, tokenizer)
    return _join(
        [
            _text_piece(before, Kind.OBSERVATION, tokenizer),
            Encoded(own, (Kind.SIMULATED,) * len(own)),
            _text_piece(after, Kind.OBSERVATION, tokenizer),
        ]
    )


def _step_piece(step: Step, tag: str, tokenizer: Tokenizer) -> Encoded:
    """A step's text as the episode goes on with it."""
    ids = step.token_ids or ()
    # The end of a turn is text where a message follows it, and stays beside it otherwise.
    without_end = ids[:-1] if ids and ids[-1] in end_ids(tokenizer) else ids
    if not ids or step.text not in (decode(without_end, tokenizer), decode(ids, tokenizer)):
        ids = encode_text(step.text, tokenizer)
    return Encoded(ids, _kinds(ids, *_boundary(step, tag), tokenizer))


def _boundary(step: Step, tag: str) -> tuple[int, Kind, Kind]:
    """The character at which a step's thought ends, and the kinds of the text before and after."""
    if step.kind == "search":
        return step.text.find(tag), Kind.THOUGHT, Kind.ACTION
    if step.kind == "answer":
        return (0 if step.forced else _answer_start(step.text)), Kind.THOUGHT, Kind.ANSWER
    return len(step.text), Kind.THOUGHT, Kind.THOUGHT


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
    ids = encode_text(begun + text, tokenizer)
    count = _kinds(ids, len(begun), Kind.PROMPT, Kind.THOUGHT, tokenizer).count(Kind.PROMPT)
    return decode(ids[:count], tokenizer) == begun


def _encode_side(
    pair: Pair, begun: str, text: str, ends: bool, joined: bool, tokenizer: Tokenizer
) -> Encoded:
    """One side of a pair; `joined`: its text is encoded in one piece with `begun`."""
    earlier = pair.turns[:-1] if begun else pair.turns
    pieces = [_prompt_piece(Prompt(pair.opening, earlier, pair.prefill), tokenizer)]
    if not joined:
        pieces.append(_text_piece(begun, Kind.PROMPT, tokenizer))
        begun = ""
    ids = encode_text(begun + text, tokenizer)
    context = _kinds(ids, len(begun), Kind.PROMPT, Kind.THOUGHT, tokenizer)
    starts = [text.find(tag) for tag in _QUERY_TAGS.values() if tag in text]
    late = Kind.ACTION if starts else Kind.ANSWER
    start = len(begun) + (min(starts) if starts else _answer_start(text))
    own = _kinds(ids, start, Kind.THOUGHT, late, tokenizer)
    kinds = tuple(c if c is Kind.PROMPT else o for c, o in zip(context, own, strict=True))
    if ends:
        ids, kinds = (*ids, end_ids(tokenizer)[0]), (*kinds, Kind.ANSWER)
    return _join([*pieces, Encoded(ids, kinds)])
