"""The tokenizers of vLLM, SGLang and llama.cpp, and one in this process for other servers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from autocoa_bench.engines import chat_template
from autocoa_bench.engines import tokenizer as local
from autocoa_bench.engines.openai.turn_tokenizer import (
    PROBE_OPENING,
    Call,
    Rendering,
    TurnTokenizer,
)
from autocoa_bench.engines.request_options import TEMPLATE_VARIABLES
from autocoa_bench.errors import EngineFault
from autocoa_bench.types import Prompt
from autocoa_bench.util.http_client import StatusError


class LlamaCppTokenizer(TurnTokenizer):
    """llama.cpp renders openings as text, and reads texts and ids in one prompt."""

    mixes = True

    def __init__(self, call: Call, variables: Mapping[str, Any]) -> None:
        super().__init__(variables)
        self._call = call

    async def render(
        self,
        messages: list[dict[str, Any]],
        variables: Mapping[str, Any],
        tools: list[dict[str, Any]] | None = None,
    ) -> Rendering:
        body = {"messages": messages, **_template_fields(variables, tools)}
        return await self._call("/apply-template", body, "prompt", str, once=True)

    async def ids(self, text: str) -> list[int]:
        return await self._call("/tokenize", {"content": text}, "tokens", list[int])

    async def text(self, ids: Sequence[int]) -> str:
        return await self._call("/detokenize", {"tokens": ids}, "content", str)

    async def single_tokens(self, texts: Sequence[str]) -> dict[str, int]:
        body = {"content": "\n".join(texts), "with_pieces": True}
        try:
            tokens = await self._call("/tokenize", body, "tokens", list[_Piece], once=True)
        except EngineFault:  # a server that does not know pieces
            return {}
        names = frozenset(texts)
        return {str(t.piece): t.id for t in tokens if isinstance(t.piece, str) and t.piece in names}

    @property
    def hidden(self) -> Iterable[int]:
        return self.specials.values()


class VLLMTokenizer(TurnTokenizer):
    """vLLM's /tokenize, which takes messages or a text, and /detokenize."""

    text_field = "prompt"

    def __init__(self, call: Call, model: str, variables: Mapping[str, Any]) -> None:
        super().__init__(variables)
        self._call = call
        self._model = model

    async def render(
        self,
        messages: list[dict[str, Any]],
        variables: Mapping[str, Any],
        tools: list[dict[str, Any]] | None = None,
    ) -> Rendering:
        body = {
            "model": self._model,
            "messages": messages,
            "add_generation_prompt": True,
            "add_special_tokens": False,
            **_template_fields(variables, tools),
        }
        return await self._call("/tokenize", body, "tokens", list[int], once=True)

    async def ids(self, text: str) -> list[int]:
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        return await self._call("/tokenize", body, "tokens", list[int])

    async def text(self, ids: Sequence[int]) -> str:
        body = {"model": self._model, "tokens": ids, "skip_special_tokens": False}
        return await self._call("/detokenize", body, self.text_field, str)

    async def single_tokens(self, texts: Sequence[str]) -> dict[str, int]:
        text = "\n".join(texts)
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        body["return_token_strs"] = True
        try:
            reply = await self._call("/tokenize", body, "", _TokenStrings, once=True)
        except EngineFault:  # a server that does not name tokens
            return {}
        names = frozenset(texts)
        pairs = zip(reply.token_strs, reply.tokens, strict=False)
        return {token: id_ for token, id_ in pairs if token in names}

    async def added(self) -> Sequence[str]:
        # Only servers with --enable-tokenizer-info-endpoint have it.
        try:
            decoder = await self._call(
                "/tokenizer_info", None, "added_tokens_decoder", dict[str, Any], once=True
            )
        except (StatusError, EngineFault):
            return ()
        return [text for text in decoder.values() if isinstance(text, str)]


class SGLangTokenizer(VLLMTokenizer):
    """SGLang's /tokenize and /detokenize; versions whose /tokenize takes no messages name the ids
    of a chat's prompt instead."""

    text_field = "text"
    _by_chat = False

    async def render(
        self,
        messages: list[dict[str, Any]],
        variables: Mapping[str, Any],
        tools: list[dict[str, Any]] | None = None,
    ) -> Rendering:
        if not self._by_chat:
            try:
                return await super().render(messages, variables, tools)
            except (StatusError, EngineFault) as error:
                try:
                    ids = await self._chat_ids(messages, variables, tools)
                except (StatusError, EngineFault):
                    raise error from None
                self._by_chat = True
                return ids
        return await self._chat_ids(messages, variables, tools)

    async def _chat_ids(
        self,
        messages: list[dict[str, Any]],
        variables: Mapping[str, Any],
        tools: list[dict[str, Any]] | None,
    ) -> list[int]:
        body = {
            "model": self._model,
            "messages": messages,
            "max_tokens": 1,
            "return_prompt_token_ids": True,
            **_template_fields(variables, tools),
        }
        path = "/v1/chat/completions"
        choices = await self._call(path, body, "choices", list[_ChatChoice], once=True)
        return choices[0].prompt_token_ids

    async def single_tokens(self, texts: Sequence[str]) -> dict[str, int]:
        body = {"model": self._model, "prompt": texts, "add_special_tokens": False}
        try:
            tokens = await self._call("/tokenize", body, "tokens", list[list[int]], once=True)
        except (StatusError, EngineFault):
            return {}
        pairs = zip(texts, tokens, strict=False)
        return {text: ids[0] for text, ids in pairs if len(ids) == 1}

    async def added(self) -> Sequence[str]:
        return ()


class LocalTokenizer(TurnTokenizer):
    """A tokenizer of transformers in this process, for a server that only completes prompts.

    `sends_ids` tells whether the server takes ids.
    """

    def __init__(self, tokenizer: Any, variables: Mapping[str, Any]) -> None:
        super().__init__(variables)
        self._plain = tokenizer
        self._tokenizer = local.with_variables(tokenizer, variables)
        self.sends_ids = True

    async def start(self) -> None:
        await self.prompt(Prompt(PROBE_OPENING))
        self.traits = local.traits(self._tokenizer)
        ids = self._tokenizer.convert_tokens_to_ids(list(self.traits.special_tokens))
        self.specials = dict(zip(self.traits.special_tokens, ids, strict=True))

    async def prompt(self, prompt: Prompt) -> msgspec.Raw:
        if self.sends_ids:
            return await super().prompt(prompt)
        return msgspec.Raw(msgspec.json.encode(local.prompt_text(prompt, self._tokenizer)))

    async def render(
        self,
        messages: list[dict[str, Any]],
        variables: Mapping[str, Any],
        tools: list[dict[str, Any]] | None = None,
    ) -> Rendering:
        is_own = variables == self.variables
        tokenizer = self._tokenizer if is_own else local.with_variables(self._plain, variables)
        text = chat_template.render(tokenizer, messages, tools, open_turn=True)
        return list(local.ids_of(text, self._tokenizer))

    async def ids(self, text: str) -> list[int]:
        return list(local.encode(text, self._tokenizer))

    async def text(self, ids: Sequence[int]) -> str:
        return local.decode(ids, self._tokenizer)

    async def single_tokens(self, texts: Sequence[str]) -> dict[str, int]:
        return {text: self.specials[text] for text in texts if text in self.specials}


def _template_fields(
    variables: Mapping[str, Any], tools: list[dict[str, Any]] | None
) -> dict[str, Any]:
    fields: dict[str, Any] = {TEMPLATE_VARIABLES: variables} if variables else {}
    return fields | ({"tools": tools} if tools else {})


class _Piece(msgspec.Struct):
    id: int
    piece: str | list[int]


class _TokenStrings(msgspec.Struct):
    tokens: list[int]
    token_strs: list[str]


class _ChatChoice(msgspec.Struct):
    prompt_token_ids: list[int]
