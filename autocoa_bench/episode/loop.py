"""The episode: the paper's Algorithm 1 for any dialect, as a generator without I/O.

Evaluation, data synthesis and reinforcement learning all drive this one loop. The generator
yields `Generate` or `Search`; its driver sends back a `Completion` or an `Observation`, or
`Refused` where the server has no room for the prompt; it returns the `Trajectory`.
"""

from collections.abc import Generator, Sequence

import msgspec

from autocoa_bench.episode.answer_text import after_reasoning
from autocoa_bench.episode.dialect import Action, Dialect, turn_start
from autocoa_bench.episode.neutralise import neutralise
from autocoa_bench.episode.trajectory import estimate_tokens, turns_of_steps
from autocoa_bench.errors import CONTEXT, EngineFault
from autocoa_bench.types import (
    Budget,
    Completion,
    Ending,
    Generate,
    ModelTraits,
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

_NO_TRAITS = ModelTraits()

_CAUSES = {
    "filtered": "the server's content filter ended the completion",
    "tool-call": "a tool call, although no tools were offered",
}
"""What a malformed completion suffers from that ended in one of these ways."""


def episode(
    question: Question, dialect: Dialect, budget: Budget, traits: ModelTraits = _NO_TRAITS
) -> Episode:
    """Run one question (paper, Algorithm 1).

    The loop ends when the model answers, or is forced to: after `max_actions` searches, when the
    context has no room for another step, or at the second malformed completion (the first is
    nudged, where the dialect has a nudge). A forced answer appends the dialect's `force` to the
    turn and samples at most `answer_tokens`.

    A server may have less room than the budget. If its refusal names its size, that becomes the
    budget's `context_tokens`; else the answer is forced. A forced answer that is refused too is
    requested again with one passage fewer of the last observation each time. Raises EngineFault
    once there is none left.
    """
    state = _State(question, dialect, budget, traits)
    nudged = False
    # The loop of Algorithm 1: think and act until the model answers or its budget is spent.
    while (ending := state.exhausted()) is None:
        completion = yield state.request()
        if isinstance(completion, Refused):
            if not state.shrink(completion):
                ending = "forced-context"
                break
            continue
        assert isinstance(completion, Completion)
        action = _read(dialect, completion)
        state.count(completion, action)

        if action.kind == "answer":
            state.add(action, completion)
            return state.trajectory(action.argument, "answered")
        if action.kind == "search":
            observation = yield state.search(action, completion)
            assert isinstance(observation, Observation)
            state.observe(action, completion, observation)
        elif dialect.nudge is not None and not nudged:
            nudged = True
            state.add(action, completion, dialect.nudge)
        else:
            state.add(action, completion)
            ending = "forced-malformed"
            break

    # Past the budget, the model completes an opened answer instead of acting.
    while isinstance(completion := (yield state.forced_request()), Refused):
        state.drop_passage(completion)
    assert isinstance(completion, Completion)
    answer = None
    if completion.stop_reason != "filtered":
        answer = dialect.parse_forced(after_reasoning(completion.text))
    state.add_forced(completion, answer)
    return state.trajectory(answer, ending)


class _State:
    """The steps of an episode so far, and the room that they leave in the context."""

    def __init__(
        self, question: Question, dialect: Dialect, budget: Budget, traits: ModelTraits
    ) -> None:
        self.traits = traits
        self.dialect = dialect
        self.budget = budget
        self.opening = dialect.opening(question)
        self.prefill = turn_start(dialect, traits)
        self.steps: list[Step] = []
        self.searches = 0
        self.refusals = 0
        self.context = budget.context_tokens
        self.used = estimate_tokens(self.prefill)
        self.used += sum(estimate_tokens(message.content) for message in self.opening)
        # Reserve room for the environment's last text, a nudge or an empty observation, then for
        # the opening of a forced answer, and for the answer itself.
        last_text = max(estimate_tokens(dialect.nudge or ""), estimate_tokens(dialect.show([])))
        self.reserved = budget.answer_tokens + last_text + estimate_tokens(dialect.force)

    @property
    def room(self) -> int:
        """The tokens that are left for completions and observations."""
        return self.context - self.reserved - self.used

    def exhausted(self) -> Ending | None:
        """The part of the budget that is spent, if any: actions (T) or context (N)."""
        if self.dialect.searches and self.searches >= self.budget.max_actions:
            return "forced-actions"
        return "forced-context" if self.room <= 0 else None

    def request(self) -> Generate:
        return Generate(
            prompt=self._prompt(),
            stop=self.dialect.stop,
            max_tokens=min(self.budget.step_tokens, self.room),
        )

    def search(self, action: Action, completion: Completion) -> Search:
        self.searches += 1
        turn = Turn("model", action.text, _token_ids(action, completion))
        return Search(action.argument, self._prompt(turn))

    def forced_request(self) -> Generate:
        """The forced answer, after the dialect's `force`."""
        return Generate(
            prompt=self._prompt(Turn("environment", self.dialect.force)),
            stop=self.dialect.force_stop,
            max_tokens=self.budget.answer_tokens,
            forced=True,
            thinking_tokens=max(0, min(self.budget.thinking_tokens, self.room)),
        )

    def _prompt(self, *turns: Turn) -> Prompt:
        return Prompt(self.opening, (*turns_of_steps(self.steps), *turns), self.prefill)

    def shrink(self, refusal: Refused) -> bool:
        """Take over the server's context size; False where that leaves the prompt as it is."""
        self.refusals += 1
        if refusal.context_tokens is None or refusal.context_tokens >= self.context:
            return False
        self.context = refusal.context_tokens
        self.used = refusal.prompt_tokens or self.used
        return True

    def count(self, completion: Completion, action: Action) -> None:
        """Count the tokens in the context: the server's figures, or an estimate."""
        if completion.prompt_tokens is not None and completion.completion_tokens is not None:
            self.used = completion.prompt_tokens + completion.completion_tokens
        else:
            self.used += estimate_tokens(action.text)

    def observe(self, action: Action, completion: Completion, observation: Observation) -> None:
        """Append a search with as many of its passages, best first, as there is room for."""
        passages = tuple(observation.passages)
        text = observation.text
        if not text or estimate_tokens(text) > self.room:
            text = _show(passages, self.dialect)
            while passages and estimate_tokens(text) > self.room:
                passages = passages[:-1]
                text = _show(passages, self.dialect)
        self.add(action, completion, text, observation, passages)

    def add(
        self,
        action: Action,
        completion: Completion,
        text: str = "",
        observation: Observation | None = None,
        passages: tuple[Passage, ...] = (),
    ) -> None:
        """Append a step and the environment's text after it."""
        # A model that played the search engine sampled ids only for its own, uncut text.
        ids = observation.token_ids if observation and text == observation.text else None
        self.steps.append(
            Step(
                kind=action.kind,
                text=action.text,
                argument=action.argument,
                problem=action.problem,
                observation=text,
                passages=passages,
                dropped_passages=len(observation.passages) - len(passages) if observation else 0,
                stop_reason=completion.stop_reason,
                prompt_tokens=completion.prompt_tokens,
                completion_tokens=completion.completion_tokens,
                observation_tokens=estimate_tokens(text),
                observation_ids=ids,
                token_ids=_token_ids(action, completion),
                generate_seconds=completion.seconds,
                search_seconds=observation.seconds if observation else 0.0,
            )
        )
        self.used += estimate_tokens(text)

    def drop_passage(self, refusal: Refused) -> None:
        """Drop the last passage of the last step. Raises EngineFault where it has none."""
        self.refusals += 1
        step = self.steps[-1] if self.steps else None
        if step is None or not step.passages:
            raise EngineFault(CONTEXT, refusal.message)
        passages = step.passages[:-1]
        text = _show(passages, self.dialect)
        self.steps[-1] = msgspec.structs.replace(
            step,
            observation=text,
            observation_tokens=estimate_tokens(text),
            observation_ids=None,
            passages=passages,
            dropped_passages=step.dropped_passages + 1,
        )

    def add_forced(self, completion: Completion, answer: str | None) -> None:
        """Append `force`, as the environment's text, and the answer that the model gave to it."""
        force = self.dialect.force
        if self.steps:
            last = self.steps[-1]
            self.steps[-1] = msgspec.structs.replace(
                last,
                observation=last.observation + force,
                observation_tokens=last.observation_tokens + estimate_tokens(force),
            )
        else:
            self.prefill += force
        problem = "" if answer else _CAUSES.get(completion.stop_reason, "")
        self.add(Action("answer", completion.text, answer or "", problem), completion)
        self.steps[-1] = msgspec.structs.replace(self.steps[-1], forced=True)

    def trajectory(self, answer: str | None, ending: Ending) -> Trajectory:
        steps = tuple(self.steps)
        name = self.dialect.name
        return Trajectory(name, self.opening, self.prefill, steps, answer, ending, self.refusals)


def _read(dialect: Dialect, completion: Completion) -> Action:
    """A completion as its dialect reads it. The problem of a malformed one names what ended it."""
    cause = _CAUSES.get(completion.stop_reason)
    if cause:  # then its text was cut, as by a limit
        completion = msgspec.structs.replace(completion, stop_reason="length")
    action = dialect.parse(completion)
    if action.kind != "malformed" or completion.stop_reason != "length":
        return action
    if cause is None and "step tokens" not in action.problem:
        cause = f"{action.problem}; the text ran out of step tokens"
    return action._replace(problem=cause or action.problem)


def _show(passages: Sequence[Passage], dialect: Dialect) -> str:
    """The observation of passages; their text is untrusted, so it is neutralised first."""
    safe = [
        msgspec.structs.replace(
            passage,
            id=neutralise(passage.id),
            title=neutralise(passage.title),
            text=neutralise(passage.text),
        )
        for passage in passages
    ]
    return dialect.show(safe)


def _token_ids(action: Action, completion: Completion) -> tuple[int, ...] | None:
    """The sampled ids, if all that they spell is the action's text.

    A token that ends the model's turn stays only with an answer: other steps go on in the turn.
    """
    ids, stop = completion.token_ids, completion.stop_string or ""
    sampled = completion.text if completion.text.endswith(stop) else completion.text + stop
    if ids is None or action.text != sampled:
        return None
    ended = completion.stop_reason == "stop" and not stop
    return ids[:-1] if ended and action.kind != "answer" else ids
