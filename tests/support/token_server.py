"""Model servers with a tokenizer and a chat template of transformers, without a socket.

`serve` replaces the HTTP of a client by a server that speaks as vLLM, SGLang, llama.cpp, or as one
that only chats. Sampled text comes letter by letter, as no tokenizer encodes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from autocoa_bench.engines.openai.client import OpenAIEngine
from autocoa_bench.engines.tokenizer import decode, encode, end_ids
from autocoa_bench.util.http_client import StatusError

Body = dict[str, Any]
Kind = Literal["vllm", "sglang", "old sglang", "llamacpp", "chat"]
Reply = Callable[[str], str]


class TokenServer:
    """A server of one model. `reply` makes the model's text from the text of a prompt, at whose
    end the model ends its turn unless a stop string comes first.

    `end` is the token that ends a turn, if it is not the one that the template names. `received`
    are the prompts of requests for completions, probes aside: their text and their ids.
    `calls` are all paths. `missing` are paths that it does not have, with the status.
    """

    def __init__(self, tokenizer: Any, reply: Reply, kind: Kind = "vllm") -> None:
        self.tokenizer = tokenizer
        self.reply = reply
        self.kind = kind
        self.received: list[tuple[str, tuple[int, ...]]] = []
        self.messages: list[list[Body]] = []
        self.calls: list[str] = []
        self.missing: dict[str, int] = {}
        self.counts = True
        self.takes_ids = True
        self.end = ""

    def engine(self, **options: Any) -> OpenAIEngine:
        """A client of this server."""
        engine = OpenAIEngine("m", "http://127.0.0.1:1", retries=1, **options)
        engine._http.send = self._send  # type: ignore[method-assign]
        return engine

    async def _send(
        self, method: str, url: str, body: bytes | None = None, timeout: float | None = None
    ) -> bytes:
        path = urlsplit(url).path
        self.calls.append(path)
        if path in self.missing:
            raise StatusError(self.missing[path], "not here")
        content = msgspec.json.decode(body) if body else {}
        return msgspec.json.encode(self.answer(path, content))

    def answer(self, path: str, body: Body) -> Any:
        """The reply to a request. Raises StatusError."""
        native = self.kind == "llamacpp"
        owner = {"old sglang": "sglang", "chat": "somebody"}.get(self.kind, self.kind)
        if path == "/v1/models":
            return {"data": [{"id": "m", "owned_by": owner}]}
        if path == "/v1/chat/completions":
            return self._chat(body)
        if path == ("/completion" if native else "/v1/completions"):
            return self._complete(body)
        if self.kind == "chat":
            raise StatusError(404, "not found")
        if path == "/apply-template" and native:
            return {"prompt": self.rendered(body, body["messages"])}
        if path == "/tokenize":
            return self._tokenize(body)
        if path == "/detokenize":
            name = {"vllm": "prompt", "llamacpp": "content"}.get(self.kind, "text")
            return {name: decode(body["tokens"], self.tokenizer)}
        if path == "/props" and native:
            return {"default_generation_settings": {}}
        raise StatusError(404, "not found")

    def rendered(self, body: Body, messages: list[Body], *, continues: bool = False) -> str:
        """Messages as the template renders them with the variables in a body; `continues` leaves
        the last one open. Raises StatusError."""
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages,
                    tools=body.get("tools"),
                    add_generation_prompt=not continues,
                    continue_final_message=continues,
                    tokenize=False,
                    **body.get("chat_template_kwargs", {}),
                )
            )
        except Exception as error:  # noqa: BLE001
            raise StatusError(400, str(error)) from None

    def ids(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _tokenize(self, body: Body) -> Body:
        if "messages" in body:
            if self.kind == "old sglang":
                raise StatusError(400, "prompt: field required")
            return {"tokens": self.ids(self.rendered(body, body["messages"]))}
        text = body["content" if self.kind == "llamacpp" else "prompt"]
        if isinstance(text, list):
            return {"tokens": [self.ids(each) for each in text]}
        ids = self.ids(text)
        tokens = self.tokenizer.convert_ids_to_tokens(ids)
        if body.get("with_pieces"):
            return {"tokens": [{"id": i, "piece": t} for i, t in zip(ids, tokens, strict=True)]}
        return {"tokens": ids, "token_strs": tokens}

    def _chat(self, body: Body) -> Body:
        messages = body["messages"]
        continues = bool(body.get("continue_final_message"))
        prompt = self.rendered(body, messages, continues=continues)
        if (
            not continues and messages[-1]["content"].strip() not in prompt
        ):  # servers see what a template takes
            parts = [
                {**each, "content": [{"type": "text", "text": each["content"]}]}
                for each in messages
            ]
            prompt = self.rendered(body, parts)
        ids = self.ids(prompt)
        if body["max_tokens"] != 1 and messages[0]["content"].partition("\n")[0] != "Hi":
            self.received.append((prompt, tuple(ids)))
            self.messages.append(messages)
        text, stop, _ = self._sampled(prompt, body)
        choice = {"message": {"content": text}, "finish_reason": "stop", "stop_reason": stop}
        if body.get("return_prompt_token_ids"):
            choice["prompt_token_ids"] = ids
        return {"choices": [choice], **self._usage(ids)}

    def _complete(self, body: Body) -> Body:
        if not self.takes_ids and isinstance(body["prompt"], list):
            raise StatusError(400, "prompt: str type expected")
        prompt: list[int] = []
        parts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        for part in parts:
            prompt += self.ids(part) if isinstance(part, str) else [part]
        text = decode(prompt, self.tokenizer)
        if body["max_tokens"] != 1:
            self.received.append((text, tuple(prompt)))
        sampled, stop, ids = self._sampled(text, body)
        if self.kind == "llamacpp":
            ending = {"stop_type": "word" if stop else "eos", "stopping_word": stop or ""}
            return {"content": sampled, "tokens": ids, "tokens_evaluated": len(prompt), **ending}
        choice: Body = {"text": sampled, "finish_reason": "stop"}
        choice |= {"stop_reason" if self.kind == "vllm" else "matched_stop": stop}
        if self.kind != "old sglang":
            choice["token_ids"] = ids
        return {"choices": [choice], **self._usage(prompt)}

    def _usage(self, ids: list[int]) -> Body:
        return {"usage": {"prompt_tokens": len(ids)}} if self.counts else {}

    def _sampled(self, prompt: str, body: Body) -> tuple[str, str | None, list[int]]:
        """The text of a completion, its stop string, and its ids, which may go beyond that."""
        special = set(self.tokenizer.all_special_ids)
        shows = self.kind != "llamacpp" and not body.get("skip_special_tokens", True)
        shown = set(self.ids("".join(body.get("preserved_tokens", ()))))
        ids: list[int] = []
        visible: list[int] = []
        text, stops = "", body.get("stop", ())
        for id_ in _letters(self.reply(prompt), self.tokenizer):
            ids.append(id_)
            if shows or id_ not in special or id_ in shown:
                visible.append(id_)
                piece = decode([id_], self.tokenizer)
                odd = "\ufffd" in piece or "\ufffd" in text
                text = decode(visible, self.tokenizer) if odd else text + piece
            if found := [stop for stop in stops if stop in text]:
                first = min(found, key=text.find)
                return text[: text.find(first)], first, ids
        end = self.ids(self.end) or [end_ids(self.tokenizer)[0]]
        return text, None, [*ids, *end]


def _letters(text: str, tokenizer: Any) -> list[int]:
    """The ids of a text letter by letter, special tokens whole."""
    special = set(tokenizer.all_special_ids)
    ids: list[int] = []
    for id_ in encode(text, tokenizer):
        piece = decode([id_], tokenizer)
        whole = id_ in special or "\ufffd" in piece
        ids += [id_] if whole else [i for letter in piece for i in encode(letter, tokenizer)]
    return ids
