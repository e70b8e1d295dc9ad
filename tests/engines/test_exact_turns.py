"""A prompt is the rendered opening and the turn as recorded, byte for byte and token for token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from agent_model.data.export import trl_pair_text, trl_tokens
from agent_model.data.pairs import Pair
from agent_model.dialects import Agent
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler, Slot
from agent_model.tokens import encode, encode_pair, encode_sampled
from agent_model.trainer_export.folder import tokens_of
from agent_model.training.model import Policy
from autocoa_bench.engines import tokenizer as turn_tokens
from autocoa_bench.engines import turns
from autocoa_bench.engines.tokenizer import prompt_ids
from autocoa_bench.engines.transformers.engine import TransformersEngine
from autocoa_bench.episode import episode
from autocoa_bench.episode.trajectory import turns_of_steps
from autocoa_bench.runs.solvers import Backends, drive, load_solver
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    Observation,
    Passage,
    Prompt,
    Question,
    Record,
    Sampling,
    Trajectory,
)
from support.templates import TEMPLATES
from support.tiny import tiny_model
from support.tiny_llm import make_tokenizer
from support.token_server import Kind, TokenServer

QUESTION = Question("q", "Who built the tower of Où?", ("Anna",))
PASSAGES = (Passage("1", " The Tower\n", "Anna built it; \u6771\u4eac.\n\n "),)
SPECIALS = (
    *("<bos>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>"),
    *("<end_of_turn>", "<|start|>", "<|end|>", "<|channel|>", "<|message|>", "<|return|>"),
    *("<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
    *("<\uff5cbegin\u2581of\u2581sentence\uff5c>", "</s>", "[INST]", "[/INST]"),
    *("<|begin_of_query|>", "<|end_of_query|>", "<|begin_of_documents|>", "<|end_of_documents|>"),
)

Script = tuple[str, ...]

BUDGET = Budget(max_actions=2, context_tokens=100_000, step_tokens=1000)

SCRIPTS: dict[str, tuple[str, str, str]] = {
    "model-only": ("hm", "", "Anna}"),
    "react": (" I look.\nAction: Search[tower]", " So.\nAction: Finish[Anna]", "Anna]"),
    "agent": (
        " \nI look é.\n\n<begin_search> tower </end_search>",
        "\nAnna. </think>\n\n\\boxed{Anna}",
        "Anna}",
    ),
    "cot": ("I know 東京.\n</think>\n\n\\boxed{Anna}", "", "Anna}"),
    "search-r1": (
        "<think> I look </think>\n<search> tower </search>",
        "<think> so </think>\n<answer> Anna </answer>",
        " Anna </answer>",
    ),
    "r1-searcher": (
        "I look\n<|begin_of_query|> tower <|end_of_query|>",
        "\n</think>\n<answer> Anna </answer>",
        " Anna </answer>",
    ),
}
SCRIPTS["agent:shots=2"] = SCRIPTS["agent"]


class Search:
    """Finds the same passages always."""

    spec = None

    async def search(self, query: str) -> tuple[Passage, ...]:
        return PASSAGES

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = make_tokenizer()
    made.add_special_tokens({"additional_special_tokens": list(SPECIALS)})
    return made


def texts(script: Script) -> Iterator[str]:
    yield from (text for text in script if text)
    while True:
        yield "hm"


Played = list[tuple[Trajectory, list[tuple[str, tuple[int, ...]]]]]


def played(server: TokenServer, episodes: Iterable[tuple[str, Script]], **options: Any) -> Played:
    """Episodes in which the model says the texts of a script, then only `hm`, each with the prompts
    that the server received."""

    async def run() -> Played:
        server.reply = lambda prompt: "ok"
        engine = server.engine(**options)
        await engine.start()
        results: Played = []
        for solver, script in episodes:
            said = texts(script)
            server.received = []
            server.reply = lambda prompt, said=said: next(said)  # type: ignore[misc]
            dialect: Any = load_solver(solver).plugin
            backends = Backends(engine, Search())  # type: ignore[arg-type]
            trajectory = await drive(QUESTION, dialect, backends, Sampling(), BUDGET)
            results.append((trajectory, server.received))
        await engine.close()
        return results

    return asyncio.run(run())


def check_exact(
    trajectory: Trajectory, received: list[tuple[str, tuple[int, ...]]], tokenizer: Any
) -> None:
    """The prompts received are the opening and the turn as recorded, token for token."""
    steps = trajectory.steps
    opening, head = turn_tokens.encode_opening(trajectory.opening, tokenizer)
    start, written = opening + trajectory.prefill, [step.text + step.observation for step in steps]
    assert [text for text, _ in received] == [
        start + "".join(written[:number]) for number in range(len(steps))
    ]
    assert not (turns.opens_thought(opening) and trajectory.prefill.startswith("<think>"))
    for number, (_, ids) in enumerate(received):
        prompt = Prompt(trajectory.opening, turns_of_steps(steps[:number]), trajectory.prefill)
        assert ids == (*head, *turn_tokens.turn_ids(opening, prompt, tokenizer))
    if trajectory.solver != "react":
        last = received[-1][1]
        assert encode_sampled(trajectory, tokenizer)[0].ids[: len(last)] == last


def episodes() -> Iterator[tuple[str, Script]]:
    """Each solver searches and answers, is forced at once, and is forced after a search."""
    for solver, (first, second, forced) in SCRIPTS.items():
        yield from ((solver, (first, second)), (solver, ("hm", "hm", forced)))
        if solver in ("agent", "react"):
            yield solver, (first, "hm", "hm", forced)


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_changes_nothing_but_the_opening(
    template: str, kind: Kind, tokenizer: Any
) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    for trajectory, received in played(TokenServer(tokenizer, str, kind), episodes()):
        check_exact(trajectory, received, tokenizer)


@pytest.mark.parametrize("template", ["plain", "drops thoughts and opens one", "writes a BOS"])
def test_an_sglang_whose_tokenizer_takes_no_messages_names_the_ids_of_a_chat(
    template: str, tokenizer: Any
) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    for trajectory, received in played(TokenServer(tokenizer, str, "old sglang"), episodes()):
        check_exact(trajectory, received, tokenizer)


@pytest.mark.parametrize("takes_ids", [True, False])
@pytest.mark.parametrize("template", ["plain", "drops thoughts and opens one", "trims contents"])
def test_a_named_tokenizer_serves_a_server_that_only_completes(
    template: str, takes_ids: bool, tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    tokenizer.save_pretrained(tmp_path)
    server = TokenServer(tokenizer, str, "chat")
    server.takes_ids = takes_ids
    for trajectory, received in played(server, episodes(), tokenizer=str(tmp_path)):
        texts = [text for text, _ in received]
        start = turn_tokens.opening_text(trajectory.opening, tokenizer) + trajectory.prefill
        written = [step.text + step.observation for step in trajectory.steps]
        assert texts == [start + "".join(written[:number]) for number in range(len(written))]
        if takes_ids:
            check_exact(trajectory, received, tokenizer)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_chat_template_that_drops_thoughts(template: str, tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    for trajectory, received in played(TokenServer(tokenizer, str, "chat"), episodes()):
        for number, (prompt, _) in enumerate(received):
            turns_before = turns_of_steps(trajectory.steps[:number])
            for turn in turns_before:
                assert "".join(turn.text.split()) in "".join(prompt.split())


class Recording(PolicySampler):
    """The policy's sampler, which says a script, and keeps the prompts that it was given."""

    def submit(self, slot: Slot, request: Generate, temperature: float | None = None) -> None:
        super().submit(slot, request, temperature)
        prompts.append(tuple(slot.ids))

    def step(self) -> list[tuple[Slot, Completion]]:
        [slot] = self._batch.rows
        slot.ids = [*slot.ids[: slot.prompt], *said.pop(0)]
        completion = self._completed(slot)
        assert completion is not None
        return [(slot, completion)]


prompts: list[tuple[int, ...]] = []
said: list[list[int]] = []


@pytest.mark.parametrize(
    "template",
    [
        "opens a thought with a line break",
        "opens a thought without a line break",
        "opens a thought with a blank line",
        "drops thoughts and opens one",
        "writes an empty thought",
        "plain",
    ],
)
def test_training_runs_and_exports_have_the_same_ids(
    template: str, tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    first, second, _ = SCRIPTS["agent"]
    [(trajectory, received)] = played(
        TokenServer(tokenizer, str, "vllm"), [("agent", (first, second))]
    )
    run = [ids for _, ids in received]

    # A step of GRPO, with the same text sampled.
    folder = tiny_model(tmp_path, vocabulary=len(tokenizer) + 1)
    tokenizer.save_pretrained(folder)
    policy = Policy(AutoModelForCausalLM.from_pretrained(folder))
    prompts.clear()
    said[:] = [list(step.token_ids or ()) for step in trajectory.steps]
    traits = turn_tokens.traits(tokenizer)
    events = episode(QUESTION, Agent(shots=0), BUDGET, traits)
    sampler = Recording(policy, tokenizer, 1, 1.0)
    [trained] = rollout(
        [Rollout(events, Random(0))], sampler, lambda queries: [Observation(PASSAGES)]
    )
    assert prompts == run
    assert encode(trained, tokenizer) == encode(trajectory, tokenizer)

    # The transformers engine, the other trainers' token ids, and exported data.
    engine = TransformersEngine(str(folder))
    engine._tokenizer = tokenizer
    start = Prompt(trajectory.opening, turns_of_steps(trajectory.steps[:1]), trajectory.prefill)
    assert tuple(engine._prompt_ids(start)) == prompt_ids(start, tokenizer) == run[1]
    ids = encode(trajectory, tokenizer).ids
    tokens = tokens_of(trajectory, tokenizer)
    assert (*tokens.prompt, *tokens.response) == encode_sampled(trajectory, tokenizer)[0].ids
    assert tokens.prompt == list(run[0])
    exported = trl_tokens(Record(QUESTION, 0, trajectory), tokenizer)
    assert exported["input_ids"] == list(ids)
    pair = Pair(QUESTION, trajectory.opening, trajectory.prefill, (), "a", "b", (False, False))
    chosen, _ = encode_pair(pair, tokenizer)
    assert chosen.ids[: len(run[0])] == run[0]
    assert trl_pair_text(pair, tokenizer)["prompt"] == received[0][0]
