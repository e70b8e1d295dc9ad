"""Live episodes: every so often the model in training plays the benchmark's own episodes.

They run in lock step, so that all completions of a round are one batch of the model in process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from torch import Tensor

from agent_model.synthesis.keep import STUDENT, is_well_formed
from agent_model.tokens import Tokenizer, encode_prompt, end_of_turn
from agent_model.training.config import Live
from agent_model.training.files import writing
from agent_model.training.policy import Policy
from autocoa_bench import registry, scoring, tasks
from autocoa_bench.episode import Dialect, episode, n_actions
from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.search import SearchEngine
from autocoa_bench.solvers import DirectSolver, load_solver
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    Observation,
    Question,
    Record,
    Score,
    Trajectory,
)

_TAIL = 24  # tokens that a stop string surely fits into

Sampler = Callable[[Sequence[Generate]], list[Completion]]
"""Completes requests, all of one kind (forced or not), in order."""


class Scores(NamedTuple):
    """Of the episodes: mean exact match, the share that keeps the agent's form (None for another
    solver's), and the mean number of searches."""

    em: float
    formed: float | None
    searches: float


class Scene(NamedTuple):
    """What live episodes are played with, made once."""

    questions: list[Question]
    dialect: Dialect
    search: SearchEngine
    budget: Budget


def prepare(live: Live) -> Scene | None:
    """Load questions, corpus and solver; None where no tasks are named. Raises UserError."""
    if not live.tasks:
        return None
    solver = load_solver(live.solver)
    if isinstance(solver.plugin, DirectSolver):
        raise UserError(f"live episodes need a solver with a dialect, and '{live.solver}' has none")
    chosen = tasks.resolve(live.tasks)
    share = -(-live.count // len(chosen))
    questions = [q for task in chosen for q in tasks.sample(task.load(live.split), share, 0)]
    corpora = {task.info.corpora.get(live.split, "") for task in chosen}
    corpus = live.corpus or (corpora.pop() if len(corpora) == 1 else "")
    if not corpus:
        raise UserError(f"live tasks '{live.tasks}' name no one corpus; give live.corpus")
    search = registry.load("search", "bm25")(corpus, top_k=live.top_k)
    budget = Budget(live.max_actions, live.context_tokens, live.step_tokens)
    return Scene(questions[: live.count], solver.plugin, search, budget)


def play(scene: Scene, policy: Policy, tokenizer: Tokenizer, file: Path) -> Scores:
    """Play every question greedily, write the records to `file`, and score them."""

    def sampler(requests: Sequence[Generate]) -> list[Completion]:
        return complete(policy, tokenizer, requests)

    policy.eval()
    try:
        trajectories = run_all(scene, sampler)
    finally:
        policy.train()
    records = [Record(q, 0, t) for q, t in zip(scene.questions, trajectories, strict=True)]
    with writing(file):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    return scores(records)


def scores(records: Sequence[Record]) -> Scores:
    """The scores of finished episodes."""
    exact = scoring.load_scorers(("em",))
    values = [_value(record, scoring.score_record(record, exact)["em"]) for record in records]
    played = [record.trajectory for record in records if record.trajectory]
    formed = [is_well_formed(each) for each in played if each.solver == STUDENT.name]
    return Scores(
        em=sum(values) / len(values),
        formed=sum(formed) / len(formed) if formed else None,
        searches=sum(map(n_actions, played)) / len(played),
    )


def _value(record: Record, score: Score) -> float:
    if score.value is None:
        raise UserError(
            f"the live episode of question '{record.question.id}' cannot be scored "
            f"({score.reason}); name other tasks under live.tasks"
        )
    return score.value


def run_all(scene: Scene, sampler: Sampler) -> list[Trajectory]:
    """Play all questions in lock step; trajectories in the questions' order."""
    runs = [episode(question, scene.dialect, scene.budget) for question in scene.questions]
    events = {i: next(run) for i, run in enumerate(runs)}
    finished: dict[int, Trajectory] = {}
    while events:
        replies: dict[int, Completion | Observation] = {}
        for forced in (False, True):
            asked = {
                i: event
                for i, event in events.items()
                if isinstance(event, Generate) and event.forced is forced
            }
            if asked:
                replies.update(zip(asked, sampler(list(asked.values())), strict=True))
        for i, event in events.items():
            if not isinstance(event, Generate):
                replies[i] = _look_up(scene.search, event.query)
        events = {}
        for i, reply in replies.items():
            try:
                events[i] = runs[i].send(reply)
            except StopIteration as end:
                finished[i] = end.value
    return [finished[i] for i in range(len(runs))]


@torch.no_grad()
def complete(
    policy: Policy, tokenizer: Tokenizer, requests: Sequence[Generate]
) -> list[Completion]:
    """Greedy completions of requests that share their stop strings, as one left-padded batch."""
    prompts = [encode_prompt(request.prompt, tokenizer) for request in requests]
    end = end_of_turn(tokenizer)
    width = max(map(len, prompts))
    device = next(policy.parameters()).device
    ids = torch.full((len(prompts), width), end, dtype=torch.long)
    for row, prompt in zip(ids, prompts, strict=True):
        row[width - len(prompt) :] = torch.tensor(prompt)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    attention = torch.arange(width)[None] >= width - lengths[:, None]
    stop = requests[0].stop
    made = policy.model.generate(
        input_ids=ids.to(device),
        attention_mask=attention.long().to(device),
        max_new_tokens=max(request.max_tokens for request in requests),
        do_sample=False,
        eos_token_id=end,
        pad_token_id=end,
        stopping_criteria=[_met(stop, width, tokenizer)],
    )
    return [
        _completion(row[: request.max_tokens], end, stop, len(prompt), tokenizer)
        for row, request, prompt in zip(made[:, width:].tolist(), requests, prompts, strict=True)
    ]


def _met(stop: Sequence[str], width: int, tokenizer: Tokenizer) -> Callable[..., Tensor]:
    """Whether each row has sampled a stop string after its prompt of `width` tokens.

    Unlike the library's own criterion, it never counts characters of the prompt.
    """

    def met(ids: Tensor, _: Tensor, **__: Any) -> Tensor:
        tails = tokenizer.batch_decode(ids[:, max(width, ids.shape[1] - _TAIL) :])
        found = [any(each in tail for each in stop) for tail in tails]
        return torch.tensor(found, device=ids.device)

    return met


def _completion(
    sampled: list[int], end: int, stop: Sequence[str], prompt_tokens: int, tokenizer: Tokenizer
) -> Completion:
    """What was sampled up to the end of turn, which also pads rows that met a stop string; only
    where it was sampled is it among the ids, as episodes expect it there."""
    ended = end in sampled
    ids = sampled[: sampled.index(end)] if ended else sampled
    text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    met = [each for each in stop if each in text]
    return Completion(
        text=text,
        stop_reason="stop" if ended or met else "length",
        stop_string=min(met, key=text.find) if met else None,
        prompt_tokens=prompt_tokens,
        completion_tokens=len(ids),
        token_ids=tuple(ids) if met or not ended else (*ids, end),
    )


def _look_up(search: SearchEngine, query: str) -> Observation:
    try:
        return Observation(asyncio.run(search.search(query)))
    except SearchFault as fault:
        raise UserError(f"the live episodes' search failed: {fault}") from None
