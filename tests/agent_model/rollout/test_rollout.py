"""Rollouts: many episodes at once, each with its own replies, in order at the end."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from agent_model.dialects.agent import Agent
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import Slot
from autocoa_bench.episode import episode
from autocoa_bench.types import Budget, Completion, Generate, Observation, Passage, Question

QUESTIONS = [Question(f"q{i}", f"Who is the mayor of town {i}?", ("Anna",)) for i in range(10, 14)]


class Reader:
    """A sampler that searches once for its town, then answers what it found; town 13 never makes
    sense, and town 12 takes longest."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.most = 0
        self._asked: dict[Slot, Generate | None] = {}
        self._late = 3

    def acquire(self, rng: Random) -> Slot:
        slot = Slot(rng)
        self._asked[slot] = None
        self.most = max(self.most, len(self._asked))
        assert self.most <= self.slots
        return slot

    def release(self, slot: Slot) -> None:
        del self._asked[slot]

    def submit(self, slot: Slot, request: Generate) -> None:
        self._asked[slot] = request

    def step(self) -> list[tuple[Slot, Completion]]:
        done = []
        for slot, request in self._asked.items():
            assert request is not None
            question = request.prompt.opening[-1].content.rpartition("Question: ")[2]
            if "town 12" in question and self._late:
                self._late -= 1
                continue
            done.append((slot, self._says(question, request.prompt.continuation)))
        return done

    def _says(self, question: str, turn: str) -> Completion:
        if "town 13" in question:
            return Completion("Hm.")
        if "<search_result>" in turn:
            name = "Bert" if "is Bert" in turn else "Anna"
            return Completion(f"</think>\n\\boxed{{{name}}}")
        return Completion(f"<begin_search> {question} </end_search>")


class Towns:
    """A search engine for towns, odd ones led by Bert, which keeps what was asked together."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, queries: Sequence[str]) -> list[Observation]:
        self.asked.append(list(queries))
        names = ["Bert" if query.strip()[-2] in "13579" else "Anna" for query in queries]
        return [Observation((Passage("p", "Town", f"The mayor is {name}."),)) for name in names]


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_every_episode_ends_with_its_own_answer_however_many_run_at_once(slots: int) -> None:
    sampler = Reader(slots)
    rollouts = [Rollout(episode(q, Agent(shots=0), Budget()), Random(0)) for q in QUESTIONS]
    played = rollout(rollouts, sampler, Towns())
    assert [each.answer for each in played] == ["Anna", "Bert", "Anna", "Hm."]
    assert [each.ending for each in played] == ["answered"] * 3 + ["forced-malformed"]
    assert sampler.most == slots


def test_simultaneous_searches_are_one_call() -> None:
    towns = Towns()
    rollouts = [Rollout(episode(q, Agent(shots=0), Budget()), Random(0)) for q in QUESTIONS]
    rollout(rollouts, Reader(4), towns)
    assert [len(queries) for queries in towns.asked] == [2, 1]


def test_no_rollouts_give_no_trajectories() -> None:
    assert rollout([], Reader(1), Towns()) == []
