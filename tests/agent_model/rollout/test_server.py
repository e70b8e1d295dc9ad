"""A server as the policy's sampler: the same rollouts, and the weights that were learned."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from random import Random
from urllib.request import urlopen

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from agent_model.dialects.agent import Agent
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler, Sampler
from agent_model.rollout.server import PolicyServer, ServerSampler
from agent_model.training.config import LoraConfig, SFTConfig
from agent_model.training.model import load_policy
from autocoa_bench.episode import episode
from autocoa_bench.errors import UserError
from autocoa_bench.types import Budget, Observation, Passage, Question, Trajectory
from support.policy_server import FakeVLLM, serving
from support.tiny import random_lora, tiny_model
from support.towers import recipe, teach, train

SEARCHED = ["I look.\n<begin_search> tower </end_search>", "So.\n</think>\n\n\\boxed{Anna}"]
GUESSED = ["I know it.\n</think>\n\n\\boxed{Bert}"]
ANNA = Passage("p1", "Tower", "Anna built it.")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model that searches and answers Anna as often as it answers Bert at once."""
    folder = tmp_path_factory.mktemp("place")
    teach(folder, "sft2", [(SEARCHED, [ANNA]), (GUESSED, [])], "Anna", steps=80)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(folder / "cache"))
        yield folder


def played(sampler: Sampler, dialect: Agent, steps: int = 24) -> list[Trajectory]:
    questions = [Question(f"q{i}", f"Who built tower {i}?", ("Anna",)) for i in range(4)]
    budget = Budget(2, 2048, steps)
    rollouts = [Rollout(episode(question, dialect, budget), Random(0)) for question in questions]
    return rollout(rollouts, sampler, lambda queries: [Observation((ANNA,)) for _ in queries])


def tokens_of(trajectories: Sequence[Trajectory]) -> list[list[object]]:
    """What each step says, token for token."""
    return [
        [(step.text, step.token_ids, step.prompt_tokens) for step in trajectory.steps]
        for trajectory in trajectories
    ]


def test_a_server_samples_what_the_policy_samples_in_process(place: Path) -> None:
    taught = str(place / "taught" / "model")
    fields = {"stage": "sft2", "model": taught, "data": ["-"], "dtype": "fp32", "lora": None}
    policy, tokenizer = load_policy(msgspec.convert(fields, SFTConfig))
    policy.eval()
    dialect = Agent(prompt=str(place / "prompt.txt"))
    expected = played(PolicySampler(policy, tokenizer, 4, 0.0), dialect)
    assert all(trajectory.ending == "answered" for trajectory in expected)
    fake = FakeVLLM(taught)
    with serving(fake) as address, PolicyServer(address, tokenizer, 4) as server:
        assert tokens_of(played(ServerSampler(server, 4, 0.0), dialect)) == tokens_of(expected)
    assert {each["model"] for each in fake.asked} == {"base"}


def test_training_gives_the_server_each_steps_adapter(place: Path, tmp_path: Path) -> None:
    fake = FakeVLLM(str(place / "taught" / "model"))
    config = recipe(place, max_steps=3, lora=LoraConfig(rank=2), checkpoint_every=1)
    with serving(fake) as address:
        rows = train(msgspec.structs.replace(config, server=address), tmp_path)
    assert len(rows) == 3
    assert len(set(fake.loaded)) == 3
    assert {each["model"] for each in fake.asked} == set(fake.loaded)
    assert not (tmp_path / "serving").exists()
    [theirs] = fake.adapters.values()  # those before it were dropped
    second = tmp_path / "checkpoints" / "step-000002" / "model" / "adapter_model.safetensors"
    ours = load_file(second)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert any(each.any() for name, each in theirs.items() if "lora_B" in name)


def test_a_killed_runs_adapter_is_no_obstacle(place: Path, tmp_path: Path) -> None:
    fake = FakeVLLM(str(place / "taught" / "model"))
    with serving(fake) as address:
        config = recipe(place, server=address, max_steps=1, lora=LoraConfig(rank=2))
        for out in ("killed", "again"):
            train(config, tmp_path / out)
    assert len(set(fake.loaded)) == len(fake.adapters) == 2


@pytest.mark.parametrize(
    ("fake", "problem"),
    [
        ({"adapters": False}, r"take adapters at /v1/load_lora_adapter.*start it as: VLLM_ALLOW"),
        ({"ids": False}, "sent no token ids"),
    ],
)
def test_a_server_without_a_needed_feature_is_refused(
    place: Path, tmp_path: Path, fake: dict[str, bool], problem: str
) -> None:
    model = FakeVLLM(str(place / "taught" / "model"), **fake)
    with serving(model) as address, pytest.raises(UserError, match=problem):
        train(recipe(place, server=address, max_steps=1, lora=LoraConfig(rank=2)), tmp_path)


def test_a_wrong_server_address_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not an http:// or https:// address"):
        train(recipe(place, server="nowhere", max_steps=1), tmp_path)


REAL = os.environ.get("AUTOCOA_BENCH_VLLM") or (sys.executable if find_spec("vllm") else "")


@contextmanager
def real_vllm(model: Path) -> Iterator[str]:
    """A vLLM server that lets its weights be changed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    settings |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1"}
    settings |= {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    command = [REAL, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "base", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "4"]
    command += ["--enable-lora", "--max-lora-rank", "16"]
    log = model.parent / "vllm.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=os.environ | settings, stdout=stream, stderr=stream, process_group=0
        )
        try:
            while not healthy(port):
                assert process.poll() is None, log.read_text()[-2000:]
                time.sleep(1)
            yield f"http://127.0.0.1:{port}"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(60)


def healthy(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="no vLLM here; AUTOCOA_BENCH_VLLM may name a Python that has")
def test_the_real_vllm_samples_as_the_policy_does_with_each_adapter(
    tmp_path: Path,
) -> None:
    base = tiny_model(tmp_path / "base", size=128)  # vLLM's heads have at least 32 numbers
    lora = random_lora(base, tmp_path / "lora", rank=12, std=0.3)
    second_lora = random_lora(base, tmp_path / "second_lora", rank=8, std=0.2)
    (tmp_path / "prompt.txt").write_text("{question}")
    dialect = Agent(prompt=str(tmp_path / "prompt.txt"))

    def in_process(model: Path, adapter: str = "") -> list[Trajectory]:
        fields = {"stage": "sft2", "model": str(model), "data": ["-"], "dtype": "fp32"}
        fields |= {"adapter": adapter, "lora": None}
        policy, tokenizer = load_policy(msgspec.convert(fields, SFTConfig))
        return played(PolicySampler(policy.eval(), tokenizer, 4, 0.0), dialect)

    fields = {"stage": "sft2", "model": str(base), "data": ["-"], "dtype": "fp32", "lora": None}
    _, tokenizer = load_policy(msgspec.convert(fields, SFTConfig))
    with real_vllm(base) as address, PolicyServer(address, tokenizer, 4) as server:
        sampler = ServerSampler(server, 4, 0.0)
        assert tokens_of(played(sampler, dialect)) == tokens_of(in_process(base))
        server.load_adapter(lora, "first")
        assert tokens_of(played(sampler, dialect)) == tokens_of(in_process(base, str(lora)))
        server.load_adapter(second_lora, "second")
        assert tokens_of(played(sampler, dialect)) == tokens_of(in_process(base, str(second_lora)))
