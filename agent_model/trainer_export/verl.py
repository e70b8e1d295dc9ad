"""verl's side of a hand-over: an agent loop that plays our episodes, and the reward.

verl imports this module by the name that agent_loop.yaml gives it; there is no `@register`, which
would put an entry without the folder in that one's place at the first import.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput
from verl.utils.profiler import simple_timer

from agent_model.rollout.sampler import completion
from agent_model.tokens import encode_prompt, end_of_turn
from agent_model.trainer_export.folder import (
    ExportedRecipe,
    open_export,
    question_of,
    reward_of,
    tokens_of,
)
from autocoa_bench.episode import episode, n_actions
from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.types import Completion, Generate, Observation, Record, Search, Trajectory

_LOG = logging.getLogger(__name__)


class _Told(NamedTuple):
    """What verl wants to know of an episode beside its tokens."""

    metrics: dict[str, Any]
    steps: dict[str, Any]
    faults: list[SearchFault]


class AutoCoALoop(AgentLoopBase):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """One episode a row, sampled by verl's servers, token in and token out."""

    def __init__(self, *args: Any, folder: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._folder = Path(folder)
        self._end = end_of_turn(self.tokenizer)

    async def run(  # type: ignore[no-any-unimported, unused-ignore]
        self, sampling_params: dict[str, Any], **row: Any
    ) -> AgentLoopOutput:
        """Play a row's question. Raises UserError where its prompt is longer than verl's limit."""
        handed = await asyncio.to_thread(open_export, self._folder)
        question = question_of(row)
        told = _Told({}, {}, [])
        play = episode(question, handed.dialect, handed.recipe.budget)
        sampling = {**sampling_params, "ignore_eos": True, "stop_token_ids": [self._end]}
        trajectory = await self._play(play, handed, sampling, told)
        tokens = tokens_of(trajectory, self.tokenizer)
        if len(tokens.prompt) > self.rollout_config.prompt_length:
            raise UserError(
                f"the prompt of question '{question.id}' has {len(tokens.prompt)} tokens; give "
                f"data.max_prompt_length at least as many, not {self.rollout_config.prompt_length}"
            )
        room = self.rollout_config.response_length
        return AgentLoopOutput(
            prompt_ids=tokens.prompt,
            response_ids=tokens.response[:room],
            response_mask=tokens.mask[:room],
            num_turns=1 + len(trajectory.steps) + n_actions(trajectory),
            metrics=told.metrics,
            extra_fields={
                **told.steps,
                "record": msgspec.json.encode(Record(question, 0, trajectory)).decode(),
                "search_faults": len(told.faults),
                "turn_scores": [],
                "tool_rewards": [],
            },
        )

    async def _play(
        self, play: Any, handed: ExportedRecipe, sampling: dict[str, Any], told: _Told
    ) -> Trajectory:
        """Drive an episode to its end."""
        session = uuid4().hex
        event = next(play)
        while True:
            if isinstance(event, Generate):
                reply: Any = await self._sample(event, session, sampling, told)
            else:
                reply = await _search(event, handed, told)
            try:
                event = play.send(reply)
            except StopIteration as end:
                trajectory: Trajectory = end.value
                return trajectory

    async def _sample(
        self, request: Generate, session: str, sampling: dict[str, Any], told: _Told
    ) -> Completion:
        """What verl's servers sample for a request, ended as our own sampler ends it."""
        ids = list(encode_prompt(request.prompt, self.tokenizer))
        with simple_timer("generate_sequences", told.metrics):
            said = await self.server_manager.generate(
                request_id=session,
                prompt_ids=ids,
                sampling_params={
                    **sampling,
                    "stop": list(request.stop),
                    "include_stop_str_in_output": True,
                    "max_tokens": request.max_tokens,
                },
            )
        found = said.extra_fields
        told.steps.setdefault("min_global_steps", found.get("min_global_steps"))
        told.steps["max_global_steps"] = found.get("max_global_steps")
        if not said.token_ids:  # aborted
            return Completion("", "length", prompt_tokens=len(ids), completion_tokens=0)
        return completion(said.token_ids, self._end, request.stop, len(ids), self.tokenizer)


async def _search(event: Search, handed: ExportedRecipe, told: _Told) -> Observation:
    """What is found; a search that fails finds nothing, and is counted and logged."""
    with simple_timer("tool_calls", told.metrics):
        try:
            return Observation(await handed.search.search(event.query))
        except SearchFault as fault:
            told.faults.append(fault)
            _LOG.warning("a search failed: %s", fault)
            return Observation(())


def score(extra_info: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """What verl's reward manager is to log of a rollout of `AutoCoALoop`; `score` is learned from.

    Raises UserError where the rollout is another loop's.
    """
    if "record" not in extra_info:
        raise UserError(
            "the rollout has no record of its episode, so another agent loop played it; set "
            "actor_rollout_ref.rollout.agent.agent_loop_config_path to the folder's agent_loop.yaml"
        )
    record = msgspec.json.decode(extra_info["record"], type=Record)
    found = reward_of(record, folder)
    assert record.trajectory is not None
    return {
        "score": found.value,
        "em": found.score,
        "formed": float(found.formed),
        "searches": float(n_actions(record.trajectory)),
        "search_faults": float(extra_info["search_faults"]),
    }
