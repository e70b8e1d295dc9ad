"""The episode: the paper's Algorithm 1 for any dialect, as a generator without I/O.

Evaluation, data synthesis and reinforcement learning all drive this one loop. The generator
yields `Generate` or `Search`; whoever drives it sends back a `Completion` or an `Observation`, or
`Refused` where the server has no room for the prompt; it returns the `Trajectory`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import msgspec

from autocoa_bench.episode.answer_text import after_reasoning
from autocoa_bench.episode.dialect import Action, Dialect
from autocoa_bench.episode.neutralise import neutralise
from autocoa_bench.episode.trajectory import estimate_tokens, turns_of_steps
from autocoa_bench.errors import CONTEXT, EngineFault
from autocoa_bench.types import (
    Budget,
    Completion,
    Ending,
    Generate,
    Observation,
    Passage,
    Prompt,
    Question,
    Refused,
    Search,
    Step,
    Trajectory,
    Turn,
)

Event = Generate | Search
Reply = Completion | Observation | Refused
Episode = Generator[Event, Reply, Trajectory]


def episode(question: Question, dialect: Dialect, budget: Budget) -> Episode:
    """Run one question (paper, Algorithm 1).

    The loop ends when the model answers, or is made to: after `max_actions` searches, when the
    context has no room for another step, or at the second malformed completion (the first is
    nudged, where the dialect has a nudge). A forced answer appends the dialect's `force` to the
    turn and samples at most `answer_tokens`.

    A server may have less room than the budget. Where its refusal says how much, that becomes the
    budget's `context_tokens`; else the answer is forced. A forced answer that is refused too is
    asked for again with one passage fewer of the last observation each time. Raises EngineFault
    once there is none left.
    """
    opening = dialect.opening(question)
    prefill = dialect.prefill
    steps: list[Step] = []
    searches = 0
    nudged = False
    used = sum(estimate_tokens(message.content) for message in opening) + estimate_tokens(prefill)
    # Room is kept back for what the environment may have to say last: a nudge or an empty
    # observation, then the opening of a forced answer, and the answer itself.
    last_words = max(estimate_tokens(dialect.nudge or ""), estimate_tokens(dialect.show([])))
    kept_back = budget.answer_tokens + last_words + estimate_tokens(dialect.force)
    context = budget.context_tokens
    refusals = 0

    while True:
        limit = context - kept_back
        if dialect.searches and searches >= budget.max_actions:
            ending: Ending = "forced-actions"
            break
        if used >= limit:
            ending = "forced-context"
            break
        completion = yield Generate(
            prompt=Prompt(opening, turns_of_steps(steps), prefill),
            stop=dialect.stop,
            max_tokens=min(budget.step_tokens, limit - used),
        )
        if isinstance(completion, Refused):
            refusals += 1
            if completion.context_tokens is None or completion.context_tokens >= context:
                ending = "forced-context"
                break
            context, used = completion.context_tokens, completion.prompt_tokens or used
            continue
        assert isinstance(completion, Completion)
        action = dialect.parse(completion)
        used = _tokens_after(used, completion, action.text)
        if action.kind == "answer":
            steps.append(_step(action, completion))
            return Trajectory(
                dialect.name, opening, prefill, tuple(steps), action.argument, "answered", refusals
            )
        if action.kind == "search":
            searches += 1
            said = Turn("model", action.text, _kept_ids(action, completion))
            found = yield Search(
                action.argument, Prompt(opening, (*turns_of_steps(steps), said), prefill)
            )
            assert isinstance(found, Observation)
            text, kept = _observe(found, dialect, limit - used)
        elif dialect.nudge is not None and not nudged:
            nudged = True
            text, kept, found = dialect.nudge, (), Observation(())
        else:
            steps.append(_step(action, completion))
            ending = "forced-malformed"
            break
        steps.append(_step(action, completion, text, found, kept))
        used += estimate_tokens(text)

    forced = Turn("environment", dialect.force)
    while True:
        completion = yield Generate(
            prompt=Prompt(opening, (*turns_of_steps(steps), forced), prefill),
            stop=dialect.force_stop,
            max_tokens=budget.answer_tokens,
            forced=True,
        )
        if not isinstance(completion, Refused):
            break
        refusals += 1
        if not (steps and steps[-1].passages):
            raise EngineFault(CONTEXT, completion.message)
        steps.append(_with_a_passage_fewer(steps.pop(), dialect))
    assert isinstance(completion, Completion)
    if steps:
        steps.append(_followed_by(steps.pop(), dialect.force))
    else:
        prefill += dialect.force
    answer = dialect.parse_forced(after_reasoning(completion.text))
    action = Action("answer", completion.text, answer or "")
    steps.append(_step(action, completion, forced=True))
    return Trajectory(dialect.name, opening, prefill, tuple(steps), answer, ending, refusals)


def _with_a_passage_fewer(step: Step, dialect: Dialect) -> Step:
    kept = step.passages[:-1]
    text = _shown(kept, dialect)
    return msgspec.structs.replace(
        step,
        observation=text,
        observation_tokens=estimate_tokens(text),
        observation_ids=None,
        passages=kept,
        dropped_passages=step.dropped_passages + 1,
    )


def _followed_by(step: Step, text: str) -> Step:
    return msgspec.structs.replace(
        step,
        observation=step.observation + text,
        observation_tokens=step.observation_tokens + estimate_tokens(text),
    )


def _tokens_after(used: int, completion: Completion, text: str) -> int:
    """Tokens in the context after a completion: the server's count, or our estimate."""
    if completion.prompt_tokens is not None and completion.completion_tokens is not None:
        return completion.prompt_tokens + completion.completion_tokens
    return used + estimate_tokens(text)


def _observe(found: Observation, dialect: Dialect, room: int) -> tuple[str, tuple[Passage, ...]]:
    """The observation, and the passages that fit into `room` tokens, best first."""
    kept = tuple(found.passages)
    if found.text and estimate_tokens(found.text) <= room:
        return found.text, kept
    while True:
        text = _shown(kept, dialect)
        if not kept or estimate_tokens(text) <= room:
            return text, kept
        kept = kept[:-1]


def _shown(passages: Sequence[Passage], dialect: Dialect) -> str:
    return dialect.show(
        [
            Passage(neutralise(p.id), neutralise(p.title), neutralise(p.text), p.score)
            for p in passages
        ]
    )


def _step(
    action: Action,
    completion: Completion,
    observation: str = "",
    found: Observation | None = None,
    kept: tuple[Passage, ...] = (),
    *,
    forced: bool = False,
) -> Step:
    return Step(
        kind=action.kind,
        text=action.text,
        argument=action.argument,
        problem=action.problem,
        forced=forced,
        observation=observation,
        passages=kept,
        dropped_passages=len(found.passages) - len(kept) if found else 0,
        stop_reason=completion.stop_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        observation_tokens=estimate_tokens(observation) if observation else 0,
        observation_ids=found.token_ids if found and observation == found.text else None,
        token_ids=_kept_ids(action, completion),
        generate_seconds=completion.seconds,
        search_seconds=found.seconds if found else 0.0,
    )


def _kept_ids(action: Action, completion: Completion) -> tuple[int, ...] | None:
    """The sampled ids, if all that they spell is the action's text.

    A token that ends the model's turn stays only with an answer: other steps go on in the turn.
    """
    ids, stop = completion.token_ids, completion.stop_string or ""
    sampled = completion.text if completion.text.endswith(stop) else completion.text + stop
    if ids is None or action.text != sampled:
        return None
    ended = completion.stop_reason == "stop" and not stop
    return ids[:-1] if ended and action.kind != "answer" else ids
