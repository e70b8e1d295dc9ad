"""A server that does of vLLM's what a policy's server is asked: ids for ids, and other weights."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import torch
import transformers
from torch import Tensor

from support.local_server import serve_locally

Weights = Mapping[str, Tensor]


class FakeVLLM:
    """A model of transformers, token by token without a cache."""

    def __init__(self, folder: str, *, adapters: bool = True, ids: bool = True) -> None:
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.adapters: dict[str, Weights] = {}
        self.loaded: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self._takes_adapters = adapters
        self._sends_ids = ids
        self._lock = threading.Lock()

    def answer(self, path: str, given: dict[str, Any]) -> tuple[int, Any]:
        """A status and a reply."""
        with self._lock:
            if path == "/v1/models":
                cards = [{"id": "base", "parent": None}]
                return 200, {
                    "data": [{"id": name, "parent": "base"} for name in self.adapters] + cards
                }
            if path == "/v1/completions":
                return self._complete(given)
            if path == "/v1/load_lora_adapter" and self._takes_adapters:
                return self._load(given["lora_name"], given["lora_path"])
            if path == "/v1/unload_lora_adapter":
                del self.adapters[given["lora_name"]]
                return 200, "dropped"
            return 404, {"detail": "Not Found"}

    def _load(self, name: str, path: str) -> tuple[int, Any]:
        from safetensors.torch import load_file

        if name in self.loaded:
            return 400, {"error": {"message": f"{name} was loaded before"}}
        self.adapters[name] = load_file(f"{path}/adapter_model.safetensors")
        self.loaded.append(name)
        return 200, "Success"

    @torch.no_grad()
    def _complete(self, given: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append(given)
        ids: list[int] = []
        logps: list[float] = []
        rng = torch.Generator().manual_seed(given["seed"])
        while len(ids) < given["max_tokens"]:
            logits = self.model(torch.tensor([given["prompt"] + ids])).logits[0, -1]
            if given["temperature"]:
                mass = (logits / given["temperature"]).softmax(-1)
                ids.append(int(torch.multinomial(mass, 1, generator=rng)))
                logps.append(float(mass[ids[-1]].log()))
            else:
                ids.append(int(logits.argmax()))
                logps.append(0.0)
            text = self.tokenizer.decode(ids)
            if ids[-1] == self.tokenizer.eos_token_id or any(s in text for s in given["stop"]):
                break
        choice: dict[str, Any] = {"text": "", "token_ids": ids if self._sends_ids else None}
        if given["logprobs"] == 0:
            choice["logprobs"] = {"token_logprobs": logps}
        return 200, {"choices": [choice]}


@contextmanager
def serving(fake: FakeVLLM) -> Iterator[str]:
    """The address of a fake, as long as it is served."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _reply(self, given: dict[str, Any]) -> None:
            status, reply = fake.answer(self.path, given)
            body = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # who asked has left
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with serve_locally(Handler) as url:
        yield url
