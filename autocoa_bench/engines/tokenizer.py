"""Turns with a tokenizer of transformers in this process: training, exports, and its engine.

May be imported without transformers, whose objects come as arguments.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from autocoa_bench.engines import chat_template, tool_turns, turns
from autocoa_bench.errors import UserError
from autocoa_bench.types import Message, ModelTraits, Prompt, ToolTurns

Tokenizer = Any
"""A tokenizer of transformers."""

_PLACEHOLDER = "\u2042"  # stands for an assistant's text when a chat template is rendered
_ANCHOR = "\u2042"  # stands before a text that must get no space of the tokenizer's own

ENDS_OF_TURN = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|return|>", "<|call|>"),
    *("<|end_of_text|>", "<|endoftext|>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "</s>"),
)
"""Texts of the tokens with which well-known models end a turn."""

_adds_space: WeakKeyDictionary[Tokenizer, bool] = WeakKeyDictionary()
_template_ends: WeakKeyDictionary[Tokenizer, tuple[object, int | None]] = WeakKeyDictionary()


def opening_text(opening: Sequence[Message], tokenizer: Tokenizer) -> str:
    """The opening as the chat template renders it, up to the head of the model's turn.

    Raises UserError if there is no template, or if it loses a message in every form that it takes.
    """
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of '{tokenizer.name_or_path}' has no chat template, so no turn can be "
            "opened; use an instruction-tuned model, or put a chat_template.jinja beside it"
        )
    failure = None
    for form in turns.opening_forms(opening):
        try:
            text = chat_template.render(tokenizer, *form, open_turn=True)
        except UserError as error:
            failure = failure or error
            continue
        number = turns.lost_message(text, opening)
        if number is None:
            return text
        failure = failure or lost(f"'{tokenizer.name_or_path}'", opening, number)
    assert failure is not None, "there is always a form"
    raise failure


def with_variables(tokenizer: Tokenizer, variables: Mapping[str, Any]) -> Tokenizer:
    """A copy of the tokenizer whose chat template has these variables; their values are JSON's.

    They are set at the start of the template, so that every rendering has them.
    """
    if not variables or not tokenizer.chat_template:
        return tokenizer
    named = tokenizer.chat_template  # one template, or several by name
    template = named if isinstance(named, str) else tokenizer.get_chat_template()
    assignments = "".join(
        f"{{%- set {name} = {json.dumps(value, ensure_ascii=False)} %}}"
        for name, value in variables.items()
        if name.isidentifier()
    )
    copied = copy.copy(tokenizer)
    # Jinja drops a line break after a block, which must not be the template's own.
    copied.chat_template = f"{assignments}{{{{ '' }}}}{template}"
    return copied


def differ(tokenizer: Tokenizer, other: Tokenizer) -> bool:
    """True if the chat templates of two tokenizers render a message differently, or one refuses."""
    try:
        texts = {opening_text([Message("user", "?")], each) for each in (tokenizer, other)}
    except UserError:
        return True
    return len(texts) > 1


def lost(model: str, opening: Sequence[Message], number: int) -> UserError:
    """The error for a template that loses a message of an opening (its number, from 1)."""
    message = opening[number - 1]
    return UserError(
        f"the chat template of {model} drops text of message {number} ({message.role}) of the "
        f"{len(opening)} that the solver's prompt consists of; choose a solver whose prompt is one "
        "user message, or another template"
    )


def encode_opening(opening: Sequence[Message], tokenizer: Tokenizer) -> tuple[str, tuple[int, ...]]:
    """A rendered opening, and its ids. Raises UserError."""
    text = opening_text(opening, tokenizer)
    return text, ids_of(text, tokenizer)


def encode(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids of a piece of a turn, without special tokens or a space before it that some
    tokenizers add: templates and turns write their own."""
    if not text:
        return ()
    if tokenizer not in _adds_space:
        two = (*ids_of("b", tokenizer), *ids_of("a", tokenizer))
        _adds_space[tokenizer] = decode(two, tokenizer) != "ba"
    if _adds_space[tokenizer]:
        anchor, ids = ids_of(_ANCHOR, tokenizer), ids_of(_ANCHOR + text, tokenizer)
        if ids[: len(anchor)] == anchor:
            return ids[len(anchor) :]
    return ids_of(text, tokenizer)


def encode_piece(piece: turns.Piece, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids of a piece; those that the model sampled itself stay as they are."""
    if piece.is_sampled:
        return piece.ids or encode(piece.text, tokenizer)
    before, own, after = split_observation(piece.text, piece.ids, tokenizer)
    return (*encode(before, tokenizer), *own, *encode(after, tokenizer))


def split_observation(
    text: str, ids: Sequence[int] | None, tokenizer: Tokenizer
) -> tuple[str, tuple[int, ...], str]:
    """The environment's text before the part that the model wrote, the ids of this part, and the
    text after it; all is before it if there is no such part."""
    spelled = decode(ids or (), tokenizer)
    if not (ids and spelled and spelled in text):
        return text, (), ""
    before, after = text.split(spelled, maxsplit=1)
    return before, tuple(ids), after


def prompt_ids(prompt: Prompt, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids of a prompt: the opening's, then those of each piece. Raises UserError."""
    text, ids = encode_opening(prompt.opening, tokenizer)
    return (*ids, *turn_ids(text, prompt, tokenizer))


def turn_ids(opening: str, prompt: Prompt, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids of the turn after a rendered opening."""
    pieces = turns.pieces(opening, prompt)
    return tuple(token for piece in pieces for token in encode_piece(piece, tokenizer))


def prompt_text(prompt: Prompt, tokenizer: Tokenizer) -> str:
    """A prompt as one text, for servers and trainers that take no ids. Raises UserError."""
    text = opening_text(prompt.opening, tokenizer)
    return text + "".join(piece.text for piece in turns.pieces(text, prompt))


def decode(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """The text of ids, special tokens included and spaces left as they are."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)) if ids else ""


def end_ids(tokenizer: Tokenizer, generation_config: Any = None) -> tuple[int, ...]:
    """The ids that end a model's turn; the first is the one that the chat template writes.

    They come from the template, the tokenizer, and the model's generation config if it is given.
    Raises UserError if the tokenizer has no template, or nothing names an end.
    """
    configured = getattr(generation_config, "eos_token_id", None)
    more = configured if isinstance(configured, (list, tuple)) else [configured]
    template, end = _template_ends.get(tokenizer, ("", None))
    if template != tokenizer.chat_template:
        end = _template_end(tokenizer)
        _template_ends[tokenizer] = (tokenizer.chat_template, end)
    ids = [end, tokenizer.eos_token_id, *more]
    ids = list(dict.fromkeys(int(id_) for id_ in ids if id_ is not None))
    if not ids:
        raise UserError(
            f"the tokenizer of '{tokenizer.name_or_path}' names no token that ends a turn; set "
            "eos_token in its tokenizer_config.json"
        )
    return tuple(ids)


def _template_end(tokenizer: Tokenizer) -> int | None:
    """The first special token that the template writes after an assistant's text, if any."""
    opening = [Message("user", "?"), Message("assistant", _PLACEHOLDER)]
    if not tokenizer.chat_template:
        opening_text(opening, tokenizer)  # raises
    special = _special_ids(tokenizer)
    for form in turns.opening_forms(opening):
        try:
            rendered = chat_template.render(tokenizer, *form)
        except UserError:
            continue
        _, _, after = rendered.rpartition(_PLACEHOLDER)
        for id_ in ids_of(after, tokenizer) if _PLACEHOLDER in rendered else ():
            written = decode([id_], tokenizer).strip()
            if id_ in special or written in ENDS_OF_TURN:
                return id_
            if written:
                break
    return None


def traits(tokenizer: Tokenizer, *, tools: bool = False) -> ModelTraits:
    """What an episode must know of a model with this tokenizer, with `tools` also how its template
    writes their results. Raises UserError."""
    text = opening_text([Message("user", "?")], tokenizer)
    special = {tokenizer.convert_ids_to_tokens(id_) for id_ in _special_ids(tokenizer)}
    learned = _tool_turns(tokenizer) if tools else None
    return ModelTraits(turns.opens_thought(text), tuple(sorted(special)), tool_turns=learned)


def _tool_turns(tokenizer: Tokenizer) -> ToolTurns | None:
    probes = tool_turns.learn(ENDS_OF_TURN)
    conversation = next(probes)
    while True:
        try:
            rendered = chat_template.render(tokenizer, *conversation, open_turn=True)
        except UserError:
            rendered = None
        try:
            conversation = probes.send(rendered)
        except StopIteration as end:
            learned: ToolTurns | None = end.value
            return learned


def _special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return frozenset(tokenizer.all_special_ids) | {
        id_ for id_, token in added.items() if token.special
    }


def ids_of(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids of a text, without special tokens that the tokenizer adds."""
    return tuple(tokenizer(text, add_special_tokens=False).input_ids) if text else ()
