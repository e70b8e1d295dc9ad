"""verl's side of an exported folder: an agent loop that runs our episodes, and the reward.

verl imports this module by the name in agent_loop.yaml. `AutoCoALoop` has no `@register`, which
would replace that entry by one without the folder as soon as this module is imported.
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
from agent_model.trainer_export.folder import (
    ExportedRecipe,
    open_export,
    question_of,
    reward_of,
    tokens_of,
)
from agent_model.training.config import episode_budget
from autocoa_bench.engines.tokenizer import end_ids, prompt_ids, traits
from autocoa_bench.episode import episode, n_actions
from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.types import Completion, Generate, Observation, Record, Search, Trajectory

_LOG = logging.getLogger(__name__)


class _EpisodeLog(NamedTuple):
    """Values of an episode for verl's log: timings, the policy's global steps, failed searches."""

    timings: dict[str, Any]
    global_steps: dict[str, Any]
    faults: list[SearchFault]


class AutoCoALoop(AgentLoopBase):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """Runs one episode a row, sampled by verl's servers; token ids in, token ids out."""

    def __init__(self, *args: Any, folder: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._folder = Path(folder)
        self._ends = end_ids(self.tokenizer)

    async def run(  # type: ignore[no-any-unimported, unused-ignore]
        self, sampling_params: dict[str, Any], **row: Any
    ) -> AgentLoopOutput:
        """Run the episode of a row. Raises UserError if its prompt exceeds verl's limit."""
        export = await asyncio.to_thread(open_export, self._folder)
        question = question_of(row)
        log = _EpisodeLog({}, {}, [])
        sampling = {**sampling_params, "ignore_eos": True, "stop_token_ids": list(self._ends)}
        budget = episode_budget(export.recipe)
        events = episode(question, export.dialect, budget, traits(self.tokenizer))
        trajectory = await self._run_episode(events, export, sampling, log)
        tokens = tokens_of(trajectory, self.tokenizer)
        if len(tokens.prompt) > self.rollout_config.prompt_length:
            raise UserError(
                f"the prompt of question '{question.id}' has {len(tokens.prompt)} tokens, more "
                f"than data.max_prompt_length={self.rollout_config.prompt_length}; raise that"
            )
        n_tokens = self.rollout_config.response_length
        return AgentLoopOutput(
            prompt_ids=tokens.prompt,
            response_ids=tokens.response[:n_tokens],
            response_mask=tokens.mask[:n_tokens],
            num_turns=1 + len(trajectory.steps) + n_actions(trajectory),
            metrics=log.timings,
            extra_fields={
                **log.global_steps,
                "record": msgspec.json.encode(Record(question, 0, trajectory)).decode(),
                "search_faults": len(log.faults),
                "turn_scores": [],
                "tool_rewards": [],
            },
        )

    async def _run_episode(
        self, events: Any, export: ExportedRecipe, sampling: dict[str, Any], log: _EpisodeLog
    ) -> Trajectory:
        session = uuid4().hex
        event = next(events)
        while True:
            if isinstance(event, Generate):
                reply: Any = await self._sample(event, session, sampling, log)
            else:
                reply = await _search(event, export, log)
            try:
                event = events.send(reply)
            except StopIteration as end:
                trajectory: Trajectory = end.value
                return trajectory

    async def _sample(
        self, request: Generate, session: str, sampling: dict[str, Any], log: _EpisodeLog
    ) -> Completion:
        """A completion by verl's servers, cut where our own sampler would end it."""
        ids = list(prompt_ids(request.prompt, self.tokenizer))
        with simple_timer("generate_sequences", log.timings):
            output = await self.server_manager.generate(
                request_id=session,
                prompt_ids=ids,
                sampling_params={
                    **sampling,
                    "stop": list(request.stop),
                    "include_stop_str_in_output": True,
                    "max_tokens": request.max_tokens,
                },
            )
        fields = output.extra_fields
        log.global_steps.setdefault("min_global_steps", fields.get("min_global_steps"))
        log.global_steps["max_global_steps"] = fields.get("max_global_steps")
        if not output.token_ids:  # aborted
            return Completion("", "length", prompt_tokens=len(ids), completion_tokens=0)
        return completion(output.token_ids, self._ends, request.stop, len(ids), self.tokenizer)


async def _search(event: Search, export: ExportedRecipe, log: _EpisodeLog) -> Observation:
    """The results of a search; a failed search is logged and has none."""
    with simple_timer("tool_calls", log.timings):
        try:
            return Observation(await export.search.search(event.query))
        except SearchFault as fault:
            log.faults.append(fault)
            _LOG.warning("a search failed: %s", fault)
            return Observation(())


def score(extra_info: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """The reward of a rollout by `AutoCoALoop` (`score`), with values for verl's log.

    Raises UserError if another agent loop made the rollout.
    """
    if "record" not in extra_info:
        raise UserError(
            "the rollout has no record of its episode, so another agent loop made it; set "
            "actor_rollout_ref.rollout.agent.agent_loop_config_path to the folder's agent_loop.yaml"
        )
    record = msgspec.json.decode(extra_info["record"], type=Record)
    reward = reward_of(record, folder)
    assert record.trajectory is not None
    return {
        "score": reward.value,
        "em": reward.score,
        "formed": float(reward.formed),
        "searches": float(n_actions(record.trajectory)),
        "search_faults": float(extra_info["search_faults"]),
    }
