"""What was sampled is sent back as it was sampled: a thousand episodes with the nano tokenizer."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from agent_model.dialects import Agent
from agent_model.nano import base_text
from agent_model.nano.tokenizer import make_tokenizer
from agent_model.nano.untrained import _TAGS
from agent_model.tokens import encode_sampled
from autocoa_bench import tasks
from autocoa_bench.engines import tokenizer as turn_tokens
from autocoa_bench.episode.trajectory import turns_of_steps
from autocoa_bench.runs.solvers import Backends, drive
from autocoa_bench.search import corpus
from autocoa_bench.types import Budget, Passage, Prompt, Question, Sampling
from support.token_server import TokenServer

EPISODES = 1000


class Sampler(TokenServer):
    """A vLLM whose model samples words at random, and now and then a search or an answer."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer, str)
        self.rng = Random(0)
        # Words alone: some tokens are whole prompts, which go beyond a stop string within them.
        pieces = ((i, turn_tokens.decode([i], tokenizer)) for i in range(len(tokenizer)))
        self.words = [i for i, text in pieces if text.isalnum() or text == "\n"]
        tags = (*Agent.query_tags, "</think>", "\\boxed{", "}")
        self.tags = {tag: turn_tokens.encode(tag, tokenizer) for tag in tags}
        self.sampled: list[tuple[int, ...]] = []

    def _sampled(self, prompt: str, body: dict[str, Any]) -> tuple[str, str | None, list[int]]:
        begin, end = Agent.query_tags
        stops = body.get("stop", ())
        words = self.rng.choices(self.words, k=self.rng.randrange(1, 8))
        query = self.rng.choices(self.words, k=2)
        kind = self.rng.randrange(4)
        ids = list(words)
        if kind < 2:
            ids += [*self.tags[begin], *query, *self.tags[end]]
        elif kind == 2:
            ids += [*self.tags["</think>"], *self.tags["\\boxed{"], *query, *self.tags["}"]]
        # No other token of the vocabulary may stop it.
        texts = [turn_tokens.decode(ids[: i + 1], self.tokenizer) for i in range(len(ids))]
        for i, text in enumerate(texts):
            if found := [s for s in stops if s in text]:
                first = min(found, key=text.find)
                self.sampled.append(tuple(ids[: i + 1]))
                return text[: text.find(first)], first, ids[: i + 1]
        ids.append(self.tokenizer.eos_token_id)
        self.sampled.append(tuple(ids))
        return texts[-1], None, ids


def nano_tokenizer() -> Any:
    passages = [*corpus.read_passages(corpus.corpus_file("nano"))]
    questions = [q for task in tasks.resolve("nano") for q in task.load("test")]
    words = [f"{p.title} {p.text}" for p in passages] + [q.text for q in questions]
    words += base_text.environment_texts()
    return make_tokenizer(words, [*base_text.prompt_phrases(), *_TAGS]), passages, questions


def test_sampled_ids_come_back_as_they_were_in_a_thousand_episodes() -> None:
    tokenizer, passages, questions = nano_tokenizer()
    server, agent = Sampler(tokenizer), Agent(shots=0)

    class Search:
        spec = None

        async def search(self, query: str) -> tuple[Passage, ...]:
            return (passages[len(query) % len(passages)],)

        async def close(self) -> None:
            pass

    async def run() -> None:
        engine = server.engine()
        spec = await engine.start()
        assert spec.protocol == "template"
        budget = Budget(max_actions=3, context_tokens=100_000)
        for number in range(EPISODES):
            server.received, server.sampled = [], []
            backends = Backends(engine, Search())  # type: ignore[arg-type]
            question: Question = questions[number % len(questions)]
            trajectory = await drive(question, agent, backends, Sampling(), budget)
            check(trajectory)
        await engine.close()

    def check(trajectory: Any) -> None:
        steps = trajectory.steps
        sent = [ids for _, ids in server.received]
        assert len(sent) == len(steps)
        for step, sampled in zip(steps, server.sampled, strict=True):
            # A forced answer ends the turn, and may be cut.
            assert step.forced or step.token_ids in (sampled, sampled[:-1])
        prompt = Prompt(trajectory.opening, turns_of_steps(steps[:-1]), trajectory.prefill)
        assert sent[-1] == turn_tokens.prompt_ids(prompt, tokenizer)
        assert all(sent[-1][: len(ids)] == ids for ids in sent[:1])
        assert encode_sampled(trajectory, tokenizer)[0].ids[: len(sent[-1])] == sent[-1]

    asyncio.run(run())
