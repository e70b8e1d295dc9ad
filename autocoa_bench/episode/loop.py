"""The episode: the paper's Algorithm 1 for any dialect, as a generator without I/O.

Evaluation, data synthesis and reinforcement learning all drive this one loop. The generator
yields `Generate` or `Search`; its driver sends back a `Completion` or an `Observation`, or
`Refused` where the server has no room for the prompt; it returns the `Trajectory`.
"""

from collections.abc import Generator, Sequence
from typing import NamedTuple

import msgspec

from autocoa_bench.episode.answer_text import forced_end
from autocoa_bench.episode.dialect import (
    Action,
    Call,
    Dialect,
    ReadingDialect,
    RetrievingDialect,
    has_tools,
    opening_of,
    safe_question,
    turn_start,
)
from autocoa_bench.episode.neutralise import neutralise, neutralise_question
from autocoa_bench.episode.thoughts import CLOSE, outside_thoughts
from autocoa_bench.episode.token_counts import PromptSize, estimate_tokens
from autocoa_bench.episode.trajectory import turns_of_steps
from autocoa_bench.errors import CONTEXT, EngineFault
from autocoa_bench.types import (
    Budget,
    Completion,
    Ending,
    Generate,
    Message,
    ModelTraits,
    Observation,
    Passage,
    Prompt,
    Question,
    Refused,
    Search,
    Step,
    ToolTurns,
    Trajectory,
    Turn,
)

Event = Generate | Search
Reply = Completion | Observation | Refused
Episode = Generator[Event, Reply, Trajectory]

_NO_TRAITS = ModelTraits()

_MESSAGE_TOKENS = 16
"""The most tokens of a chat template around each message."""
_UNSEEN_TOKENS = 8
"""The most tokens that a completion has beside its text: the end of a turn, a stop string."""

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
    turn and samples at most `answer_tokens`; if the token limit cuts it, there is no answer.

    A dialect may have the passages for the question itself in its opening (`RetrievingDialect`):
    that search counts as the first action, unless no action is allowed. It may also have the model
    read the passages of each search in a prompt of its own (`ReadingDialect`).

    A completion may make several searches (tool calls). Each is a step with its observation, and
    only the first has the text; those beyond `max_actions` are cut from it.

    A thought holds no answer. Where it holds no search either, a nudge and a forced answer close it
    first. Neither the question nor a passage can contain one of the model's special tokens.

    A server may have less room than the budget. If its refusal names its size, that becomes the
    budget's `context_tokens`; else the answer is forced. A forced answer that is refused too is
    requested again with one passage fewer of the last observation each time. Raises EngineFault
    once there is none left.
    """
    state = _State(question, dialect, budget, traits)
    nudged = False
    if isinstance(dialect, RetrievingDialect) and budget.max_actions > 0:
        retrieved = yield state.retrieval()
        assert isinstance(retrieved, Observation)
        state.retrieve(retrieved)
    # The loop of Algorithm 1: think and act until the model answers or its budget is spent.
    while (ending := state.exhausted()) is None:
        reply = yield state.request()
        if isinstance(reply, Refused):
            if not state.shrink(reply):
                ending = "forced-context"
                break
            continue
        completion, action = state.read(reply)

        if action.kind == "answer":
            state.add(action, completion)
            return state.trajectory(action.argument, "answered")
        if action.kind == "search":
            for search in state.searches_of(action, completion):
                observation = yield state.search(search)
                assert isinstance(observation, Observation)
                if isinstance(dialect, ReadingDialect):
                    yield from state.read_passages(dialect, action, completion, observation)
                else:
                    state.observe(search, observation)
        elif dialect.nudge is not None and not nudged:
            nudged = True
            action = state.end_message(action, completion)
            state.add(action, completion, state.nudge())
        else:
            state.add(action, completion)
            ending = "forced-malformed"
            break

    # Past the budget, the model completes an opened answer instead of acting.
    while isinstance(reply := (yield state.forced_request()), Refused):
        state.drop_passage(reply)
    answer = state.read_forced(reply)
    return state.trajectory(answer, ending)


_IN_TURN = ToolTurns(
    end="",
    before="\n<tool_response>\n",
    between="\n</tool_response>\n<tool_response>\n",
    after="\n</tool_response>\n",
    text_end="",
    user=("\n", "\n"),
)
"""Tool results in one continued turn, for models without a chat template."""
_CHANNEL_HEAD, _FINAL_CHANNEL = "<|start|>assistant", "<|channel|>final<|message|>"
"""gpt-oss: the head of a message, and the text between it and an answer."""


_NO_COMPLETION = Completion("", prompt_tokens=0, completion_tokens=0)
"""What the further calls of a completion cost."""


class _Search(NamedTuple):
    """A step that searches: the `number` of its call in the completion, from 0, and whether it is
    the `last`."""

    action: Action
    completion: Completion
    number: int
    last: bool


class _State:
    """The steps of an episode so far, and the room that they leave in the context."""

    def __init__(
        self, question: Question, dialect: Dialect, budget: Budget, traits: ModelTraits
    ) -> None:
        self.special_tokens = traits.special_tokens
        self.dialect = dialect
        self.budget = budget
        self.question = safe_question(question, traits.special_tokens)
        self.prefill = turn_start(dialect, traits)
        self.new_turns = traits.new_turns
        # How tool results and the user's messages stand in the turn; None where they are messages.
        opening = opening_of(dialect, question, traits.special_tokens)
        writes_results = has_tools(opening) and not self.new_turns
        self.tool_turns = (traits.tool_turns or _IN_TURN) if writes_results else None
        self.new_messages = self.new_turns or bool(self.tool_turns and self.tool_turns.end)
        # Marks that would close the thought that a template opens, and the turn's own; "" for none.
        self.opened = CLOSE if traits.opens_thought else ""
        self.thought = outside_thoughts(self.prefill, self.opened).closing
        self.searches_in_thoughts = bool(outside_thoughts(dialect.prefill).closing)
        self.prefilled = self.searches_in_thoughts and not self.opened
        self.steps: list[Step] = []
        self.searches = 0
        self.last_search: _Search | None = None
        self.refusals = 0
        self.context = budget.context_tokens
        self._open(opening)
        # Reserve room for the environment's last text, a nudge or an empty observation, then for
        # the opening of a forced answer, and for the answer itself; both texts may close a thought.
        last_texts = [self._user_text(dialect.nudge or ""), self._tool_text(dialect.show([]))]
        if isinstance(dialect, ReadingDialect):
            last_texts.append(dialect.show_reading(""))
        self.reserved = budget.answer_tokens + max(map(estimate_tokens, last_texts))
        self.reserved += estimate_tokens(dialect.force)
        if not self.searches_in_thoughts:
            self.reserved += 2 * estimate_tokens(_close_thought("", CLOSE))

    def _open(self, opening: tuple[Message, ...]) -> None:
        """Begin with these messages, and count them."""
        self.opening = opening
        self.used = estimate_tokens(self.prefill) + _message_tokens(opening)
        self.size = PromptSize(message.content for message in opening)

    @property
    def room(self) -> int:
        """The tokens that are left for completions and observations."""
        return self.context - self.reserved - self.used

    def exhausted(self) -> Ending | None:
        """The part of the budget that is spent, if any: actions (T) or context (N)."""
        if self.dialect.searches and self.searches >= self.budget.max_actions:
            return "forced-actions"
        return "forced-context" if self.room <= 0 else None

    def retrieval(self) -> Search:
        """The search for the question itself."""
        self.searches += 1
        return Search(self.question.text, self._prompt())

    def retrieve(self, observation: Observation) -> None:
        """Put as many retrieved passages, best first, into the opening as there is room for."""
        passages = tuple(observation.passages)
        self._open_with(passages)
        while passages and self.room < 0:
            passages = passages[:-1]
            self._open_with(passages)
        self.steps.append(
            Step(
                kind="search",
                text="",
                argument=self.question.text,
                passages=passages,
                dropped_passages=len(observation.passages) - len(passages),
                prompt_tokens=0,
                completion_tokens=0,
                observation_tokens=sum(estimate_tokens(p.title + p.text) for p in passages),
                search_seconds=observation.seconds,
            )
        )

    def _open_with(self, passages: Sequence[Passage]) -> None:
        assert isinstance(self.dialect, RetrievingDialect)
        self._open(self.dialect.opening_with(self.question, self._safe(passages)))

    def request(self) -> Generate:
        return Generate(
            prompt=self._prompt(),
            stop=self.dialect.stop,
            max_tokens=min(self.budget.step_tokens, self.room),
        )

    def searches_of(self, action: Action, completion: Completion) -> list[_Search]:
        """The searches of a completion, as many as the budget has left."""
        calls = action.calls or (Call(action.argument, action.text),)
        calls = calls[: self.budget.max_actions - self.searches]
        first = action._replace(text=calls[-1].text, calls=())
        actions = [self.end_message(first, completion)]
        actions += [Action("search", "", call.query) for call in calls[1:]]
        last = len(calls) - 1
        return [
            _Search(one, completion if number == 0 else _NO_COMPLETION, number, number == last)
            for number, one in enumerate(actions)
        ]

    def search(self, search: _Search) -> Search:
        self.searches += 1
        action = search.action
        turn = Turn("model", action.text, _token_ids(action, search.completion))
        return Search(action.argument, self._prompt(*([turn] if turn.text else [])))

    def end_message(self, action: Action, completion: Completion) -> Action:
        """An action before the environment's next message, with the text of the token that ended
        its own, or else of the one that should have."""
        if self.tool_turns is None:
            return action
        end = self.tool_turns.end if action.kind == "search" else self.tool_turns.text_end
        if completion.ends_turn and action.text == completion.text:
            end = (completion.end or end) if end else ""
        return action._replace(text=action.text.removesuffix(end) + end)

    def forced_request(self) -> Generate:
        """The forced answer, after the dialect's `force`."""
        return Generate(
            prompt=self._prompt(Turn("environment", self.force)),
            stop=self.dialect.force_stop,
            max_tokens=self.budget.answer_tokens,
            forced=True,
            thinking_tokens=max(0, min(self.budget.thinking_tokens, self.room)),
        )

    @property
    def force(self) -> str:
        """The text that opens a forced answer, outside of any thought."""
        if self.new_turns:
            return self.dialect.force
        force = _close_thought(self.dialect.force, self.thought)
        if self.tool_turns is None:
            return force
        if self.steps and not self.steps[-1].observation:
            return force if force.startswith("\n") else f"\n{force}"
        is_bare = self.tool_turns.after.endswith(_CHANNEL_HEAD)
        return f"{_FINAL_CHANNEL}{force}" if is_bare else force

    def nudge(self) -> str:
        """The dialect's nudge; it closes an open thought that may not hold a search."""
        nudge = self._user_text(self.dialect.nudge or "")
        if self.new_messages:
            self.thought = self.opened
        if self.searches_in_thoughts or self.new_messages:
            return nudge
        nudge, self.thought = _close_thought(nudge, self.thought), ""
        return nudge

    def read(self, reply: Reply) -> tuple[Completion, Action]:
        """A completion, marked where it begins inside a thought, and the action that it holds."""
        assert isinstance(reply, Completion)
        before = self.opened if self.new_messages else self.thought
        # A model that ends its turn in the thought of the prefill has not learned to think there:
        # its text is read as it stands, and is not well-formed.
        untaught = self.prefilled and reply.stop_reason == "stop"
        completion = msgspec.structs.replace(reply, thinking=bool(before) and not untaught)
        action = _read(self.dialect, completion)
        self.thought = outside_thoughts(action.text, before).closing
        self.prefilled = self.prefilled and outside_thoughts(action.text).text == action.text
        self.count(completion, action)
        return completion, action

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
        """Count the tokens in the context: the server's figures, or an estimate.

        A count that cannot be true is none: of a prompt that the server has cut, or of a completion
        with more tokens than bytes, most of which were sampled out of sight.
        """
        prompt, sampled = self.size.checked(completion.prompt_tokens), completion.completion_tokens
        if sampled is None or sampled > len(completion.text.encode()) + _UNSEEN_TOKENS:
            sampled = estimate_tokens(action.text)
        self.used = (prompt or self.used) + sampled

    def observe(self, search: _Search, observation: Observation) -> None:
        """Append a search with as many of its passages, best first, as there is room for."""
        self.last_search = search
        if self.new_messages:
            self.thought = self.opened
        passages = tuple(observation.passages)
        text = observation.text
        if not text or estimate_tokens(text) > self.room:
            text = self._show(passages)
            while passages and estimate_tokens(text) > self.room:
                passages = passages[:-1]
                text = self._show(passages)
        self.add(search.action, search.completion, text, observation, passages)
        if search.number:
            self.steps[-1] = msgspec.structs.replace(self.steps[-1], call=search.number)

    def read_passages(
        self,
        dialect: ReadingDialect,
        action: Action,
        completion: Completion,
        observation: Observation,
    ) -> Generator[Generate, Reply, None]:
        """Append a search, and a reading of as many of its passages as a prompt has room for."""
        turn = self._prompt(Turn("model", action.text)).continuation
        turn, query = (neutralise_question(t, self.special_tokens) for t in (turn, action.argument))
        passages, reply = tuple(observation.passages), None
        while passages and reply is None:
            opening = dialect.reading(query, turn, self._safe(passages))
            room = self.context - _message_tokens(opening)
            if room > 0:
                limit = min(self.budget.step_tokens, room)
                answer = yield Generate(Prompt(opening), stop=(), max_tokens=limit)
                reply = answer if isinstance(answer, Completion) else None
                self.refusals += reply is None
            if reply is None:
                passages = passages[:-1]
        if reply is None:  # there was nothing to read
            self.add(action, completion, dialect.show_reading(""), observation)
            return
        self.add(action, completion, "", observation, passages)
        reading = dialect.parse_reading(outside_thoughts(reply.text, self.opened).visible)
        text = neutralise(reading, self.special_tokens)
        while text and estimate_tokens(dialect.show_reading(text)) > self.room:
            text = text[: len(text) * 3 // 4]
        # Its ids are none of the turn's.
        reply = msgspec.structs.replace(reply, token_ids=None, sampled_ids=None, logps=None)
        self.add(Action("reading", "", reply.text), reply, dialect.show_reading(text))

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
        tokens = estimate_tokens(text)
        own, sampled = _token_ids(action, completion), completion.sampled_ids
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
                observation_tokens=tokens,
                observation_ids=ids,
                token_ids=own,
                sampled_ids=sampled if sampled != own else None,
                logps=completion.logps,
                generate_seconds=completion.seconds,
                search_seconds=observation.seconds if observation else 0.0,
            )
        )
        self.used += tokens + (2 * _MESSAGE_TOKENS if self.new_turns else 0)
        self.size.add(action.text, text)

    def drop_passage(self, refusal: Refused) -> None:
        """Drop the last passage of the last step. Raises EngineFault where it has none."""
        self.refusals += 1
        step = self.steps[-1] if self.steps else None
        if step is None or not step.passages:
            raise EngineFault(CONTEXT, refusal.message)
        passages, text = step.passages[:-1], ""
        if step.is_retrieval:
            self._open_with(passages)
        else:
            text = self._show(passages)
        self.steps[-1] = msgspec.structs.replace(
            step,
            observation=text,
            observation_tokens=estimate_tokens(text),
            observation_ids=None,
            passages=passages,
            dropped_passages=step.dropped_passages + 1,
        )

    def read_forced(self, reply: Reply) -> str | None:
        """Append `force`, as the environment's text, and the completion; return its answer.

        Text after the answer is cut, except in a new turn. The `stop_reason` is `length` only
        where the token limit cut the answer.
        """
        assert isinstance(reply, Completion)
        force, completion, text = self.force, reply, reply.sampled_text
        outside = outside_thoughts(reply.text, self.opened if self.new_turns else "")
        answer = self.dialect.parse_forced(outside.visible)
        end = forced_end(outside.text, self.dialect.force, new_turn=self.new_turns)
        if end >= 0:
            if reply.stop_reason == "length":
                completion = msgspec.structs.replace(reply, stop_reason="stop")
            if not self.new_turns and text[end:].strip():
                text = text[:end]
        elif reply.stop_reason != "stop":
            answer = None
        elif outside.closing and answer is None:
            completion = msgspec.structs.replace(reply, stop_reason="length")
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
        self.add(Action("answer", text, answer or "", problem), completion)
        self.steps[-1] = msgspec.structs.replace(self.steps[-1], forced=True)
        return answer

    def _show(self, passages: Sequence[Passage]) -> str:
        """The observation of passages."""
        return self._tool_text(self.dialect.show(self._safe(passages)))

    def _safe(self, passages: Sequence[Passage]) -> list[Passage]:
        """The passages with neutralised texts, since those are untrusted."""

        def safe(text: str) -> str:
            return neutralise(text, self.special_tokens)

        return [
            msgspec.structs.replace(
                passage, id=safe(passage.id), title=safe(passage.title), text=safe(passage.text)
            )
            for passage in passages
        ]

    def _tool_text(self, text: str) -> str:
        """An observation as it stands in the turn, after the last search."""
        turns, search = self.tool_turns, self.last_search
        if turns is None:
            return text
        if turns.quoted:
            text = msgspec.json.encode(text).decode()[1:-1]
        before = turns.before if search is None or not search.number else ""
        return f"{before}{text}{turns.after if search is None or search.last else turns.between}"

    def _user_text(self, text: str) -> str:
        """A message of the user as it stands in the turn."""
        before, after = self.tool_turns.user if self.tool_turns else ("", "")
        return f"{before}{text}{after}"

    def trajectory(self, answer: str | None, ending: Ending) -> Trajectory:
        steps = tuple(self.steps)
        name = self.dialect.name
        return Trajectory(name, self.opening, self.prefill, steps, answer, ending, self.refusals)


def _message_tokens(opening: Sequence[Message]) -> int:
    """The most tokens of messages, with a chat template around each."""
    return sum(estimate_tokens(message.content) + _MESSAGE_TOKENS for message in opening)


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


def _close_thought(text: str, closing: str) -> str:
    """Text of the environment that stands outside of the thought that `closing` closes."""
    if not closing:
        return text
    if outside_thoughts(text, closing).closing:
        return f"\n{closing}\n{text}"
    return text.replace(CLOSE, closing)


def _token_ids(action: Action, completion: Completion) -> tuple[int, ...] | None:
    """The sampled ids, if all that they spell is the action's text.

    A token that ends the model's turn stays only with an answer, and where its own text follows:
    other steps go on in the turn.
    """
    ids = completion.token_ids
    if completion.ends_turn and completion.end and action.text == completion.text + completion.end:
        return ids
    if ids is None or action.text != completion.sampled_text:
        return None
    return ids[:-1] if completion.ends_turn and action.kind != "answer" else ids
