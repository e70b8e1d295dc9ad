"""The real vLLM with a chat template that drops thoughts: 50 episodes, token for token."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autocoa_bench import registry, tasks
from autocoa_bench.engines import EngineConfig
from autocoa_bench.engines import tokenizer as turn_tokens
from autocoa_bench.engines.launch import vllm
from autocoa_bench.engines.weights import huggingface
from autocoa_bench.engines.weights.models import DEFAULT
from autocoa_bench.episode.trajectory import turns_of_steps
from autocoa_bench.runs.solvers import Backends, drive, load_solver
from autocoa_bench.types import Budget, Prompt, Sampling, Trajectory
from support.templates import TEMPLATES

pytestmark = pytest.mark.slow

VLLM = os.environ.get("AUTOCOA_BENCH_VLLM") or (sys.executable if find_spec("vllm") else "")
SOLVERS = ("agent", "agent:shots=2", "search-r1", "react", "r1-searcher")
QUESTIONS = 10
AT_ONCE = 8


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not VLLM:
        pytest.skip("vllm is not installed; AUTOCOA_BENCH_VLLM may name the Python of a venv")
    folder = tmp_path_factory.mktemp("base")
    huggingface.load_model(DEFAULT, "bfloat16").save_pretrained(folder)
    tokenizer = huggingface.load_tokenizer(DEFAULT)
    tokenizer.chat_template = TEMPLATES["drops thoughts"]
    tokenizer.save_pretrained(folder)
    return folder


def engine_of(folder: Path) -> vllm.VLLMEngine:
    options = {
        "dtype": "bfloat16",
        "max-model-len": "4096",
        "max-num-seqs": str(AT_ONCE),
        "max-num-batched-tokens": str(AT_ONCE * 4096),
        "enforce-eager": "true",
    }
    config = EngineConfig(str(folder), "", "auto", AT_ONCE, 4096)
    return vllm.VLLMEngine(config, options, start_timeout=600)


async def episodes(engine: vllm.VLLMEngine, sent: list[list[int]]) -> list[Trajectory]:
    """Episodes of all solvers; collects the prompts of all requests for completions."""
    search = registry.load("search", "bm25")("embedded", top_k=2)
    spec = await engine.start()
    assert spec.protocol == "template"
    assert engine._client is not None
    http: Any = engine._client._http
    send = http.send

    async def recorded(method: str, url: str, body: bytes | None = None, *rest: Any) -> bytes:
        if url.endswith("/v1/completions"):
            sent.append(msgspec.json.decode(body or b"")["prompt"])
        reply: bytes = await send(method, url, body, *rest)
        return reply

    http.send = recorded
    # The first budget has room for steps; the second forces an answer at once.
    budgets = (Budget(2, 4096, 48, 16), Budget(0, 4096, 48, 16))
    slots = asyncio.Semaphore(AT_ONCE)
    questions = tasks.resolve("hotpotqa")[0].load("test")[:QUESTIONS]

    async def run(solver: str, number: int) -> Trajectory:
        async with slots:
            dialect: Any = load_solver(solver).plugin
            backends = Backends(engine, search)
            budget = budgets[number % len(budgets)]
            return await drive(questions[number], dialect, backends, Sampling(0.7), budget)

    try:
        runs = [run(solver, number) for solver in SOLVERS for number in range(QUESTIONS)]
        return list(await asyncio.gather(*runs))
    finally:
        await engine.close()
        await search.close()


@pytest.fixture(scope="module")
def ran(base: Path) -> tuple[list[Trajectory], list[list[int]], Any]:
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    os.environ["HF_HUB_OFFLINE"] = "1"
    sent: list[list[int]] = []
    trajectories = asyncio.run(episodes(engine_of(base), sent))
    return trajectories, sent, huggingface.load_tokenizer(str(base))


def test_every_prompt_is_the_opening_and_the_turn_as_recorded(ran: Any) -> None:
    trajectories, sent, tokenizer = ran
    expected = []
    for trajectory in trajectories:
        for number in range(len(trajectory.steps)):
            turns = turns_of_steps(trajectory.steps[:number])
            prompt = Prompt(trajectory.opening, turns, trajectory.prefill)
            expected.append(list(turn_tokens.prompt_ids(prompt, tokenizer)))
    assert sorted(sent) == sorted(expected)


def test_every_step_has_the_ids_that_spell_it(ran: Any) -> None:
    trajectories, _, tokenizer = ran
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    exact = [step for step in steps if step.token_ids]
    for step in exact:
        ends = turn_tokens.end_ids(tokenizer)
        ids = step.token_ids[:-1] if step.token_ids[-1] in ends else step.token_ids
        assert turn_tokens.decode(ids, tokenizer) == step.text
    # Only text that a dialect has cut after an action has none.
    assert len(exact) > len(steps) // 2


def test_forced_answers_complete_and_worked_examples_survive(ran: Any) -> None:
    trajectories, sent, tokenizer = ran
    assert len(trajectories) == len(SOLVERS) * QUESTIONS
    endings = {trajectory.ending for trajectory in trajectories}
    assert "forced-actions" in endings
    texts = [turn_tokens.decode(ids, tokenizer) for ids in sent]
    assert any(text.count("<begin_search>") > 2 for text in texts)
