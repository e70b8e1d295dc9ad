"""What is served is what was trained: every server gives the same greedy tokens in an episode.

A random LoRA stands for a trained one; its base is the real SmolLM2 in 32-bit floats everywhere,
so that nothing but the servers differs.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import pytest

from agent_model.dialects.agent import Agent
from autocoa_bench import registry, tasks
from autocoa_bench.engines import Engine
from autocoa_bench.engines.launch.embedded import EmbeddedEngine
from autocoa_bench.engines.transformers.engine import TransformersEngine
from autocoa_bench.engines.weights import convert as conversion
from autocoa_bench.engines.weights import huggingface
from autocoa_bench.engines.weights.convert import convert
from autocoa_bench.engines.weights.formats import close_gguf
from autocoa_bench.engines.weights.models import DEFAULT
from autocoa_bench.runs.solvers import Backends, drive
from autocoa_bench.types import Budget, Completion, EngineSpec, Generate, Sampling, Trajectory
from support.tiny import random_lora, tiny_model

pytestmark = pytest.mark.slow

BUDGET = Budget(max_actions=2, step_tokens=64, answer_tokens=16, context_tokens=4096)
VLLM = os.environ.get("AUTOCOA_BENCH_VLLM") or (sys.executable if find_spec("vllm") else "")
VLLM_SECONDS = 300


class SampledRequest(NamedTuple):
    """A request that an episode made: its prompt's ids, its limits, and what was sampled."""

    prompt: list[int]
    stop: tuple[str, ...]
    max_tokens: int
    completion: Completion


class Recorder:
    """The engine in process, with all that it was asked."""

    base_url = ""

    def __init__(self, engine: TransformersEngine) -> None:
        self.engine = engine
        self.requests: list[SampledRequest] = []

    async def start(self) -> EngineSpec:
        return await self.engine.start()

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        [completion] = await self.engine.generate(request, sampling)
        prompt = self.engine._prompt_ids(request.prompt)
        self.requests.append(SampledRequest(prompt, request.stop, request.max_tokens, completion))
        return [completion]

    async def close(self) -> None:
        await self.engine.close()


class Trained(NamedTuple):
    """A base and an adapter in both forms, and the episode that transformers ran with them."""

    base: Path
    lora: Path
    base_gguf: Path
    lora_gguf: Path
    episode: Trajectory
    requests: list[SampledRequest]


def episode(engine: Engine) -> Trajectory:
    """An episode with this engine."""

    async def run() -> Trajectory:
        search = registry.load("search", "bm25")("embedded", top_k=1)
        [task] = tasks.resolve("hotpotqa")
        await engine.start()
        try:
            world = Backends(engine, search)
            question = task.load("test")[1]
            return await drive(question, Agent(shots=1), world, Sampling(), BUDGET)
        finally:
            await engine.close()
            await search.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    base = folder / "base"
    huggingface.load_model(DEFAULT, "float32").save_pretrained(base)
    huggingface.load_tokenizer(DEFAULT).save_pretrained(base)
    lora = random_lora(base, folder / "lora", rank=8, std=0.003)
    recorder = Recorder(TransformersEngine(str(base), adapter=str(lora)))
    return Trained(
        base,
        lora,
        convert(str(base), str(folder / "base.gguf"), DEFAULT, "f32"),
        convert(str(lora), str(folder / "lora.gguf"), str(base), "f32"),
        episode(recorder),
        recorder.requests,
    )


def tokens_of(trajectory: Trajectory) -> list[tuple[str, tuple[int, ...] | None]]:
    return [(step.text, step.token_ids) for step in trajectory.steps]


def test_the_episode_has_searches_and_sampled_ids(trained: Trained) -> None:
    steps = trained.episode.steps
    assert any(step.kind == "search" for step in steps)
    assert any(step.token_ids for step in steps)


def test_llama_cpp_gives_the_same_tokens(trained: Trained) -> None:
    engine = EmbeddedEngine(
        str(trained.base_gguf), parallel=1, context_tokens=4096, adapter=str(trained.lora_gguf)
    )
    assert tokens_of(episode(engine)) == tokens_of(trained.episode)


def test_llama_cpp_gives_the_same_tokens_of_a_merged_model(
    trained: Trained, tmp_path: Path
) -> None:
    merged = huggingface.merge(str(trained.lora), str(tmp_path / "merged"), str(trained.base))
    model = convert(str(merged), str(tmp_path / "merged.gguf"), DEFAULT, "f32")
    engine = EmbeddedEngine(str(model), parallel=1, context_tokens=4096)
    assert tokens_of(episode(engine)) == tokens_of(trained.episode)


def bare_gguf(path: Path, kind: str, model: Any) -> None:
    """A GGUF with a tiny model's settings, a tokenizer of bytes, and weights that are all 0."""
    config = model.config
    writer = gguf.GGUFWriter(path, kind)
    # The 256 bytes as GPT-2 spells them: those that cannot be printed follow U+0100.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = range(256, 256 + 256 - len(printable))
    ends = [f"<|{name}|>" for name in ("end", "system", "user", "assistant")]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*map(chr, [*printable, *shifted]), *ends])
    writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * 4)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(256)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    for name, weights in model.state_dict().items():
        if name != "lm_head.weight":
            zeros = np.zeros(tuple(weights.shape), np.float32)
            writer.add_tensor(conversion._gguf_name(name)[0], zeros)
    close_gguf(writer)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_tiny_model_and_its_adapter_give_the_same_tokens_once_converted(
    kind: str, tmp_path: Path
) -> None:
    import peft
    import torch
    import transformers

    folder = tiny_model(tmp_path / "model", kind)
    lora = random_lora(folder, tmp_path / "lora", std=0.3)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    bare_gguf(tmp_path / "bare.gguf", kind, model)
    base = convert(str(folder), str(tmp_path / "model.gguf"), str(tmp_path / "bare.gguf"), "f32")
    adapter = convert(str(lora), str(tmp_path / "lora.gguf"), str(base), "f32")
    prompt = list(range(40, 80))
    model.generation_config.eos_token_id = None

    def generated(model: Any) -> list[int]:
        ids = torch.tensor([prompt])
        output = model.generate(ids, max_new_tokens=24, do_sample=False, pad_token_id=0)
        return list(output[0, len(prompt) :].tolist())

    bare, adapted = generated(model), generated(peft.PeftModel.from_pretrained(model, lora))
    assert bare != adapted
    assert (served(base, "", prompt), served(base, str(adapter), prompt)) == (bare, adapted)


def served(model: Path, adapter: str, prompt: list[int]) -> list[int]:
    """24 greedy tokens of llama.cpp."""

    async def run() -> list[int]:
        engine = EmbeddedEngine(str(model), parallel=1, context_tokens=512, adapter=adapter)
        await engine.start()
        try:
            return await asyncio.to_thread(ask, engine)
        finally:
            await engine.close()

    def ask(engine: EmbeddedEngine) -> list[int]:
        url = engine.base_url.removesuffix("/v1")
        body = {"prompt": prompt, "n_predict": 24, "temperature": 0, "return_tokens": True}
        reply = _post(f"{url}/completion", body, engine.api_key.headers())
        ids: list[int] = reply["tokens"]
        return ids

    return asyncio.run(run())


@pytest.fixture
def vllm(trained: Trained, tmp_path: Path) -> Iterator[str]:
    """The address of vLLM with the adapter as the model `tuned`."""
    if not VLLM:
        pytest.skip("vllm is not installed; AUTOCOA_BENCH_VLLM may name the Python of a venv")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [VLLM, "-m", "vllm.entrypoints.openai.api_server", "--model", str(trained.base)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--max-model-len", "4096", "--max-num-batched-tokens", "4096", "--enforce-eager"]
    command += ["--no-enable-prefix-caching", "--enable-lora", "--max-lora-rank", "8"]
    command += ["--max-num-seqs", "1", "--lora-modules", f"tuned={trained.lora}"]
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    settings |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"}
    log = tmp_path / "vllm.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, env=os.environ | settings, stdout=out, stderr=out) as server,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(url, server, log)
            yield url
        finally:
            server.terminate()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + VLLM_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health").close()
        except urllib.error.URLError:
            time.sleep(1)
        else:
            return
    pytest.fail(f"vLLM did not start: {log.read_text(errors='replace')[-2000:]}")


def _complete(url: str, request: SampledRequest) -> dict[str, Any]:
    body = {
        "model": "tuned",
        "prompt": request.prompt,
        "stop": request.stop,
        "max_tokens": request.max_tokens,
        "temperature": 0,
        "return_token_ids": True,
    }
    choice: dict[str, Any] = _post(f"{url}/v1/completions", body)["choices"][0]
    return choice


def _post(url: str, body: object, more: Mapping[str, str] | None = None) -> Any:
    headers = {"Content-Type": "application/json", **(more or {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        return json.loads(reply.read())


def test_vllm_gives_the_same_tokens(trained: Trained, vllm: str) -> None:
    for request in trained.requests:
        choice = _complete(vllm, request)
        assert choice["text"] == request.completion.text
        if request.completion.token_ids is not None:
            assert tuple(choice["token_ids"]) == request.completion.token_ids
