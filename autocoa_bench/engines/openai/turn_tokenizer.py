"""The tokenizers of model servers: an opening is rendered, a turn becomes ids, and ids text again.

vLLM, SGLang and llama.cpp have endpoints for this; any other server that completes prompts needs
the model's tokenizer here. Ids are kept as the JSON that goes into requests.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from autocoa_bench.engines import tokenizer as local
from autocoa_bench.engines import tool_turns, turns
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.types import Completion, Message, ModelTraits, Prompt, ToolTurns
from autocoa_bench.util.http_client import StatusError

T = TypeVar("T")


class Call(Protocol):
    """Posts a body to a path and returns a field of the reply.

    Raises StatusError for a refusal; `once` asks only once more if there is no proper reply, and
    raises EngineFault then.
    """

    async def __call__(
        self, path: str, body: object, field: str, field_type: type[T], *, once: bool = False
    ) -> T:
        """The field of the reply."""


PROBE_OPENING = (Message("user", "Hi"),)
PROBE_TURN = (
    "\n <think>\n Où? 東京 — naïve 😀 </think>\n\n<begin_search> one  two </end_search>\n"
    "<search_result>\n1. x\n</search_result> \\boxed{z} \n"
)
"""A turn with thoughts, tags, white space around it, and text beyond ASCII."""
_TAGS = ("<think>", "</think>", "<begin_search>", "</end_search>")

_OPENINGS, _TEXTS = 1024, 4096  # entries of the caches
_ANCHOR = "\u2042"  # stands before a text that must get no space of the tokenizer's own

_TOKEN_SHAPE = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Z_]{2,30}\]")
_DEEPSEEK_TOOLS = tuple(
    f"<\uff5ctool\u2581{name}\uff5c>"
    for name in (
        *("calls\u2581begin", "calls\u2581end", "call\u2581begin", "call\u2581end", "sep"),
        *("outputs\u2581begin", "outputs\u2581end", "output\u2581begin", "output\u2581end"),
    )
)
_SPECIAL_TEXTS = (
    *local.ENDS_OF_TURN,
    *("<|im_start|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<start_of_turn>", "<bos>", "<eos>", "<pad>", "<unk>", "<s>", "[INST]", "[/INST]"),
    *("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[TOOL_RESULTS]"),
    *("[THINK]", "[/THINK]", "<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"),
    *("<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<|start|>", "<|end|>", "<|channel|>"),
    *("<|message|>", "<|constrain|>", "<|startoftext|>", "<|user|>", "<|assistant|>", "<|system|>"),
    *("<|observation|>", "<|python_tag|>", "[gMASK]", "<sop>", "<|im_user|>", "<|im_assistant|>"),
    *("<|im_system|>", "<|im_middle|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<tool_call>", "</tool_call>"),
    *("<tool_response>", "</tool_response>", "<think>", "</think>", "<|begin_of_query|>"),
    *("<|end_of_query|>", "<|begin_of_documents|>", "<|end_of_documents|>", "<search>"),
    *("[ARGS]", "[CALL_ID]", *_DEEPSEEK_TOOLS),
    *("</search>", "<information>", "</information>", "<begin_search>", "</end_search>"),
    *("<search_result>", "</search_result>", "<answer>", "</answer>"),
)
"""Texts that are special tokens of some models, by which servers are asked for theirs."""


class Changed(Exception):
    """A server's tokenizer returns another text than it received."""


Rendering = str | list[int]
"""A rendered opening: its text, or its ids."""


UNUSABLE = (StatusError, EngineFault, UserError, Changed)
"""What a server, or a proxy before it, may answer at an endpoint that it does not have."""


class TurnTokenizer(ABC):
    """A tokenizer with a chat template, behind the endpoints of a server or in this process.

    `start` comes first; `traits` and `specials` (ids of special tokens by their text) are known
    after it.
    """

    sends_ids = True
    """False for a server that takes prompts only as text."""
    mixes = False
    """True for a server that takes texts between the ids of a prompt."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        """`variables` are those that the chat template is rendered with."""
        self.variables = variables
        self.traits = ModelTraits()
        self.specials: dict[str, int] = {}
        self._tail = ""
        self._adds_space = False
        self._openings: dict[tuple[Message, ...], bytes] = {}
        self._forms: dict[tuple[str, ...], int] = {}  # by the roles of an opening
        self._texts: dict[str, bytes] = {}
        self._last_texts: dict[int, str] = {}

    async def start(self) -> None:
        """Learn the traits of the model, and check that a turn comes back as it was sent.

        Raises Changed if it does not, and whatever requests raise.
        """
        await self.prompt(Prompt(PROBE_OPENING))
        ids = await self.ids(PROBE_TURN)
        text = await self.text(ids)
        lossy = text.count("\n") == PROBE_TURN.count("\n") and all(tag in text for tag in _TAGS)
        # Some tokenizers have no unknown words or several spaces; these must at least be stable.
        if text != PROBE_TURN and not (lossy and await self.ids(text) == ids):
            raise Changed(f"a turn of {PROBE_TURN!r} comes back as {text[:200]!r}")
        two = [*await self.ids("b"), *await self.ids("a")]
        self._adds_space = await self.text(two) != "ba"
        candidates = [*_SPECIAL_TEXTS, *_TOKEN_SHAPE.findall(self._tail), *await self.added()]
        self.specials = await self.single_tokens(list(dict.fromkeys(candidates)))
        self.traits = ModelTraits(turns.opens_thought(self._tail), tuple(sorted(self.specials)))

    async def prompt(self, prompt: Prompt) -> msgspec.Raw:
        """A prompt as the JSON that a request contains: ids, or for `mixes` texts and ids.

        Raises UserError for an opening that the chat template does not render whole.
        """
        opening = self._openings.get(prompt.opening)
        if opening is None:
            # All requests of an episode share their opening, so it is rendered once.
            opening = await self._opening(prompt.opening)
            _keep(self._openings, prompt.opening, opening, _OPENINGS)
        parts = [opening]
        for number, piece in enumerate(turns.pieces(self._tail, prompt)):
            if piece.is_sampled and piece.ids:
                parts.append(msgspec.json.encode(piece.ids)[1:-1])
            elif self.mixes and number and not (piece.is_sampled or self._adds_space):
                # Two texts in a row would be two prompts; before this one there are ids.
                parts.append(msgspec.json.encode(piece.text))
            else:
                parts.append(await self._encoded(piece.text))
        parts = [part for part in parts if part]
        if len(parts) == 1 and parts[0].startswith(b'"'):
            return msgspec.Raw(parts[0])
        return msgspec.Raw(b"[%b]" % b",".join(parts))

    async def exact(self, completion: Completion, stops: Sequence[str]) -> Completion:
        """A completion whose text has its special tokens, and whose ids spell its text.

        The last sampled token may go beyond a stop string, or end within a character.
        """
        ids, ended = completion.token_ids, completion.ends_turn
        if not ids:
            return completion
        spelled, end = (ids[:-1], ids[-1:]) if ended else (ids, ())
        hidden = any(token in spelled for token in self.hidden)
        sampled = completion.sampled_text
        if ended:
            text = await self._text_of(ids[-1])
            if text and sampled.endswith(text):
                # The server has left the end of the turn out, so that a search's ids cannot be told
                # from an answer's.
                return msgspec.structs.replace(completion, token_ids=None)
            completion = msgspec.structs.replace(completion, end=text)
        if not spelled or not (hidden or await self._may_differ(spelled[-1], sampled)):
            return completion
        whole = await self.text(spelled)
        if hidden:
            first = turns.first_stop(whole, stops)
            if first in self.specials:
                spelled, end = spelled[: spelled.index(self.specials[first]) + 1], ()
                whole = await self.text(spelled)
            sampled = whole[: whole.find(first) + len(first)] if first else whole
            text = sampled.removesuffix(first or "")
            reason = "stop" if first else completion.stop_reason
            completion = msgspec.structs.replace(
                completion, text=text, stop_string=first, stop_reason=reason
            )
        if whole == sampled:
            return msgspec.structs.replace(completion, token_ids=(*spelled, *end))
        before = await self.text(spelled[:-1])
        rest = sampled.removeprefix(before)
        exact = (*spelled[:-1], *await self.ids(rest), *end) if before + rest == sampled else None
        return msgspec.structs.replace(completion, token_ids=exact)

    @property
    def hidden(self) -> Iterable[int]:
        """Ids of special tokens that the server leaves out of its texts."""
        return ()

    async def tool_turns(self) -> ToolTurns | None:
        """How the chat template writes the results of tools, where it shows that."""
        probes = tool_turns.learn(local.ENDS_OF_TURN)
        conversation = next(probes)
        while True:
            try:
                messages, tools = conversation
                rendering = await self.render(messages, self.variables, tools)
                rendered: str | None = await self._rendered(rendering)
            except (StatusError, EngineFault, UserError):
                rendered = None
            try:
                conversation = probes.send(rendered)
            except StopIteration as end:
                learned: ToolTurns | None = end.value
                return learned

    async def _rendered(self, rendering: Rendering) -> str:
        return rendering if isinstance(rendering, str) else await self.text(rendering)

    @abstractmethod
    async def render(
        self,
        messages: list[dict[str, Any]],
        variables: Mapping[str, Any],
        tools: list[dict[str, Any]] | None = None,
    ) -> Rendering:
        """Messages as the chat template renders them with these variables and tools.

        Raises StatusError, EngineFault or UserError.
        """

    @abstractmethod
    async def ids(self, text: str) -> list[int]:
        """The ids of a text, without tokens that the tokenizer adds."""

    @abstractmethod
    async def text(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""

    @abstractmethod
    async def single_tokens(self, texts: Sequence[str]) -> dict[str, int]:
        """Those of the texts that are one token each, with their ids."""

    async def added(self) -> Sequence[str]:
        """Texts of tokens that were added to the model's tokenizer, where it names them."""
        return ()

    async def _opening(self, opening: tuple[Message, ...]) -> bytes:
        """The JSON of a rendered opening: ids without brackets, or a string.

        The first opening with the same roles decides on the form of the messages.
        """
        roles = tuple(message.role for message in opening)
        forms = list(turns.opening_forms(opening))
        failure: Exception | None = None
        if roles in self._forms:
            form = forms[self._forms[roles]]
            return _json(await self.render(form.messages, self.variables, form.tools))
        for number, form in enumerate(forms):
            try:
                rendering = await self.render(form.messages, self.variables, form.tools)
                text = await self._rendered(rendering)
                missing = await self._missing(text, opening)
            except (StatusError, EngineFault, UserError) as error:
                failure = failure or error
                continue
            if missing is None:
                self._forms[roles], self._tail = number, text
                return _json(rendering)
            failure = failure or local.lost("the server's model", opening, missing)
        assert failure is not None, "there is always a form"
        raise failure

    async def _missing(self, text: str, opening: tuple[Message, ...]) -> int | None:
        """The number of a message that a rendered opening lacks."""
        if turns.lost_message(text, opening) is None:
            return None
        # Some tokenizers lose unknown words, whatever the template does.
        known = [
            msgspec.structs.replace(
                message, content=await self.text(await self.ids(message.content))
            )
            for message in opening
        ]
        return turns.lost_message(text, known)

    async def _encoded(self, text: str) -> bytes:
        """The JSON of the ids of a piece of a turn, without brackets."""
        encoded = self._texts.get(text)
        if encoded is None:
            ids = await self.ids(f"{_ANCHOR}{text}" if self._adds_space else text)
            if self._adds_space:
                anchor = await self._anchor_ids()
                plain = ids[: len(anchor)] != anchor
                ids = await self.ids(text) if plain else ids[len(anchor) :]
            encoded = msgspec.json.encode(ids)[1:-1]
            _keep(self._texts, text, encoded, _TEXTS)
        return encoded

    async def _anchor_ids(self) -> list[int]:
        encoded = self._texts.get(_ANCHOR)
        if encoded is None:
            encoded = msgspec.json.encode(await self.ids(_ANCHOR))
            _keep(self._texts, _ANCHOR, encoded, _TEXTS)
        return msgspec.json.decode(encoded, type=list[int])

    async def _text_of(self, last: int) -> str:
        """The text of a token at the end of a completion; few tokens stand there."""
        text = self._last_texts.get(last)
        if text is None:
            text = self._last_texts[last] = await self.text([last])
        return text

    async def _may_differ(self, last: int, sampled: str) -> bool:
        """False if it is certain that ids with this last one spell the sampled text."""
        text = await self._text_of(last)
        repeats = len(text) > 1 and len(set(text)) == 1
        return repeats or "\ufffd" in text or not sampled.endswith(text)


def prompt_length(prompt: msgspec.Raw) -> int | None:
    """The number of ids of a prompt, None if it has text."""
    parts = msgspec.json.decode(prompt)
    return len(parts) if isinstance(parts, list) and all(type(p) is int for p in parts) else None


def _json(rendering: Rendering) -> bytes:
    encoded = msgspec.json.encode(rendering)
    return encoded if isinstance(rendering, str) else encoded[1:-1]


def _keep(cache: dict[Any, bytes], key: object, value: bytes, most: int) -> None:
    """Add an entry to a cache, from which the oldest goes if it is full."""
    while len(cache) >= most:
        del cache[next(iter(cache))]
    cache[key] = value
