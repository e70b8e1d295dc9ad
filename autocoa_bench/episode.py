"""The episode: the paper's Algorithm 1 for any dialect, as a generator without I/O.

Evaluation, data synthesis and reinforcement learning all drive this one loop. The generator
yields `Generate` or `Search`; whoever drives it sends back a `Completion` or an `Observation`, or
`Refused` where the server has no room for the prompt; it returns the `Trajectory`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from autocoa_bench.errors import CONTEXT, EngineFault
from autocoa_bench.markup import after_reasoning
from autocoa_bench.types import (
    Budget,
    Completion,
    Ending,
    Generate,
    Message,
    Observation,
    Passage,
    Prompt,
    Question,
    Refused,
    Search,
    Step,
    StepKind,
    Trajectory,
    Turn,
)

Event = Generate | Search
Reply = Completion | Observation | Refused
Episode = Generator[Event, Reply, Trajectory]


class Action(NamedTuple):
    """A completion as a dialect reads it.

    `text` is what stays in the turn: the sampled text with a stripped stop string put back and
    anything after the action cut. `argument` is the query or the answer; `problem` says why a
    malformed completion is neither.
    """

    kind: StepKind
    text: str
    argument: str = ""
    problem: str = ""


class Dialect(Protocol):
    """How a solver's model is asked, read and shown passages: what makes a solver a solver."""

    name: str
    section: str
    """The heading under which reports list it (Table 1: "Agentic workflow", "Agent model")."""
    searches: bool
    """False for a dialect that has no way to ask for a search."""
    prefill: str
    """Opens the model's turn before it samples anything; may be empty."""
    stop: tuple[str, ...]
    """Strings at which a completion ends. A server may or may not return the one it met."""
    nudge: str | None
    """Said after the first malformed completion of an episode; None forces the answer at once."""
    force: str
    """Opens a forced answer."""
    force_stop: tuple[str, ...]
    """Ends a forced answer."""

    def opening(self, question: Question) -> tuple[Message, ...]:
        """The messages before the model's turn."""
        ...

    def parse(self, completion: Completion) -> Action:
        """Read a completion as a search, an answer or malformed. Never raises."""
        ...

    def show(self, passages: Sequence[Passage]) -> str:
        """The observation for passages that `inert` has already been applied to."""
        ...

    def parse_forced(self, text: str) -> str | None:
        """The answer in a forced completion's text, or None where there is none."""
        ...


_BRACKET_TOKEN = re.compile(r"\[(/?[A-Za-z][A-Za-z_0-9 ]*)\]")
_KEPT_INVISIBLE = "\u200c\u200d"  # joiners that some scripts are spelled with


def inert(text: str) -> str:
    """Untrusted text made unable to act in any dialect, still legible.

    No `<` or `>` (every tag and most chat templates' special tokens), no `[INST]`-like token,
    no backslash (`\\boxed`), no line breaks, so that no line can begin with `Action:`, and no
    control characters, so that no terminal obeys it.
    """
    flat = " ".join(text.split())
    if not flat.isprintable():
        flat = "".join(char for char in flat if char.isprintable() or char in _KEPT_INVISIBLE)
    flat = flat.replace("<", "‹").replace(">", "›").replace("\\", "/")
    return _BRACKET_TOKEN.sub(r"(\1)", flat)


def estimate_tokens(text: str) -> int:
    """Tokens of a text where no server has counted them: a cautious 2.5 characters a token."""
    return -(-2 * len(text) // 5)


def n_actions(trajectory: Trajectory) -> int:
    """The number of actions of a trajectory: the searches it made (#action of Figure 3)."""
    return sum(step.kind == "search" for step in trajectory.steps)


def n_malformed(trajectory: Trajectory) -> int:
    """How many completions could be read as neither a search nor an answer."""
    return sum(step.kind == "malformed" for step in trajectory.steps)


def turns_of(trajectory: Trajectory) -> tuple[Turn, ...]:
    """The assistant's turn of a trajectory, piece by piece in order, by who wrote it."""
    prefill = (Turn("environment", trajectory.prefill),) if trajectory.prefill else ()
    return prefill + _turns(trajectory.steps)


def _turns(steps: Sequence[Step]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for step in steps:
        turns += [
            Turn("model", step.text, step.token_ids),
            Turn("environment", step.observation, step.observation_ids),
        ]
    return tuple(turn for turn in turns if turn.text)


def prompt_sha256(dialect: Dialect) -> str:
    """A fingerprint of all text that a dialect adds around a question and its passages."""
    probe = Question(id="probe", text="{question}", golden_answers=())
    passages = [Passage(id="1", title="{title}", text="{text}")]
    parts = (
        dialect.opening(probe),
        dialect.prefill,
        dialect.stop,
        dialect.nudge,
        dialect.force,
        dialect.force_stop,
        dialect.show(passages),
        dialect.show([]),
    )
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


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
            prompt=Prompt(opening, _turns(steps), prefill),
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
            found = yield Search(action.argument, Prompt(opening, (*_turns(steps), said), prefill))
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
            prompt=Prompt(opening, (*_turns(steps), forced), prefill),
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
        [Passage(inert(p.id), inert(p.title), inert(p.text), p.score) for p in passages]
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
