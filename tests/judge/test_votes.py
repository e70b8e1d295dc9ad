"""Votes of a judge, and what stands in for a verdict where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from autocoa_bench.engines import EngineConfig
from autocoa_bench.engines.scripted import Reply, ScriptedEngine
from autocoa_bench.engines.weights import models
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.judge import Case, JudgeConfig, Verdict, load_prompt
from autocoa_bench.judge import judge as asking
from autocoa_bench.judge.judge import Judge, majority
from autocoa_bench.judge.verdict_cache import VerdictCache
from autocoa_bench.types import Completion, Generate, Sampling

CASE = Case("Who?", ("Anna",), "Anne")
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
    ],
)
def test_a_reply_without_a_verdict_is_none_and_says_what_it_ended_with(
    reply: str | Completion, reason: str
) -> None:
    (verdict,) = verdicts(ScriptedEngine(lambda *_: reply))
    assert (verdict.right, verdict.reason) == (None, reason)


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
    other = Case("Who?", ("Anna",), "Bert")
    engine = ScriptedEngine([CORRECT, "Hm."])
    first = verdicts(engine, [CASE, other, CASE], file=file)
    assert [verdict.right for verdict in first] == [True, None, True]
    assert len(engine.requests) == 2
    again = ScriptedEngine([])
    assert verdicts(again, [other, CASE], file=file) == [first[1], first[0]]
    assert not again.requests


def test_another_vote_count_is_another_judge(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    verdicts(ScriptedEngine([CORRECT]), file=file)
    engine = ScriptedEngine([INCORRECT] * 3)
    assert verdicts(engine, votes=3, file=file)[0].right is False


def test_a_line_that_a_kill_has_torn_is_judged_again(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    other = Case("Who?", ("Anna",), "Bert")
    verdicts(ScriptedEngine([CORRECT, INCORRECT]), [CASE, other], file=file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    engine = ScriptedEngine([INCORRECT])
    again = verdicts(engine, [CASE, other], file=file)
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
