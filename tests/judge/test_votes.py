"""Votes of a judge, and what stands in for a verdict where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import pytest

from autocoa_bench.engines import EngineConfig
from autocoa_bench.engines.scripted import Reply, ScriptedEngine
from autocoa_bench.engines.weights import models
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.judge import Case, JudgeConfig, Verdict, load_prompt
from autocoa_bench.judge import judge as asking
from autocoa_bench.judge.judge import Judge, UnreadableJudge, majority
from autocoa_bench.judge.verdict_cache import VerdictCache, read_verdicts
from autocoa_bench.types import Completion, EngineSpec, Generate, ModelTraits, Sampling

CASE = Case("Who?", ("Anna",), "Anne")
OTHER = Case("Who?", ("Anna",), "Bert")
CORRECT, INCORRECT = "Verdict: correct", "Verdict: incorrect"


def verdicts(
    engine: ScriptedEngine,
    cases: Sequence[Case] = (CASE,),
    votes: int = 1,
    file: Path | None = None,
) -> list[Verdict]:
    """What is said of cases, whether asked now or kept."""
    plan = JudgeConfig(model="m", engine="openai", base_url="http://127.0.0.1:1", votes=votes)
    judge, cache = Judge(plan, engine), VerdictCache(file)

    async def work() -> list[Verdict]:
        spec = await judge.settle(cache, cases)
        await judge.judge(spec, cache, cases, lambda _: None)
        stored = [cache.get(spec, case) for case in cases]
        return [verdict for verdict in stored if verdict]

    try:
        return asyncio.run(work())
    finally:
        cache.close()


def prompt_with_adapter(model: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every prompt an adapter, a file in the folder, for one model; return the file."""
    adapter = folder / "judge.gguf"
    adapter.write_bytes(b"GGUF one")
    monkeypatch.setattr(
        asking,
        "load_prompt",
        lambda spec: load_prompt(spec)._replace(adapters={model: adapter}),
    )
    return adapter


@pytest.mark.parametrize(
    ("votes", "right", "reason"),
    [
        ([True], True, ""),
        ([True, False, True], True, "2 of 3 readable votes say correct"),
        ([False, False, True], False, "1 of 3 readable votes say correct"),
        ([True, None, None], True, "1 of 1 readable votes say correct"),
        ([True, False], None, "a tie: 1 of 2 readable votes say correct"),
        ([True, False, None], None, "a tie: 1 of 2 readable votes say correct"),
        ([None, None], None, "unreadable"),
        ([None], None, "unreadable"),
    ],
)
def test_the_majority_of_the_readable_votes_decides(
    votes: list[bool | None], right: bool | None, reason: str
) -> None:
    assert majority(votes) == (right, reason)


def test_one_vote_is_greedy_and_several_are_sampled_each_by_a_seed_of_its_own() -> None:
    samplings: list[Sampling] = []

    def reply(_: Generate, sampling: Sampling) -> str:
        samplings.append(sampling)
        return CORRECT

    verdicts(ScriptedEngine(reply))
    assert [sampling.temperature for sampling in samplings] == [0.0]
    samplings.clear()
    verdicts(ScriptedEngine(reply), votes=3)
    first = list(samplings)
    assert [sampling.temperature for sampling in first] == [0.7] * 3
    assert len({sampling.seed for sampling in first}) == 3
    samplings.clear()
    verdicts(ScriptedEngine(reply), votes=3)
    assert samplings == first


def test_a_verdict_keeps_all_replies(tmp_path: Path) -> None:
    (verdict,) = verdicts(ScriptedEngine([CORRECT, "Hm.", INCORRECT]), votes=3)
    assert verdict.replies == (CORRECT, "Hm.", INCORRECT)
    assert (verdict.right, verdict.faulted) == (None, False)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("So:\nI cannot say.", "unreadable: 'I cannot say.'"),
        ("", "unreadable: an empty reply"),
        (Completion(CORRECT, "length"), f"unreadable: '{CORRECT}', cut for its length"),
        (Completion(CORRECT, "filtered"), f"unreadable: '{CORRECT}', cut by a content filter"),
        (f"<think>\n{CORRECT}", f"unreadable: '{CORRECT}'"),
        (Completion(CORRECT, thinking=True), f"unreadable: '{CORRECT}'"),
    ],
)
def test_a_reply_without_a_verdict_is_none_and_says_what_it_ended_with(
    reply: str | Completion, reason: str
) -> None:
    _, verdict = verdicts(in_turn(CORRECT, reply), [CASE, OTHER])
    assert (verdict.right, verdict.reason) == (None, reason)


def in_turn(*replies: str | Completion) -> ScriptedEngine:
    """A model with these replies, the last of them repeated."""
    rest = list(replies)
    return ScriptedEngine(lambda *_: rest.pop(0) if len(rest) > 1 else rest[0])


@pytest.mark.parametrize("number", [1, 7, 8, 20])
def test_a_judge_none_of_whose_first_replies_is_readable_is_stopped_with_one_message(
    number: int, tmp_path: Path
) -> None:
    cases = [Case("Who?", ("Anna",), f"Anne {n}") for n in range(number)]
    file = tmp_path / "verdicts.jsonl"
    with pytest.raises(UnreadableJudge) as caught:
        verdicts(
            ScriptedEngine(lambda *_: Completion("Let me see. " * 20, "length")), cases, file=file
        )
    message = str(caught.value)
    asked = min(number, 8)
    assert f"the judge: the first {asked} replies to the prompt 'brief' state no verdict" in message
    assert "Let me see. Let me see." in message
    assert "cut for its length" in message
    assert "--judge-prompt reasoned:max_tokens=4096" in message
    assert len(message.splitlines()) <= 3
    stored = read_verdicts(file).values()
    assert len(stored) >= asked
    assert all(verdict.replies for verdict in stored)


def test_a_few_unreadable_replies_among_many_stop_nothing() -> None:
    cases = [Case("Who?", ("Anna",), f"Anne {n}") for n in range(30)]
    stored = verdicts(in_turn(*["Hm."] * 7, CORRECT, *["Hm."] * 21, CORRECT), cases)
    assert sum(verdict.unreadable for verdict in stored) == 28


def test_a_judge_that_was_read_before_is_not_stopped_by_what_stayed_unreadable(
    tmp_path: Path,
) -> None:
    cases = [Case("Who?", ("Anna",), f"Anne {n}") for n in range(12)]
    file = tmp_path / "verdicts.jsonl"
    verdicts(in_turn(CORRECT, "Hm."), cases, file=file)
    engine = in_turn("Hm.")
    assert sum(verdict.unreadable for verdict in verdicts(engine, cases, file=file)) == 11
    assert len(engine.requests) == 11


def test_unreadable_verdicts_stay_where_the_judge_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    first = verdicts(in_turn(CORRECT, "Hm."), [CASE, OTHER], file=file)
    assert verdicts(NoEngine(), [CASE, OTHER], file=file) == first
    with pytest.raises(UserError, match="the judge: no server"):
        verdicts(NoEngine(), [CASE, Case("Who?", ("Anna",), "Cleo")], file=file)


class NoEngine(ScriptedEngine):
    """An engine that does not start."""

    def __init__(self) -> None:
        super().__init__([])

    async def start(self) -> NoReturn:
        raise UserError("no server")


def test_an_unreadable_verdict_is_asked_for_again_and_a_tie_is_not(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    first = verdicts(ScriptedEngine([CORRECT, INCORRECT, "Hm.", "Hm."]), [CASE, OTHER], 2, file)
    assert [verdict.right for verdict in first] == [None, None]
    mended = ScriptedEngine([CORRECT, CORRECT])
    again = verdicts(mended, [CASE, OTHER], 2, file)
    assert [verdict.right for verdict in again] == [None, True]
    assert len(mended.requests) == 2


CUT_IN_A_THOUGHT = (
    "<think>\nOkay, the answer",
    "",
    "<|channel|>analysis<|message|>We need",
)


@pytest.mark.parametrize("text", CUT_IN_A_THOUGHT)
def test_a_reply_that_is_cut_inside_a_thought_is_asked_for_again_with_room_for_it(
    text: str,
) -> None:
    engine = in_turn(Completion(text, "length"), f"</think>\n{CORRECT}")
    assert [verdict.right for verdict in verdicts(engine, [CASE, OTHER])] == [True, True]
    assert [request.max_tokens for request in engine.requests] == [16, 16 + 2048, 16 + 2048]


def test_a_reply_that_is_cut_outside_a_thought_is_not_asked_for_again() -> None:
    engine = in_turn(CORRECT, Completion("The answer is the same as", "length"))
    assert verdicts(engine, [CASE, OTHER])[1].unreadable
    assert [request.max_tokens for request in engine.requests] == [16, 16]


def test_in_chat_turns_the_engine_is_told_how_much_room_a_thought_needs() -> None:
    engine = in_turn(CORRECT, Completion("<think>\nHm", "length"))
    vars(engine)["traits"] = ModelTraits(new_turns=True)
    verdicts(engine, [CASE, OTHER])
    limits = [(request.max_tokens, request.thinking_tokens) for request in engine.requests]
    assert limits == [(16, 2048)] * 2


def test_a_model_whose_template_opens_a_thought_has_room_at_once_and_must_close_it() -> None:
    engine = in_turn(f"They match.\n</think>\n\n{CORRECT}", f"They match.\n{CORRECT}")
    vars(engine)["traits"] = ModelTraits(opens_thought=True)
    assert [verdict.right for verdict in verdicts(engine, [CASE, OTHER])] == [True, None]
    assert [request.max_tokens for request in engine.requests] == [16 + 2048] * 2


def failing(*numbers: int) -> Reply:
    """A model whose replies of these numbers are faults, the others right."""
    count = iter(range(1000))

    def reply(*_: object) -> str:
        if next(count) in numbers:
            raise EngineFault("http-500", "out of order")
        return CORRECT

    return reply


def test_a_fault_is_none_even_among_votes_and_is_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    (verdict,) = verdicts(ScriptedEngine(failing(1)), votes=3, file=file)
    assert (verdict.right, verdict.faulted) == (None, True)
    assert verdict.reason == "judge's engine: http-500: out of order"
    engine = ScriptedEngine([CORRECT] * 3)
    assert verdicts(engine, votes=3, file=file)[0].right is True
    assert len(engine.requests) == 3


def test_the_same_content_is_asked_once_and_never_again(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    engine = ScriptedEngine([CORRECT, INCORRECT])
    first = verdicts(engine, [CASE, OTHER, CASE], file=file)
    assert [verdict.right for verdict in first] == [True, False, True]
    assert len(engine.requests) == 2
    again = ScriptedEngine([])
    assert verdicts(again, [OTHER, CASE], file=file) == [first[1], first[0]]
    assert not again.requests


class Driven(ScriptedEngine):
    """A judge whose server is driven by a protocol, with settings."""

    def __init__(self, reply: str, protocol: str, model: str = "m", **settings: str) -> None:
        super().__init__(lambda *_: reply)
        self._spec = EngineSpec("openai", model, protocol, dict(settings))

    async def start(self) -> EngineSpec:
        return self._spec


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [
        (Driven(CORRECT, "continue"), Driven(INCORRECT, "template"), 1),
        (Driven(CORRECT, "chat"), Driven(INCORRECT, "chat", turns="quoted"), 1),
        (Driven(CORRECT, "chat"), Driven(INCORRECT, "template", tokenizer="t"), 1),
        (Driven(CORRECT, "chat"), Driven(INCORRECT, "completions"), 2),
        (Driven(CORRECT, "chat"), Driven(INCORRECT, "chat", adapter_sha256="0"), 2),
        (Driven(CORRECT, "chat"), Driven(INCORRECT, "chat", "another"), 2),
    ],
)
def test_another_protocol_of_the_server_is_the_same_judge(
    tmp_path: Path, first: Driven, second: Driven, asked: int
) -> None:
    file = tmp_path / "verdicts.jsonl"
    verdicts(first, [CASE], file=file)
    verdicts(second, [CASE, OTHER], file=file)
    assert len(second.requests) == asked


def test_another_vote_count_is_another_judge(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    verdicts(ScriptedEngine([CORRECT]), file=file)
    engine = ScriptedEngine([INCORRECT] * 3)
    assert verdicts(engine, votes=3, file=file)[0].right is False


def test_a_line_that_a_kill_has_torn_is_judged_again(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    verdicts(ScriptedEngine([CORRECT, INCORRECT]), [CASE, OTHER], file=file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    engine = ScriptedEngine([INCORRECT])
    again = verdicts(engine, [CASE, OTHER], file=file)
    assert [verdict.right for verdict in again] == [True, False]
    assert len(engine.requests) == 1
    assert file.read_bytes() == whole


def test_a_damaged_or_foreign_file_is_refused_and_named(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    file.write_text('{"question": "Who?"}\n')
    with pytest.raises(UserError, match=r"verdicts.jsonl' line 1 is damaged"):
        VerdictCache(file)
    assert file.read_text() == '{"question": "Who?"}\n'


def test_two_judges_do_not_write_one_file(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.jsonl")
    with pytest.raises(UserError, match="being written by another process"):
        VerdictCache(tmp_path / "verdicts.jsonl")
    cache.close()


def test_a_prompts_adapter_is_put_on_the_embedded_model_that_it_is_for_and_on_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = prompt_with_adapter(models.DEFAULT, tmp_path, monkeypatch)

    def adapter_sha256(model: str, engine: str) -> str:
        plan = JudgeConfig(model=model, engine=engine, base_url="http://127.0.0.1:1")
        return Judge(plan).identity.adapter_sha256

    first = adapter_sha256(models.DEFAULT, "embedded")
    assert first == sha256(b"GGUF one").hexdigest()
    assert adapter_sha256("another", "embedded") == adapter_sha256(models.DEFAULT, "openai") == ""
    adapter.write_bytes(b"GGUF two")
    assert adapter_sha256(models.DEFAULT, "embedded") not in ("", first)


def test_the_adapter_reaches_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = prompt_with_adapter("small", tmp_path, monkeypatch)
    configs: list[EngineConfig] = []

    def open_scripted(options: EngineConfig) -> ScriptedEngine:
        configs.append(options)
        return ScriptedEngine([])

    monkeypatch.setattr(asking, "open_engine", lambda _, options: open_scripted(options))
    Judge(JudgeConfig(model="small", engine="embedded"))
    Judge(JudgeConfig(model="other", engine="embedded"))
    assert [options.adapter for options in configs] == [str(adapter), ""]
