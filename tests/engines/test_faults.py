"""What happens when a model server fails: one test a row of docs/faults.md, in the row's words.

Each runs whole episodes against a real socket.
"""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_model.dialects.agent import Agent
from autocoa_bench import report
from autocoa_bench.engines import caveats
from autocoa_bench.engines.openai.client import OpenAIEngine
from autocoa_bench.engines.openai.model_server import KEY_VARIABLES
from autocoa_bench.errors import ServerDown, UserError
from autocoa_bench.report.model import Table
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.runs.scheduler import Job, run_jobs
from autocoa_bench.runs.solvers import Backends, Solver
from autocoa_bench.scoring import load_scorers, score_record
from autocoa_bench.types import (
    Budget,
    Completion,
    EngineSpec,
    FaultNote,
    Generate,
    Message,
    Passage,
    Prompt,
    Question,
    Record,
    Sampling,
    SearchSpec,
    Trajectory,
    Turn,
)
from autocoa_bench.util.gate import PATIENCE
from autocoa_bench.util.http_client import OUTAGE_WAITS
from support.mock_server import Body, Fault, MockServer, is_probe, room_for, tokens
from support.runs import info
from support.towns import reply, town_of

SOLVER = Solver("agent", "Agent model", True, "", Agent(shots=0))
ILL = 3
"""The number of the one question with which something goes wrong for good."""


class Shelf:
    """Two passages for each query, which name the query."""

    spec = SearchSpec("toy", "toy", "", 2, {}, 2)

    async def search(self, query: str) -> tuple[Passage, ...]:
        return tuple(Passage(f"{query}-{n}", query, f"{query} is Anna. " * 8) for n in (1, 2))

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


class Played:
    """The records of a run by the number of their question, and what it waited for."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}
        self.sleeps: list[float] = []
        self.spec = EngineSpec("", "", "")
        self.late_settings: dict[str, Any] = {}

    def add(self, record: Record) -> None:
        self.records[int(record.question.id[1:])] = record

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await asyncio.sleep(0)

    def trajectory(self, number: int = 0) -> Trajectory:
        trajectory = self.records[number].trajectory
        assert trajectory is not None, self.records[number].fault
        return trajectory

    def all_answered(self, questions: int) -> bool:
        return len(self.records) == questions and all(
            record.trajectory and record.trajectory.answer == "Anna"
            for record in self.records.values()
        )

    def table(self, name: str = "faults") -> Table:
        """A table of the report on these records."""
        records = tuple(self.records.values())
        scorers = load_scorers(("em",))
        scores = {"em": {r.key: score_record(r, scorers)["em"] for r in records}}
        run = Run(Path("run"), info(ids=tuple(r.question.id for r in records)), records, scores)
        (table,) = report.build([run], tables=[name]).tables
        return table


class LimitedTo(MockServer):
    """A server that refuses with 429 what exceeds so many requests in flight."""

    def __init__(self, most: int, reply: Callable[[Body], str]) -> None:
        super().__init__(reply, latency=0.005, fault=self._limit)
        self.most, self.running, self.refused = most, 0, 0

    def _limit(self, number: int) -> Fault | None:
        if self.running >= self.most:
            self.refused += 1
            return "429"
        return None

    async def delay(self, number: int) -> None:
        self.running += 1
        try:
            await super().delay(number)
        finally:
            self.running -= 1


def play(
    server: MockServer,
    questions: int = 1,
    *,
    budget: Budget | None = None,
    concurrency: int = 8,
    into: Played | None = None,
    wait: bool = False,
    **options: Any,
) -> Played:
    """Ask the mayors of towns; every wait is over at once, unless `wait`."""
    played = into or Played()
    sleep = asyncio.sleep if wait else played.sleep
    engine = OpenAIEngine("mock", server.url, sleep=sleep, **options)
    texts = (f"Who is the mayor of town {number}?" for number in range(questions))
    jobs = [Job(Question(f"q{n}", text, ("Anna",)), 0) for n, text in enumerate(texts)]

    async def run() -> None:
        try:
            played.spec = await engine.start()
            world = Backends(engine, Shelf())
            budgeted = budget or Budget()
            await run_jobs(jobs, SOLVER, world, Sampling(), budgeted, concurrency, played.add)
        finally:
            played.late_settings = engine.late_settings
            await engine.close()

    asyncio.run(run())
    return played


def ill_with(fault: Fault) -> Callable[[Body], Fault | None]:
    return lambda body: fault if town_of(body) == ILL else None


def passes_and_lasts(fault: Fault, kind: str, message: str, **options: Any) -> None:
    """A fault that passes changes nothing; one that lasts is its question's, itemised."""
    with MockServer(reply, fault=lambda number: fault if number < 2 else None) as server:
        assert play(server, **options).all_answered(1)
    with MockServer(reply, ill=ill_with(fault)) as server:
        played = play(server, 6, retries=2, **options)
    noted = played.records.pop(ILL).fault
    assert noted is not None
    assert (noted.kind, played.all_answered(5)) == (kind, True)
    assert message in noted.message
    played.add(Record(Question(f"q{ILL}", "", ("Anna",)), 0, fault=noted))
    [row] = played.table().sections[0].rows
    assert (row.label.text, row.cells[0].text) == (kind, "1")
    assert message in row.cells[1].text


def test_429_with_a_time_to_wait() -> None:
    with MockServer(
        reply, fault=lambda number: "429" if number == 0 else None, retry_after="7"
    ) as server:
        played = play(server, retries=0)
    assert played.all_answered(1)
    [wait] = played.sleeps
    assert 7.0 <= wait <= 7.7


def test_429_without_a_time_to_wait(capsys: pytest.CaptureFixture[str]) -> None:
    with MockServer(reply, fault=lambda number: "429" if number < 9 else None) as server:
        played = play(server, retries=0)
    assert capsys.readouterr().err.count("limits the requests") == 1
    assert played.all_answered(1)
    assert max(played.sleeps) > 30


def test_a_limit_that_halves_what_is_in_flight_until_it_is_kept() -> None:
    with LimitedTo(3, reply) as server:
        server.retry_after = "0.01"
        played = play(server, 40, concurrency=32, retries=0, wait=True)
    assert played.all_answered(40)
    assert 29 <= server.refused < 120  # without a gate, some two thousand


def test_a_quota_that_is_used_up() -> None:
    with MockServer(reply, fault=lambda number: "429" if number >= 20 else None) as server:
        server.error = {"message": "You exceeded your current quota.", "code": "insufficient_quota"}
        played = Played()
        with pytest.raises(UserError, match=r"used up \(HTTP 429: You exceeded your current quota"):
            play(server, 100, concurrency=4, into=played)
    assert 0 < len(played.records) < 20
    assert all(record.fault is None for record in played.records.values())
    assert len(server.generations()) <= 20 + 4
    assert played.sleeps == []


@pytest.mark.parametrize("status", ["404", "501"])
def test_a_path_that_is_not_there_in_passing(status: Fault) -> None:
    chance = random.Random(5)
    with MockServer(reply, fault=lambda _: status if chance.random() < 0.15 else None) as server:
        assert play(server, 40).all_answered(40)
    with MockServer(reply, ill=ill_with(status)) as server:
        played = play(server, 6, retries=1)
    fault = played.records.pop(ILL).fault
    assert fault is not None
    assert (fault.kind, played.all_answered(5)) == (f"http-{status}", True)


def test_one_request_that_exceeds_a_limit_a_minute_by_itself() -> None:
    def limit(body: Body) -> Body | None:
        requested = tokens(body) + 100
        return None if requested <= 300 else {"requested": requested}

    class Limiting(MockServer):
        async def _fail(self, fault: Fault, request: Any, body: Body) -> Any:
            self.error = {
                "message": "Request too large for model `x` on tokens per minute (TPM): Limit 300, "
                f"Requested {tokens(body) + 100}, please reduce your message size."
            }
            return await super()._fail(fault, request, body)

    with Limiting(reply, ill=lambda body: "429" if limit(body) else None) as server:
        server.usage = False
        played = play(server)
    assert played.trajectory().ending == "forced-context"
    assert played.trajectory().refusals > 0
    assert played.sleeps == []


def test_a_question_that_alone_meets_a_limit_again_and_again() -> None:
    with MockServer(reply, ill=ill_with("429")) as server:
        played = play(server, 6)
    assert played.records[ILL].fault == FaultNote("http-429", "HTTP 429: fault 429, None")
    played.records.pop(ILL)
    assert played.all_answered(5)
    assert sum(played.sleeps) > PATIENCE


def test_a_limit_that_no_request_gets_through() -> None:
    with MockServer(reply) as server:
        failing_from(server, "429", 20)
        played = Played()
        with pytest.raises(ServerDown, match=r"for 60 minutes.*the same command resumes"):
            play(server, 1000, into=played)
    assert all(record.fault is None for record in played.records.values())
    assert 3600 < sum(played.sleeps) < 4000


def test_a_limit_that_lasts_longer_than_an_hour() -> None:
    with (
        MockServer(reply, fault=lambda number: "429", retry_after="86400") as server,
        pytest.raises(ServerDown, match=r"asks to wait 24\.0 hours"),
    ):
        play(server)


def test_500() -> None:
    passes_and_lasts("500", "http-500", "HTTP 500: fault 500")


def test_a_hang() -> None:
    passes_and_lasts("hang", "timeout", "no reply within 0.4 s", timeout=0.4)


def test_a_connection_dropped_mid_body() -> None:
    passes_and_lasts("drop", "connection", "response payload is not completed")


def test_a_reply_that_is_no_http() -> None:
    passes_and_lasts("garbage", "connection", "400, message")


def test_truncated_json() -> None:
    passes_and_lasts("truncate", "bad-reply", "truncated")


def test_empty_choices() -> None:
    passes_and_lasts("empty", "bad-reply", "0 completions where 1")


def test_a_200_with_an_error_body() -> None:
    passes_and_lasts("error", "bad-reply", "an error instead of a completion")


def test_a_reply_without_a_text() -> None:
    passes_and_lasts("null", "bad-reply", "without a text")
    passes_and_lasts("blank", "bad-reply", "without a text")


def test_a_completion_that_the_server_gives_up() -> None:
    passes_and_lasts("given up", "bad-reply", "has given the completion up")
    passes_and_lasts("aborted", "bad-reply", "finish reason 'abort'")


def test_a_reply_in_another_shape() -> None:
    def parts(body: Body, reply: Body) -> Body:
        choice = reply["choices"][0]
        text = [{"type": "text", "text": choice["message"]["content"]}]
        message = {"content": [{"type": "thinking", "thinking": "Let me see."}, *text]}
        usage = {"prompt_tokens": f"{tokens(body)}.0", "completion_tokens": [None]}
        return {"choices": [{"index": "0", "message": message}], "usage": usage, "id": 7}

    with MockServer(lambda body: reply(body).removeprefix("</think>\n")) as server:
        server.alter = parts
        played = play(server)
    assert played.all_answered(1)
    assert played.trajectory().steps[0].text.startswith("<think>\nLet me see.\n</think>")


@pytest.mark.parametrize(
    ("choice", "problem", "note"),
    [
        ({"finish_reason": "content_filter"}, "content filter", "content filter ended: 3"),
        ({"finish_reason": "tool_calls"}, "a tool call", "were tool calls, although no tools"),
    ],
)
def test_a_filtered_text_or_a_tool_call(choice: Body, problem: str, note: str) -> None:
    with MockServer() as server:
        server.alter = lambda body, reply: {"choices": [{"message": {"content": None}, **choice}]}
        played = play(server)
    assert len(server.generations()) == 3  # not tried again: a nudge, then a forced answer
    assert (played.trajectory().answer, played.trajectory().ending) == (None, "forced-malformed")
    assert all(problem in step.problem for step in played.trajectory().steps)
    assert any(note in text for text in played.table("cost").notes)


@pytest.mark.parametrize(
    "error",
    [
        {"code": "content_filter", "message": "Azure OpenAI's content management policy"},
        {"message": "The response was blocked: Output blocked by content filtering policy"},
        {"code": "data_inspection_failed", "message": "may contain inappropriate content."},
        {"message": "Content Exists Risk"},
        {"message": "Your input was flagged for violence"},
    ],
)
@pytest.mark.parametrize("status", ["400", "403"])
def test_a_refusal_by_a_content_filter(status: Fault, error: Body) -> None:
    with MockServer(reply, ill=ill_with(status)) as server:
        server.error = error
        played = play(server, ILL + 1)
    assert played.records[ILL].fault is None
    assert [step.stop_reason for step in played.trajectory(ILL).steps] == ["filtered"] * 3
    assert played.trajectory(ILL).answer is None


def test_a_wrong_content_type() -> None:
    passes_and_lasts("html", "bad-reply", "not the reply of a model server")
    with MockServer(reply, fault=lambda number: "plain") as server:
        assert play(server).all_answered(1)  # the body decides


def test_any_other_4xx() -> None:
    with MockServer(reply, ill=ill_with("400")) as server:
        played = play(server, 6)
    fault = played.records.pop(ILL).fault
    assert fault is not None
    assert (fault.kind, played.all_answered(5)) == ("http-400", True)
    assert sum(town_of(body) == ILL for body in server.generations()) == 1  # not tried again


def test_answers_out_of_order() -> None:
    def echo(body: Body) -> str:
        return f"</think>\\boxed{{{town_of(body)}}}"

    class NewestFirst(MockServer):
        """Replies to no request before it has replied to the next one."""

        replied = tuple(asyncio.Event() for _ in range(24))

        async def delay(self, number: int) -> None:
            if number < 23:
                await self.replied[number + 1].wait()
            self.replied[number].set()

    with NewestFirst(echo) as server:
        played = play(server, 24, concurrency=24)
    answers = {number: played.trajectory(number).answer for number in played.records}
    assert answers == {number: str(number) for number in range(24)}
    assert list(answers) != sorted(answers)  # they did come out of order


def test_a_prompt_longer_than_the_servers_context() -> None:
    # It names its size, less than the budget's: the episode goes on within that.
    with MockServer(reply, refusal=room_for(1500)) as server:
        server.usage = False
        played = play(server)
    assert played.all_answered(1)
    assert (played.trajectory().ending, played.trajectory().refusals) == ("answered", 1)
    assert any("refused a prompt for its length: 1" in note for note in played.table("cost").notes)

    # There is no room for another step: the answer is forced in what there is.
    with MockServer(reply, refusal=room_for(240)) as server:
        server.usage = False
        played = play(server)
    assert played.trajectory().ending == "forced-context"
    assert played.records[0].fault is None


def test_a_prompt_longer_than_a_context_that_the_server_does_not_name() -> None:
    first = 0

    def refusal(body: Body) -> str | None:
        nonlocal first
        first = first or (0 if is_probe(body) else tokens(body))
        fits = tokens(body) < first + 120
        return None if fits else "Your input exceeds the context window of this model."

    with MockServer(reply, refusal=refusal) as server:
        played = play(server)
    step = played.trajectory().steps[0]
    assert played.trajectory().ending == "forced-context"
    assert played.trajectory().refusals == 2
    assert (len(step.passages), step.dropped_passages) == (1, 1)
    assert step.observation.count("result ") == 1


def test_a_question_alone_longer_than_the_servers_context() -> None:
    with MockServer(reply, refusal=room_for(20)) as server:
        fault = play(server).records[0].fault
    assert fault is not None
    assert fault.kind == "context"


class Outage(Played):
    """Brings a server back after so many waits; its first eight requests fail once more."""

    def __init__(self, server: MockServer, waits: int) -> None:
        super().__init__()
        self.server, self.waits = server, waits

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.server.down and len(self.sleeps) > self.waits:
            self.server.down = None
            stumbles = iter(range(8))
            self.server.fault = lambda number: None if next(stumbles, None) is None else "500"


def failing_from(server: MockServer, fault: Fault, request: int) -> None:
    def fail(number: int) -> None:
        if number == request:
            server.down = fault

    server.fault = fail


@pytest.mark.parametrize("fault", ["500", "drop", "html"])
def test_a_server_that_answers_nobody(fault: Fault) -> None:
    with MockServer(reply) as server:
        failing_from(server, fault, 20)
        played = Played()
        with pytest.raises(ServerDown, match="the same command resumes once it is back"):
            play(server, 1000, into=played)
    assert all(record.fault is None for record in played.records.values())
    assert 0 < len(played.records) < 20
    assert sum(wait for wait in played.sleeps if wait in OUTAGE_WAITS) >= 60


def test_a_server_that_comes_back_within_a_minute() -> None:
    with MockServer(reply) as server:
        failing_from(server, "500", 20)
        waits = 8 * 5 + len(OUTAGE_WAITS) - 1  # of eight episodes' retries, then the probes'
        assert play(server, 40, into=Outage(server, waits)).all_answered(40)


def test_a_question_that_brings_the_server_down() -> None:
    class Restarting(Played):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if seconds == OUTAGE_WAITS[2]:  # somebody starts it again while it is probed
                server.down = None

    def ill(body: Body) -> Fault | None:
        if town_of(body) == ILL:
            server.down = "500"
        return server.down

    with MockServer(reply, ill=ill) as server:
        played = play(server, ILL + 3, concurrency=1, into=Restarting())
    kinds = {n: record.fault.kind for n, record in played.records.items() if record.fault}
    assert kinds == {ILL: "http-500"}


def test_a_question_that_fails_while_the_server_is_up() -> None:
    with MockServer(reply, ill=ill_with("500")) as server:
        played = play(server, ILL + 2, concurrency=1)  # so that nobody else is answered meanwhile
    kinds = {n: record.fault.kind for n, record in played.records.items() if record.fault}
    assert kinds == {ILL: "http-500"}


def reasoning_model(body: Body) -> Body | None:
    """What OpenAI's API answers for a reasoning model, one field a time."""
    for name in ("max_tokens", "temperature", "top_p", "stop"):
        if name in body:
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            if name == "max_tokens":
                message += " Use 'max_completion_tokens' instead."
            return {
                "message": message,
                "type": "invalid_request_error",
                "param": name,
                "code": "unsupported_parameter",
            }
    return None


def test_a_field_that_the_model_does_not_take() -> None:
    with MockServer(reply, refusal=reasoning_model) as server:
        played = play(server, 4)
    assert played.all_answered(4)
    fields = "max_tokens, stop, temperature, top_p"
    assert played.spec.settings == {"refused_fields": fields}
    assert "does not take stop, temperature, top_p" in next(caveats(played.spec))
    assert len(server.generations()) == 12  # learned before the run, and remembered
    assert all(body["max_completion_tokens"] == 2048 for body in server.generations())


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("temperature", "`temperature` is deprecated for this model."),
        ("temperature", "invalid temperature: only 1 is allowed for this model"),
        ("top_p", "temperature and top_p cannot both be specified. Please use only one."),
        ("seed", 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'),
        ("seed", "The request is malformed."),
        ("top_p", "Bad request"),
        ("stop", "参数错误"),
    ],
)
def test_a_field_that_is_refused_in_whatever_words(field: str, message: str) -> None:
    with MockServer(reply, refusal=lambda body: message if field in body else None) as server:
        played = play(server, 4)
    assert played.all_answered(4)
    assert played.spec.settings == {"refused_fields": field}
    assert len(server.generations()) == 12


def test_a_field_that_is_refused_in_the_middle_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    def refusal(body: Body) -> str | None:
        is_late = len(server.generations()) > 10 and "seed" in body
        return "Unrecognized request argument supplied: seed" if is_late else None

    with MockServer(reply, refusal=refusal) as server:
        played = play(server, 20)
    assert played.all_answered(20)
    assert played.spec.settings == {}
    assert played.late_settings == {"refused_fields": "seed"}
    assert "has refused a part of a request" in capsys.readouterr().err
    assert len(server.generations()) <= 60 + 8  # what was in flight was sent again, nothing else


@pytest.mark.parametrize(
    ("message", "stops", "sent"),
    [
        ("stop_sequences: each stop sequence must contain non-whitespace", ("}", "\n"), ["}"]),
        ("stop: too many (max 1)", ("}", "\\n"), ["}"]),
        ("Unsupported parameter: 'stop' is not supported with this model.", ("}", "x\n"), None),
    ],
)
def test_stop_strings_that_the_server_refuses(
    message: str, stops: tuple[str, ...], sent: list[str] | None
) -> None:
    prompt = Prompt((Message("user", "Who?"),), (Turn("model", "hm"),))

    async def run() -> tuple[Completion, dict[str, Any]]:
        engine = OpenAIEngine("mock", server.url, protocol="completions")
        await engine.start()
        try:
            [completion] = await engine.generate(Generate(prompt, stops, 9), Sampling())
            return completion, engine.late_settings
        finally:
            await engine.close()

    def refusal(body: Body) -> str | None:
        return message if body.get("stop", sent) not in (sent, ["###"]) else None

    with MockServer(lambda body: f"Anna{stops[1]}or so", refusal=refusal) as server:
        completion, settings = asyncio.run(run())
    assert (completion.text, completion.stop_string) == ("Anna", stops[1])
    assert server.generations()[-1].get("stop") == sent
    assert settings


def test_an_answer_longer_than_the_model_writes() -> None:
    def refusal(body: Body) -> str | None:
        limit = "This model supports at most 512 completion tokens."
        return f"max_tokens is too large. {limit}" if body["max_tokens"] > 512 else None

    with MockServer(reply, refusal=refusal) as server:
        played = play(server, 4)
    assert played.all_answered(4)
    assert played.late_settings == {"most_tokens": 512}
    assert [played.trajectory(number).refusals for number in range(4)] == [0] * 4


@pytest.mark.parametrize(
    "message", ["'model' is required", "Unsupported parameter: 'messages' is not supported"]
)
def test_a_field_that_no_request_can_do_without(message: str) -> None:
    with MockServer(reply, refusal=lambda body: message) as server:
        played = play(server, 2)
    assert {record.fault.kind for record in played.records.values() if record.fault} == {"http-400"}
    assert played.spec.settings == {}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "prompt is too long: 900 tokens > 100 maximum", "code": 400}, "context"),
        ({"message": "Overloaded", "type": "overloaded_error"}, ""),
        ({"message": "Rate limit exceeded", "code": 429}, ""),
    ],
)
def test_a_refusal_in_a_200(error: Body, kind: str) -> None:
    class Refusing(MockServer):
        def _complete(self, path: str, body: Body) -> Any:
            last = len(self.generations())
            return {"error": error} if last and last < 4 else super()._complete(path, body)

    with Refusing(reply) as server:
        played = play(server, retries=0)
    if kind:
        assert played.records[0].fault
        assert played.records[0].fault.kind == kind
    else:
        assert played.all_answered(1)


def test_no_continuation_of_a_turn() -> None:
    with MockServer(reply) as server:
        assert play(server).spec.protocol == "chat"
    roles = [message["role"] for message in server.generations()[-1]["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user"]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_in_a_field_of_its_own(field: str) -> None:
    def silent(body: Body) -> str:
        return reply(body).removeprefix("</think>\n")

    with MockServer(silent) as server:
        server.reasoning = {field: "Let me see."}
        played = play(server)
    assert played.all_answered(1)
    assert played.trajectory().steps[0].text.startswith("<think>\nLet me see.\n</think>")


def test_missing_usage() -> None:
    with MockServer(reply) as server:
        server.usage = False
        played = play(server)
    assert played.all_answered(1)
    assert any("not reported: 1" in note for note in played.table("cost").notes)


def test_counts_that_are_all_zero() -> None:
    def steps(usage: Body | None) -> list[str]:
        with MockServer(lambda body: "<begin_search> town </end_search>") as server:
            server.usage = False
            server.alter = lambda body, reply: reply | ({"usage": usage} if usage else {})
            trajectory = play(server, budget=Budget(context_tokens=1500)).trajectory()
        assert trajectory.ending == "forced-context"
        assert all(step.prompt_tokens is None for step in trajectory.steps)
        return [step.text for step in trajectory.steps]

    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert steps(zero) == steps(None)


def test_a_prompt_that_the_server_cuts() -> None:
    def cut(body: Body, reply: Body) -> Body:
        usage = {"prompt_tokens": min(tokens(body), 150), "completion_tokens": 20}
        return reply | {"usage": usage}

    with MockServer(lambda body: "<begin_search> town </end_search>") as server:
        server.alter = cut
        budget = Budget(context_tokens=1500)
        played = play(server, budget=budget)
        server.usage, server.alter = False, lambda body, reply: reply
        uncounted = play(server, budget=budget).trajectory()
    assert any("prompts that the server has cut" in note for note in played.table("cost").notes)
    # The budget is spent by our own count: the server would say that there is room for ever.
    assert played.trajectory().ending == "forced-context"
    assert len(played.trajectory().steps) <= len(uncounted.steps) + 2


def test_a_context_smaller_than_the_runs() -> None:
    with MockServer(kind="vllm") as server:
        server.card = {"max_model_len": 4096}
        spec = play(server, 0, context_tokens=8192).spec
        assert play(server, 0, context_tokens=4096).spec.settings == {}
    assert spec.settings == {"context_tokens": 4096}
    assert "room for 4,096 tokens" in next(caveats(spec))


FAULTS: tuple[Fault, ...] = (
    *("429", "500", "hang", "drop", "garbage", "truncate", "empty", "error", "html"),
    *("bytes", "deep", "plain", "null", "blank", "given up", "aborted"),
)


@pytest.mark.slow
def test_5_of_all_requests_failing_at_random() -> None:
    chance = random.Random(11)
    failed: list[Fault] = []

    def one_in_twenty(number: int) -> Fault | None:
        if chance.random() >= 0.05:
            return None
        failed.append(chance.choice(FAULTS))
        return failed[-1]

    def scores(played: Played) -> dict[int, Any]:
        scorers = load_scorers(("em", "f1", "cover_em"))
        return {n: score_record(record, scorers) for n, record in played.records.items()}

    def short(body: Body) -> str:
        """Search once, then answer what is right for the even towns."""
        if len(body["messages"]) > 1:
            return f"</think>\\boxed{{{'Bert' if town_of(body) % 2 else 'Anna'}}}"
        return reply(body)

    with MockServer(short) as server:
        clean = play(server, 1000, concurrency=32)
    with MockServer(short, fault=one_in_twenty, retry_after="1") as server:
        faulty = play(server, 1000, concurrency=32, timeout=2.0)
    assert set(failed) == set(FAULTS)
    assert len(failed) > 80
    assert scores(faulty) == scores(clean)
    assert len(faulty.records) == 1000
    assert {n: r.trajectory.answer for n, r in faulty.records.items() if r.trajectory} == {
        n: "Bert" if n % 2 else "Anna" for n in range(1000)
    }
