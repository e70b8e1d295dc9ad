"""A mock OpenAI-compatible model server: scripted replies, latency, recorded requests, faults.

As a script, for benchmarks in another process:
    python tests/support/mock_server.py --port 0 --latency 0.05 --jitter 0.02
prints its URL and serves search episodes until it is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import json
import random
import re
import threading
from collections.abc import Callable
from typing import Any, Literal, Self
from urllib.parse import quote

import msgspec
from aiohttp import web

Fault = Literal[
    "500",
    "429",
    "400",
    "401",
    "402",
    "404",
    "501",
    "502",
    "503",
    "529",
    "301",
    "302",
    "303",
    "307",
    "308",
    "403",
    "drop",
    "truncate",
    "hang",
    "empty",
    "html",
    "error",
    "bytes",
    "deep",
    "plain",
    "garbage",
    "null",
    "blank",
    "given up",
    "aborted",
]
Body = dict[str, Any]
Reply = Callable[[Body], str | Body]
Kind = Literal["openai", "vllm", "sglang", "llamacpp", "unlisted"]


_NO_COMPLETIONS: dict[str, Body] = {
    "null": {"message": {"content": None}, "finish_reason": "stop"},
    "blank": {"message": {"content": "\n"}, "finish_reason": "stop"},
    "given up": {"message": {"content": ""}, "finish_reason": "error", "error": {"code": 502}},
    "aborted": {"message": {"content": "<beg"}, "finish_reason": "abort"},
}
"""Choices of a reply that has not completed anything."""

_HEAD = "[user]Hi[assistant]"


def is_probe(body: Body) -> bool:
    """Whether a request is one by which the client asks whether the server is up, or what its
    template does to a turn."""
    prompt, messages = body.get("prompt"), body.get("messages") or [{"content": ""}]
    if isinstance(prompt, list):
        prompt = spelt(prompt)
    opening = messages[0]["content"].partition("\n")[0]
    return prompt == "Hi" or opening == "Hi" or (prompt or "").startswith(_HEAD)


def spelt(prompt: str | list[int | str]) -> str:
    """The text of a prompt of texts and ids, which are those of characters."""
    return "".join(part if isinstance(part, str) else chr(part) for part in prompt)


def rendered(messages: list[Body]) -> str:
    """The template of the mock."""
    text = "".join(f"[{m['role']}]{m['content']}" for m in messages)
    return f"{text}[assistant]"


def tokens(body: Body) -> int:
    """What a prompt counts on this server: four characters a token; an id is one."""
    prompt = body.get("prompt", [])
    pieces = [message["content"] for message in body.get("messages", ())]
    pieces += [prompt] if isinstance(prompt, str) else prompt
    characters = sum(len(piece) for piece in pieces if isinstance(piece, str))
    return characters // 4 + sum(isinstance(piece, int) for piece in pieces)


def room_for(context: int) -> Callable[[Body], str | None]:
    """A server that refuses as vLLM does, prompt and completion together."""

    def refusal(body: Body) -> str | None:
        limit, prompt = body["max_tokens"], tokens(body)
        if prompt + limit <= context:
            return None
        return (
            f"'max_tokens' or 'max_completion_tokens' is too large: {limit}. This model's maximum "
            f"context length is {context} tokens and your request has {prompt} input tokens "
            f"({limit} > {context} - {prompt})."
        )

    return refusal


def search_agent(body: Body) -> str:
    """Three searches in the agent's tags, then an answer: by how often the turn has searched."""
    text = "".join(message["content"] for message in body["messages"][1:])
    searches = text.count("<begin_search>")
    if searches < 3:
        return f"I need fact {searches + 1}.<begin_search> fact {searches + 1} </end_search>"
    return "<think> Now I know. </think> \\boxed{yes}"


def calls(*arguments: Body | str, content: str | None = None) -> Body:
    """A message that calls `search` with each of the arguments, a text of which stays as it is."""
    return {
        "content": content,
        "tool_calls": [
            {
                "id": f"mock-{number}",
                "type": "function",
                "function": {
                    "name": "search",
                    "arguments": each if isinstance(each, str) else json.dumps(each),
                },
            }
            for number, each in enumerate(arguments)
        ],
    }


def tool_agent(body: Body) -> str | Body:
    """`search_agent` with calls of a tool."""
    searches = sum(message["role"] == "tool" for message in body["messages"])
    if searches < 3:
        fact = f"fact {searches + 1}"
        return calls({"query": fact}, content=f"I need {fact}.")
    return "\\boxed{yes}"


def ill_formed(messages: list[Body]) -> str | None:
    """What APIs say of calls and results that do not belong together; None for good ones."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if not waiting or message["tool_call_id"] != waiting.pop(0):
                return "messages with role 'tool' must be a response to a preceding 'tool_calls'"
            continue
        if waiting:
            return f"tool_call_ids did not have response messages: {', '.join(waiting)}"
        for call in message.get("tool_calls", ()):
            arguments = json.loads(call["function"]["arguments"])
            assert isinstance(arguments, dict)
            waiting.append(call["id"])
    return (
        f"tool_call_ids did not have response messages: {', '.join(waiting)}" if waiting else None
    )


def messages_of(prompt: str) -> list[Body]:
    """The messages of a prompt that `rendered` made; the model's turn is the last."""
    _, *parts = re.split(r"\[(system|user|assistant)\]", prompt)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [{"role": role, "content": content} for role, content in pairs]


class MockServer:
    """Serves on a loopback port from a thread of its own; a context manager.

    `reply` makes the text of a request's body; `fault` picks what goes wrong with a request, by
    its number, from 0, counting generations only, and `ill` by its body; `refusal` is the message
    of a 400 for a body, if it is refused. The client's own probes go through unless `down`, a
    fault of every request. `kind` is the server it passes for. `requests`
    are the bodies, `paths` the paths, `headers` the headers of all that was asked, in order, and
    `error` is the error in the reply of a fault that is a status.
    `overshoot` is what llama.cpp's last token spells beyond the stop string. `listing` is the
    status and the body of the list of models. `alter` makes another reply of the reply to a body.
    A token is a
    character; `tokenizers` are the kinds that have endpoints for them.
    """

    def __init__(
        self,
        reply: Reply = lambda body: "hello",
        *,
        kind: Kind = "openai",
        models: tuple[str, ...] = ("mock",),
        latency: float = 0.0,
        jitter: float = 0.0,
        fault: Callable[[int], Fault | None] = lambda number: None,
        retry_after: str | None = None,
        ill: Callable[[Body], Fault | None] = lambda body: None,
        refusal: Callable[[Body], Body | str | None] = lambda body: None,
        port: int = 0,
    ) -> None:
        self.reply = reply
        self.kind = kind
        self.models = models
        self.latency = latency
        self.jitter = jitter
        self.fault = fault
        self.retry_after = retry_after
        self.ill = ill
        self.refusal = refusal
        self.down: Fault | None = None
        self.error: Body = {}
        self.location = ""
        self.spelt: Literal["plainly", "as HTML and URL", "as JSON"] = "plainly"
        self.card: Body = {}
        self.listing: tuple[int, bytes] | None = None
        self.reasoning: Body = {}
        self.alter: Callable[[Body, Body], Any] = lambda body, reply: reply
        self.port = port
        self.usage = True
        self.overshoot = ""
        self.tokenizers: tuple[str, ...] = ("llamacpp", "vllm", "sglang")
        self.requests: list[Body] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._generations = 0
        self._random = random.Random(0)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self.stop()
        self._thread.join(10)

    def stop(self) -> None:
        """Close the port and every connection, also from within a reply."""
        self._loop.call_soon_threadsafe(self._stop.set)

    @property
    def url(self) -> str:
        """Where it listens, without /v1."""
        return f"http://127.0.0.1:{self.port}"

    def generations(self) -> list[Body]:
        """The bodies of the requests for completions alone."""
        return [body for body in self.requests if "model" in body and not is_probe(body)]

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        runner = await self.listen()
        ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def listen(self) -> web.ServerRunner:
        """Start to serve in the running loop."""
        runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, backlog=1024)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return runner

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        self.paths.append(path)
        self.headers.append(dict(request.headers))
        if request.method == "GET":
            return self._describe(path)
        body = msgspec.json.decode(await request.read())
        if path in ("/apply-template", "/tokenize", "/detokenize") and not self.down:
            return self._tokenize(path, body)
        self.requests.append(body)
        if self.kind in ("openai", "vllm") and body["model"] not in self.models:
            name = body["model"]
            return _json({"error": {"message": f"The model `{name}` does not exist."}}, 404)
        fault = self.down
        if not is_probe(body):
            number, self._generations = self._generations, self._generations + 1
            fault = self.fault(number) or self.ill(body) or fault
            await self.delay(number)
        if fault is not None:
            return await self._fail(fault, request, body)
        if refusal := self.refusal(body) or ill_formed(body.get("messages", [])):
            error = {"message": refusal} if isinstance(refusal, str) else refusal
            return _json({"error": error}, 400)
        return _json(self.alter(body, self._complete(path, body)))

    def _tokenize(self, path: str, body: Body) -> web.Response:
        if self.kind == "llamacpp" and path == "/apply-template":
            return _json({"prompt": rendered(body["messages"])})
        if self.kind not in self.tokenizers or path == "/apply-template":
            return _json({"error": {"message": "not found"}}, status=404)
        if path == "/detokenize":
            name = {"vllm": "prompt", "sglang": "text"}.get(self.kind, "content")
            return _json({name: "".join(map(chr, body["tokens"]))})
        text = body.get("content", body.get("prompt"))
        if isinstance(text, list):
            return _json({"tokens": [list(map(ord, each)) for each in text]})
        text = rendered(body["messages"]) if text is None else text
        return _json({"tokens": list(map(ord, text)), "token_strs": list(text)})

    async def delay(self, number: int) -> None:
        """Wait before the reply to a request for completions; `number` counts these from 0."""
        if self.latency:
            low, high = self.latency - self.jitter, self.latency + self.jitter
            await asyncio.sleep(self._random.uniform(low, high))

    def _describe(self, path: str) -> web.Response:
        owner = {"openai": "openai", "unlisted": ""}.get(self.kind, self.kind)
        if path.endswith("/models") and self.listing:
            status, content = self.listing
            return web.Response(body=content, status=status)
        if path.endswith("/models") and self.kind != "unlisted":
            cards = [{"id": name, "owned_by": owner, **self.card} for name in self.models]
            return _json({"data": cards})
        if path == "/props" and self.kind == "llamacpp":
            return _json({"default_generation_settings": {}})
        if path == "/health" and self.kind == "vllm":
            return web.Response()
        if path == "/version" and self.kind == "vllm":
            return _json({"version": "0.0"})
        return _json({"error": {"message": "not found"}}, status=404)

    def _complete(self, path: str, body: Body) -> Any:
        reply = (lambda body: "hello") if is_probe(body) else self.reply
        seen = body
        if self.kind in ("vllm", "sglang") and "prompt" in body:
            seen = {**body, "messages": messages_of(spelt(body["prompt"]))}
        texts = [reply(seen) for _ in range(body.get("n", 1))]
        if path == "/completion":
            completions = [
                {
                    "content": text,
                    "tokens": [ord(char) for char in f"{text}</s>{self.overshoot}"],
                    "stop_type": "word",
                    "stopping_word": "</s>",
                    "tokens_evaluated": tokens(body),
                    "tokens_predicted": len(text),
                }
                for text in texts
            ]
            return completions if "n" in body else completions[0]
        chat = path.endswith("/chat/completions")
        choices: list[Body] = [
            {
                "index": i,
                "finish_reason": "stop" if isinstance(t, str) else "tool_calls",
                **({"message": {**_message(t), **self.reasoning}} if chat else {"text": t}),
            }
            for i, t in enumerate(texts)
        ]
        if self.kind == "vllm":
            for choice, text in zip(choices, texts, strict=True):
                choice |= {"stop_reason": "</s>", "token_ids": [ord(char) for char in text]}
        usage = {"prompt_tokens": tokens(body), "completion_tokens": sum(map(len, texts))}
        return {"choices": choices} | ({"usage": usage} if self.usage else {})

    async def _fail(self, fault: Fault, request: web.BaseRequest, body: Body) -> web.StreamResponse:
        credentials = str(request.headers.get("Authorization"))
        if self.spelt == "as JSON":
            escaped = "".join(f"\\u{ord(char):04x}" for char in credentials)
            return web.Response(text=f'{{"error": "{escaped}"}}', status=500)
        if self.spelt == "as HTML and URL":
            credentials = f"{html.escape(credentials)} {quote(credentials, ' ')}"
        if fault.isdigit():
            headers = {"Retry-After": self.retry_after} if self.retry_after else {}
            headers |= {"Location": self.location} if self.location else {}
            error = {"error": self.error or {"message": f"fault {fault}, {credentials}"}}
            return _json(error, status=int(fault), headers=headers)
        if fault == "drop":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"choices": [')
            assert request.transport is not None
            request.transport.close()
            return response
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "html":
            return web.Response(text=f"<html>no, {credentials}</html>", content_type="text/html")
        if fault == "plain":  # right, but for its content type
            text = msgspec.json.encode(self._complete(request.path, body)).decode()
            return web.Response(text=text, content_type="text/plain")
        if fault == "garbage":  # no HTTP at all
            assert request.transport is not None
            request.transport.write(f"{credentials}\r\n\r\n".encode())
            request.transport.close()
            return web.Response()
        if fault == "bytes":  # not UTF-8
            raw = b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'
            return web.Response(body=raw, content_type="application/json")
        if fault == "deep":
            return web.Response(body=b'{"x": ' + b"[" * 100_000, content_type="application/json")
        if fault == "truncate":
            return web.Response(body=b'{"choices": [{"mess', content_type="application/json")
        if choice := _NO_COMPLETIONS.get(fault):
            usage = {"prompt_tokens": 90, "completion_tokens": 40}
            return _json({"choices": [{"index": 0, **choice}], "usage": usage})
        no = {"error": {"message": f"no, {credentials}"}}
        return _json({"empty": {"choices": []}, "error": no}[fault])


def _message(reply: str | Body) -> Body:
    return {"content": reply} if isinstance(reply, str) else reply


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        content_type="application/json",
        headers=headers,
    )


async def _main(arguments: argparse.Namespace) -> None:
    server = MockServer(
        lambda body: tool_agent(body) if body.get("tools") else search_agent(body),
        latency=arguments.latency,
        jitter=arguments.jitter,
        port=arguments.port,
    )
    await server.listen()
    print(server.url, flush=True)
    while True:
        await asyncio.sleep(3600)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.05, help="mean seconds a request")
    parser.add_argument("--jitter", type=float, default=0.02, help="seconds more or less")
    asyncio.run(_main(parser.parse_args()))
