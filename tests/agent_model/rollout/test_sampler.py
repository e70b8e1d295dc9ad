"""The policy as a sampler: with its cache it samples what it would sample without one."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import msgspec
import pytest
import torch

from agent_model.rollout import sampler as module
from agent_model.rollout.sampler import PolicySampler, Slot, sample_token
from agent_model.tokens import end_of_turn
from agent_model.training.config import SFTConfig
from agent_model.training.model import Policy, load_policy
from autocoa_bench.engines.tokenizer import prompt_ids
from autocoa_bench.engines.transformers.kv_cache import KVCache
from autocoa_bench.types import Completion, Generate, Message, Prompt, Turn
from support.tiny import tiny_model
from support.tiny_llm import make_tokenizer

Model = tuple[Policy, Any]
OPENING = (Message("user", "Who is the mayor?"),)


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tiny_model(tmp_path_factory.mktemp("tiny"), request.param)
    given = {"stage": "sft2", "model": str(folder), "data": ["-"], "dtype": "fp32"}
    policy, tokenizer = load_policy(msgspec.convert(given, SFTConfig))
    return policy.eval(), tokenizer


def asked(
    *turns: Turn, opening: tuple[Message, ...] = OPENING, stop: str = "", tokens: int = 8
) -> Generate:
    return Generate(Prompt(opening, turns, "<think>\n"), (stop,) if stop else (), tokens)


def finish(sampler: PolicySampler, count: int = 1) -> dict[Slot, Completion]:
    """Step until so many completions are whole; those go on in vain until then."""
    done: dict[Slot, Completion] = {}
    while len(done) < count:
        for slot, completion in sampler.step():
            done.setdefault(slot, completion)
    return done


@torch.no_grad()
def without_cache(model: Model, request: Generate, temperature: float, rng: Random) -> list[int]:
    """Tokens sampled one by one, all of the text computed anew for each."""
    policy, tokenizer = model
    prompt = list(prompt_ids(request.prompt, tokenizer))
    ids = list(prompt)
    while len(ids) - len(prompt) < request.max_tokens:
        logits = policy.inner(input_ids=torch.tensor([ids])).logits[:, -1].float()
        ids += sample_token(logits, [temperature], [rng])[0]
        if ids[-1] == end_of_turn(tokenizer):
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_each_slot_samples_what_it_would_sample_without_a_cache(
    model: Model, temperature: float
) -> None:
    sampler = PolicySampler(*model, slots=3, temperature=temperature)
    opening = (Message("user", "And what is a river?"),)
    requests = [asked(), asked(tokens=5), asked(opening=opening)]
    slots = [sampler.acquire(Random(i)) for i in range(3)]
    for slot, request in zip(slots, requests, strict=True):
        sampler.submit(slot, request)
    done = finish(sampler, 3)
    for i, (slot, request) in enumerate(zip(slots, requests, strict=True)):
        expected = without_cache(model, request, temperature, Random(i))
        assert list(done[slot].token_ids or ()) == expected


def test_an_observation_is_computed_after_the_sampled_tokens(model: Model) -> None:
    sampler = PolicySampler(*model, slots=2, temperature=0)
    gone, slot = sampler.acquire(Random(0)), sampler.acquire(Random(1))
    for each in (gone, slot):
        sampler.submit(each, asked(tokens=4))
    said = finish(sampler, 2)[slot]
    sampler.release(gone)  # the other's row moves
    turns = (Turn("model", said.text, said.token_ids), Turn("environment", "\n Anna is. \n"))
    sampler.submit(slot, asked(*turns))
    again = finish(sampler)[slot]
    assert list(again.token_ids or ()) == without_cache(model, asked(*turns), 0, Random())


def test_a_turn_that_was_cut_continues_from_the_cut(model: Model) -> None:
    sampler = PolicySampler(*model, slots=1, temperature=0)
    slot = sampler.acquire(Random(0))
    sampler.submit(slot, asked(tokens=6))
    said = finish(sampler)[slot]
    cut = Turn("model", said.text[:2], (said.token_ids or ())[:2])
    sampler.submit(slot, asked(cut, Turn("environment", "No.")))
    again = finish(sampler)[slot]
    expected = without_cache(model, asked(cut, Turn("environment", "No.")), 0, Random())
    assert list(again.token_ids or ()) == expected


def test_only_new_tokens_are_computed(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    extend = KVCache.extend

    def counted(self: KVCache, row: int, start: int, ids: list[int]) -> None:
        read.append(len(ids))
        extend(self, row, start, ids)

    monkeypatch.setattr(KVCache, "extend", counted)
    sampler = PolicySampler(*model, slots=3, temperature=0)
    prompt = len(prompt_ids(asked().prompt, model[1]))
    slots = [sampler.acquire(Random(i)) for i in range(3)]
    for slot in slots:
        sampler.submit(slot, asked(tokens=4))
    assert read == [prompt - 1]  # once for the whole group
    said = finish(sampler, 3)[slots[0]]
    turns = (Turn("model", said.text, said.token_ids), Turn("environment", "Anna is."))
    sampler.submit(slots[0], asked(*turns))
    # The last sampled token was not yet read, the last of the prompt is read with the first step.
    assert read[1:] == [1 + len("Anna is.") - 1]


def test_a_stop_string_ends_a_completion_and_is_named(model: Model) -> None:
    sampler = PolicySampler(*model, slots=1, temperature=0)
    slot = sampler.acquire(Random(0))
    sampler.submit(slot, asked())
    free = finish(sampler)[slot]
    assert (free.stop_reason, free.completion_tokens) == ("length", 8)
    stop = free.text[3:5]
    sampler.submit(slot, asked(stop=stop))
    stopped = finish(sampler)[slot]
    assert (stopped.stop_reason, stopped.stop_string) == ("stop", stop)
    assert stopped.text == free.text[: free.text.index(stop) + len(stop)]


def test_a_token_that_extends_beyond_the_stop_string_is_cut_after_it() -> None:
    tokenizer = make_tokenizer()
    ids = tokenizer("Anna</search").input_ids
    assert tokenizer.decode(ids[-1]) == "search"
    found = module.completion(ids, (end_of_turn(tokenizer),), ("</sea",), 5, tokenizer)
    assert (found.text, found.stop_string) == ("Anna</sea", "</sea")
    assert found.token_ids is not None
    assert found.token_ids[: len(ids) - 1] == tuple(ids[:-1])
    assert tokenizer.decode(found.token_ids) == found.text
    assert found.sampled_ids == tuple(ids)


def test_an_end_of_turn_is_among_the_ids_and_not_in_the_text(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = end_of_turn(model[1])
    said = iter([*model[1]("Anna", add_special_tokens=False).input_ids, end])
    monkeypatch.setattr(module, "sample_token", lambda *_: ([next(said)], [-0.5]))
    sampler = PolicySampler(*model, slots=1, temperature=0)
    slot = sampler.acquire(Random(0))
    sampler.submit(slot, asked())
    whole = finish(sampler)[slot]
    assert (whole.text, whole.stop_reason, whole.stop_string) == ("Anna", "stop", None)
    assert whole.token_ids is not None
    assert whole.token_ids[-1] == end


def test_a_token_is_sampled_by_inverting_the_cumulative_distribution() -> None:
    class Thrown(Random):
        def __init__(self, number: float) -> None:
            super().__init__(0)
            self.number = number

        def random(self) -> float:
            return self.number

    logits = torch.tensor([0.2, 0.5, 0.3]).log().repeat(5, 1)
    rng = [Thrown(number) for number in (0.0, 0.19, 0.21, 0.69, 0.99)]
    assert sample_token(logits, [1.0] * 5, rng)[0] == [0, 0, 1, 1, 2]
    # At temperature 1/2 probabilities are squared: 4, 25 and 9 of 38.
    assert sample_token(logits, [0.5] * 5, rng)[0] == [0, 1, 1, 1, 2]
    assert sample_token(logits, [0.0] * 5, rng)[0] == [1] * 5
    # Each row has its own temperature.
    assert sample_token(logits, [0.0, 1.0, 0.0, 0.5, 1.0], rng)[0][:2] == [1, 0]


def test_a_sampled_token_has_the_log_probability_of_its_temperature() -> None:
    logits = torch.tensor([0.2, 0.5, 0.3]).log().repeat(3, 1)
    tokens, logps = sample_token(logits, [1.0, 0.5, 0.0], [Random(i) for i in range(3)])
    # At temperature 1/2 probabilities are squared, and at 0 one token has all of the mass.
    at_one, at_half = [0.2, 0.5, 0.3], [4 / 38, 25 / 38, 9 / 38]
    expected = [math.log(at_one[tokens[0]]), math.log(at_half[tokens[1]]), 0.0]
    assert logps == pytest.approx(expected, abs=1e-6)


def test_a_completion_has_all_sampled_ids_and_on_request_the_log_probability_of_each(
    model: Model,
) -> None:
    request = asked(tokens=5)
    for asks in (True, False):
        sampler = PolicySampler(*model, slots=1, temperature=0.8, logps=asks)
        slot = sampler.acquire(Random(0))
        sampler.submit(slot, request)
        sampled = finish(sampler)[slot]
        assert sampled.sampled_ids == sampled.token_ids
        prompt = prompt_ids(request.prompt, model[1])
        ids = torch.tensor([[*prompt, *(sampled.sampled_ids or ())]])
        mask = torch.arange(ids.shape[1])[None] >= len(prompt)
        expected = model[0](ids, mask, 0.8).tolist()
        assert (list(sampled.logps) if sampled.logps else None) == (
            pytest.approx(expected, abs=1e-4) if asks else None
        )


def test_no_more_slots_are_acquired_than_there_are(model: Model) -> None:
    sampler = PolicySampler(*model, slots=1, temperature=0)
    sampler.acquire(Random(0))
    with pytest.raises(RuntimeError, match="all 1 slots are occupied"):
        sampler.acquire(Random(1))
