"""Trajectories as token ids with the kind of each token, cut where a sampler cuts.

A trajectory is encoded piece by piece, never as one string: while it is made, every completion
and every observation is appended as tokens of its own, and 48 of 48 measured rollouts tokenise
differently as one string. Masks follow from kinds, so what is trained is decided here alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence, Set
from enum import IntEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from agent_model.data.pairs import Pair
from agent_model.dialects.agent import Agent
from agent_model.dialects.r1_searcher import R1Searcher
from agent_model.dialects.search_r1 import SearchR1
from autocoa_bench.errors import UserError
from autocoa_bench.types import Message, Prompt, Step, Trajectory

if TYPE_CHECKING:
    from rich.text import Text

Tokenizer = Any
"""A transformers tokenizer."""

_QUERY_TAGS = {each.name: each.query_tags[0] for each in (Agent, SearchR1, R1Searcher)}
_ANSWER_OPENINGS = ("\\boxed", "<answer>")
_MARK = "\u2042"  # stands for an assistant's text while a chat template is looked at


class Kind(IntEnum):
    """Who a token belongs to: all but PROMPT and OBSERVATION is the model's own, SIMULATED being
    what it wrote as a search's results, in the environment's place."""

    PROMPT = 0
    THOUGHT = 1
    ACTION = 2
    OBSERVATION = 3
    ANSWER = 4
    SIMULATED = 5


_OBSERVED = frozenset({Kind.OBSERVATION, Kind.SIMULATED})


class Encoded(Struct, frozen=True):
    """Token ids, and the kind of each; as many of one as of the other."""

    ids: tuple[int, ...]
    kinds: tuple[Kind, ...]


class RetokenisationDrift(Struct, frozen=True):
    """How piecewise tokens differ from those of the whole text: which of `total` positions."""

    positions: tuple[int, ...]
    total: int

    @property
    def count(self) -> int:
        """How many tokens differ."""
        return len(self.positions)


class MaskLeak(UserError):
    """A token that the stage excludes would enter its loss; nothing may be trained on that."""


def encode(trajectory: Trajectory, tokenizer: Tokenizer, *, ends: bool = True) -> Encoded:
    """A trajectory's tokens: the prompt, then each step's sampled text and the environment's.

    A step's own `token_ids` stand where they spell its text; other text is encoded on its own.
    `ends`: the end of turn follows an answer that ended by itself, sampled or not; else it stands
    where it was sampled alone. An action never has one. Raises UserError for a search of a solver
    whose tags are not known here; without one, as in a judge's verdict, there is no tag to know.
    """
    searches = any(step.kind == "search" for step in trajectory.steps)
    tag = _query_tag(trajectory.solver) if searches else ""
    pieces = [_prompt_piece(trajectory.opening, trajectory.prefill, tokenizer)]
    said: list[Step] = []  # whose observations stand behind one another
    for step in trajectory.steps:
        own = _step_piece(step, tag, ends, tokenizer)
        if own.ids:
            pieces += [_observations(said, tokenizer), own]
            said = []
        said.append(step)
    return _join([*pieces, _observations(said, tokenizer)])


def encode_pair(pair: Pair, tokenizer: Tokenizer) -> tuple[Encoded, Encoded]:
    """Chosen and rejected, each after its context, whose tokens are all PROMPT.

    Where the context ends in the model's own text, that text and its continuation are one piece,
    as they would be sampled; but if a token of either side would hold some of both, both sides are
    cut there, so that they go on from the same tokens.
    """
    begun = pair.turns[-1].text if pair.turns and pair.turns[-1].source == "model" else ""
    texts = (pair.chosen, pair.rejected)
    whole = all(_parts_at(begun, text, tokenizer) for text in texts)
    chosen, rejected = (
        _continued(pair, begun, text, ends, whole, tokenizer)
        for text, ends in zip(texts, pair.ends, strict=True)
    )
    return chosen, rejected


def encode_prompt(prompt: Prompt, tokenizer: Tokenizer) -> tuple[int, ...]:
    """A prompt's ids, cut at the same places as a trajectory's: sampled ids as they are, and what
    the environment says in one piece up to the model's next word."""
    ids = list(_prompt_piece(prompt.opening, prompt.prefill, tokenizer).ids)
    for source, turns in groupby(prompt.turns, key=lambda turn: turn.source):
        if source == "environment":
            said = list(turns)
            written = next((turn.token_ids for turn in said if turn.token_ids), None)
            ids += _observed("".join(turn.text for turn in said), written, tokenizer).ids
        else:
            for turn in turns:
                ids += turn.token_ids or _ids(turn.text, tokenizer)
    return tuple(ids)


def retokenisation_drift(trajectory: Trajectory, tokenizer: Tokenizer) -> RetokenisationDrift:
    """Which tokens would be others if the whole text were encoded at once."""
    pieces = encode(trajectory, tokenizer).ids
    text = _prompt_text(trajectory.opening, trajectory.prefill, tokenizer)
    text += "".join(step.text + step.observation for step in trajectory.steps)
    whole = _ids(text, tokenizer)
    if pieces and pieces[-1] == end_of_turn(tokenizer) != whole[-1]:
        whole.append(pieces[-1])
    matcher = difflib.SequenceMatcher(None, pieces, whole, autojunk=False)
    same = {i for a, _, n in matcher.get_matching_blocks() for i in range(a, a + n)}
    return RetokenisationDrift(tuple(i for i in range(len(pieces)) if i not in same), len(pieces))


def audit(
    encoded: Encoded,
    trained: Sequence[bool],
    trains: frozenset[Kind],
    trajectory: Trajectory,
    tokenizer: Tokenizer,
) -> None:
    """Check that exactly tokens of the kinds in `trains` are trained, and that the tokens called
    OBSERVATION or SIMULATED spell the environment's text and nothing else.

    `trained` says of each token whether it enters the loss. Raises MaskLeak.
    """
    for position, (kind, used) in enumerate(zip(encoded.kinds, trained, strict=True)):
        if used and kind not in trains:
            raise MaskLeak(
                f"token {position} of a trajectory is of kind {kind.name.lower()} and would enter "
                f"a loss over {', '.join(sorted(each.name.lower() for each in trains))}"
            )
    observed = [step for step in trajectory.steps if step.observation]
    pieces = (_observed(each.observation, each.observation_ids, tokenizer) for each in observed)
    written = "".join(step.observation for step in observed)
    _check_spelling(encoded, _OBSERVED, written, pieces, "an observation", tokenizer)


def audit_pair(
    sides: tuple[Encoded, Encoded],
    trained: tuple[Sequence[bool], Sequence[bool]],
    pair: Pair,
    tokenizer: Tokenizer,
) -> None:
    """Check that on both sides the tokens called PROMPT come first, spell the pair's context and
    nothing else, and are not trained. Raises MaskLeak."""
    opening = _prompt_text(pair.opening, pair.prefill, tokenizer)
    parts = [opening, *(turn.text for turn in pair.turns)]
    for side, used in zip(sides, trained, strict=True):
        count = side.kinds.count(Kind.PROMPT)
        if Kind.PROMPT in side.kinds[count:] or any(used[:count]):
            raise MaskLeak("a token of a pair's context would enter its loss")
        pieces = (_plain(part, Kind.PROMPT, tokenizer) for part in parts)
        _check_spelling(side, {Kind.PROMPT}, "".join(parts), pieces, "a pair's context", tokenizer)


def _check_spelling(
    encoded: Encoded,
    kinds: Set[Kind],
    written: str,
    pieces: Iterable[_Piece],
    what: str,
    tokenizer: Tokenizer,
) -> None:
    """`pieces` are encoded only where the text alone does not decide."""
    pairs = zip(encoded.ids, encoded.kinds, strict=True)
    ids = tuple(token for token, each in pairs if each in kinds)
    spelled = _decode(ids, tokenizer)
    if spelled == written:
        return
    if spelled == _decode(_ids(written, tokenizer), tokenizer):
        return  # a tokenizer that loses spaces, or words that it does not know
    if spelled.split() == written.split() and ids == _join(list(pieces)).ids:
        return  # a tokenizer that begins every text with a space
    at = next(
        (i for i, (a, b) in enumerate(zip(spelled, written, strict=False)) if a != b),
        min(len(spelled), len(written)),
    )
    raise MaskLeak(
        f"the tokens of {what} spell {spelled[at : at + 40]!r} where {written[at : at + 40]!r} is "
        "written; no mask over them would be right"
    )


def coloured_tokens(encoded: Encoded, tokenizer: Tokenizer, trains: frozenset[Kind]) -> Text:
    """A trajectory's text for a terminal: coloured by kind, trained tokens underlined."""
    from rich.text import Text

    colours = {
        Kind.PROMPT: "dim",
        Kind.THOUGHT: "cyan",
        Kind.ACTION: "yellow",
        Kind.OBSERVATION: "magenta",
        Kind.ANSWER: "green",
        Kind.SIMULATED: "blue",
    }
    text = Text()
    start = 0
    for end in range(1, len(encoded.ids) + 1):
        if end < len(encoded.ids) and encoded.kinds[end] is encoded.kinds[start]:
            continue
        kind = encoded.kinds[start]
        style = colours[kind] + (" underline" if kind in trains else "")
        text.append(_decode(encoded.ids[start:end], tokenizer), style)
        start = end
    return text


def end_of_turn(tokenizer: Tokenizer) -> int:
    """The id that the chat template puts after an assistant's text; else the tokenizer's eos.

    Raises UserError where there is no template."""
    _check_template(tokenizer)
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARK}]
    after = tokenizer.apply_chat_template(turns, tokenize=False).rpartition(_MARK)[2]
    first = _ids(after, tokenizer)[:1]
    special = set(tokenizer.all_special_ids)
    return int(first[0] if first and first[0] in special else tokenizer.eos_token_id)


class _Piece(Struct, frozen=True):
    ids: Sequence[int]
    kinds: Sequence[Kind]


def _join(pieces: Sequence[_Piece]) -> Encoded:
    return Encoded(
        tuple(token for piece in pieces for token in piece.ids),
        tuple(kind for piece in pieces for kind in piece.kinds),
    )


def _check_template(tokenizer: Tokenizer) -> None:
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of '{tokenizer.name_or_path}' has no chat template, so no turn can be "
            "opened; take an instruction-tuned model, or put a chat_template.jinja beside it"
        )


def _prompt_text(opening: Sequence[Message], prefill: str, tokenizer: Tokenizer) -> str:
    _check_template(tokenizer)
    messages = [{"role": each.role, "content": each.content} for each in opening]
    rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return str(rendered) + prefill


def _prompt_piece(opening: Sequence[Message], prefill: str, tokenizer: Tokenizer) -> _Piece:
    return _plain(_prompt_text(opening, prefill, tokenizer), Kind.PROMPT, tokenizer)


def _plain(text: str, kind: Kind, tokenizer: Tokenizer) -> _Piece:
    ids = _ids(text, tokenizer)
    return _Piece(ids, [kind] * len(ids))


def _observed(text: str, written: Sequence[int] | None, tokenizer: Tokenizer) -> _Piece:
    """The environment's text, in which what the model wrote keeps the ids that it sampled."""
    spelled = _decode(written or (), tokenizer)
    if not (written and spelled and spelled in text):
        return _plain(text, Kind.OBSERVATION, tokenizer)
    before, after = (
        _plain(part, Kind.OBSERVATION, tokenizer) for part in text.split(spelled, maxsplit=1)
    )
    kinds = [Kind.SIMULATED] * len(written)
    return _Piece([*before.ids, *written, *after.ids], [*before.kinds, *kinds, *after.kinds])


def _observations(steps: Sequence[Step], tokenizer: Tokenizer) -> _Piece:
    """What the environment says in one piece, as `encode_prompt` has it."""
    written = next((step.observation_ids for step in steps if step.observation_ids), None)
    return _observed("".join(step.observation for step in steps), written, tokenizer)


def _step_piece(step: Step, tag: str, ends: bool, tokenizer: Tokenizer) -> _Piece:
    end = end_of_turn(tokenizer)
    ids = _step_ids(step, end, tokenizer)
    boundary, late = _parts(step, tag)
    kinds = _split(ids, boundary, Kind.THOUGHT, late, tokenizer)
    ended = step.kind == "answer" and not step.forced and step.stop_reason == "stop"
    if ends and ended and ids[-1:] != [end]:
        ids, kinds = [*ids, end], [*kinds, Kind.ANSWER]
    return _Piece(ids, kinds)


def _step_ids(step: Step, end: int, tokenizer: Tokenizer) -> list[int]:
    """The sampled ids of a step where they spell its text, else its text's."""
    if step.token_ids:
        ids = list(step.token_ids)
        spelling = ids[:-1] if ids[-1] == end else ids
        if _decode(spelling, tokenizer) == step.text:
            return ids
    return _ids(step.text, tokenizer)


def _parts(step: Step, tag: str) -> tuple[int, Kind]:
    """Where in a step's text the thought ends, and what follows it."""
    if step.kind == "search":
        return step.text.find(tag), Kind.ACTION
    if step.kind == "answer":
        return (0 if step.forced else _answer_start(step.text)), Kind.ANSWER
    return len(step.text), Kind.THOUGHT


def _answer_start(text: str) -> int:
    """The end of `</think>`; where there is none, the last opening of an answer."""
    closed = text.rfind("</think>")
    if closed >= 0:
        return closed + len("</think>")
    start = max(text.rfind(opening) for opening in _ANSWER_OPENINGS)
    return start if start >= 0 else len(text)


def _split(
    ids: Sequence[int], boundary: int, early: Kind, late: Kind, tokenizer: Tokenizer
) -> list[Kind]:
    """Kinds of the ids of a text: `late` from the token that holds the character `boundary` on."""
    low, high = 0, len(ids)  # the first token whose text reaches beyond the boundary
    while low < high:
        middle = (low + high) // 2
        if len(_decode(ids[: middle + 1], tokenizer)) > boundary:
            high = middle
        else:
            low = middle + 1
    return [early] * low + [late] * (len(ids) - low)


def _parts_at(begun: str, text: str, tokenizer: Tokenizer) -> bool:
    """Whether a text and what goes on from it, encoded as one, part between two tokens."""
    ids = _ids(begun + text, tokenizer)
    given = _split(ids, len(begun), Kind.PROMPT, Kind.THOUGHT, tokenizer).count(Kind.PROMPT)
    return _decode(ids[:given], tokenizer) == begun


def _continued(
    pair: Pair, begun: str, text: str, ends: bool, whole: bool, tokenizer: Tokenizer
) -> Encoded:
    pieces = [_prompt_piece(pair.opening, pair.prefill, tokenizer)]
    earlier = pair.turns[:-1] if begun else pair.turns
    pieces += (_plain(turn.text, Kind.PROMPT, tokenizer) for turn in earlier)
    if not whole:
        pieces.append(_plain(begun, Kind.PROMPT, tokenizer))
        begun = ""
    ids = _ids(begun + text, tokenizer)
    given = _split(ids, len(begun), Kind.PROMPT, Kind.THOUGHT, tokenizer)
    starts = [text.find(tag) for tag in _QUERY_TAGS.values() if tag in text]
    late = Kind.ACTION if starts else Kind.ANSWER
    start = len(begun) + (min(starts) if starts else _answer_start(text))
    own = _split(ids, start, Kind.THOUGHT, late, tokenizer)
    kinds = [g if g is Kind.PROMPT else o for g, o in zip(given, own, strict=True)]
    if ends:
        ids, kinds = [*ids, end_of_turn(tokenizer)], [*kinds, Kind.ANSWER]
    return _join([*pieces, _Piece(ids, kinds)])


def _ids(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ids without the special tokens that a tokenizer adds: templates write theirs themselves."""
    return list(tokenizer(text, add_special_tokens=False).input_ids) if text else []


def _decode(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)) if ids else ""


def _query_tag(solver: str) -> str:
    if solver not in _QUERY_TAGS:
        raise UserError(
            f"a trajectory of solver '{solver}' cannot be trained on; training takes trajectories "
            f"of {', '.join(sorted(_QUERY_TAGS))}, whose turn is one text with tags"
        )
    return _QUERY_TAGS[solver]
