"""`autocoa-bench synth`: whole commands, from a teacher to a folder and its export."""

from pathlib import Path
from typing import Any

import pytest

from agent_model.data import build
from agent_model.data.config import DataConfig
from agent_model.data.filters import turn_text
from agent_model.data.folder import SynthData, read
from agent_model.dialects.agent import Agent
from agent_model.dialects.cot import CoT
from autocoa_bench import registry
from autocoa_bench.episode import n_actions
from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.runs import run as runs
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.scoring.text import exact_match
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.types import Passage
from support.commands import Cli, caller, refused
from support.mock_server import Body, MockServer
from support.towns import reply, town_of, write_task

real_load = registry.load


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs `synth` in a folder of its own, beside a task of ten towns."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path, 10)

    return caller(monkeypatch, capsys, "synth")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))


TOWNS = ("--tasks", "towns.jsonl", "--corpus", "corpus.jsonl")


def teach(body: Body) -> str:
    """With tools right about the even towns; without, about the odd ones."""
    if "there is nothing to look facts up in" in body["messages"][0]["content"]:
        return f"I recall town {town_of(body)}.\n</think>\n\\boxed{{Bert}}"
    return reply(body)


def by_model(server: MockServer, *arguments: str) -> list[str]:
    """Options of a teacher that is a model."""
    return [*alone(server), "--corpus", "corpus.jsonl", "--shots", "0", *arguments]


def alone(server: MockServer, *arguments: str) -> list[str]:
    """Options of a teacher that is a model and does not search."""
    options = ["--teacher", "model", "--model", "mock", "--base-url", server.url]
    return ["--tasks", "towns.jsonl", *options, "--samples", "2", *arguments]


def numbers(data: SynthData) -> list[int]:
    items = data.records or data.pairs
    return [int(item.question.id[1:]) for item in items]


def test_coa_data_is_what_a_model_got_right_with_searches(cli: Cli, own_cache: None) -> None:
    with MockServer(teach) as server:
        done = cli("coa", *by_model(server), "--out", "coa")
    assert done.code == 0, done.err
    data = read(Path("coa"))
    assert numbers(data) == [0, 2, 4, 6, 8]
    assert data.info.counts.dropped == {"wrong": 10, "duplicate": 5}
    assert data.info.shape == {"2 searches": 5}
    assert "duplicate" in done.out


def test_cot_data_is_what_a_model_got_right_alone(cli: Cli, own_cache: None) -> None:
    with MockServer(teach) as server:
        done = cli("cot", *alone(server), "--out", "cot")
    assert done.code == 0, done.err
    data = read(Path("cot"))
    assert numbers(data) == [1, 3, 5, 7, 9]
    assert turn_text(data.records[0]) == "<think>\nI recall town 1.\n</think>\n\\boxed{Bert}"


def test_pairs_go_both_ways(cli: Cli, own_cache: None) -> None:
    with MockServer(teach) as server:
        done = cli("cot+a", *by_model(server), "--out", "pairs")
    assert done.code == 0, done.err
    data = read(Path("pairs"))
    assert data.info.shape == {"answer chosen": 5, "search chosen": 5}
    for pair in data.pairs:
        odd = int(pair.question.id[1:]) % 2 == 1
        assert ("<begin_search>" in pair.rejected) == odd
        assert ("<begin_search>" in pair.chosen) != odd


def test_the_same_command_asks_nothing_again_and_makes_the_same(cli: Cli, own_cache: None) -> None:
    with MockServer(teach) as server:
        cli("cot+a", *by_model(server), "--out", "pairs")
        first = {name: Path("pairs", name).read_bytes() for name in ("pairs.jsonl", "synth.json")}
        n_requests = len(server.generations())
        done = cli("cot+a", *by_model(server), "--out", "pairs")
        assert len(server.generations()) == n_requests
    assert done.code == 0, done.err
    assert first == {name: Path("pairs", name).read_bytes() for name in first}


def test_all_kinds_of_data_may_be_chosen_from_the_same_episodes(cli: Cli, own_cache: None) -> None:
    with MockServer(teach) as server:
        cli("cot+a", *by_model(server), "--out", "pairs", "--runs", "runs")
        n_requests = len(server.generations())
        for kind, options in (("coa", by_model(server)), ("cot", alone(server))):
            done = cli(kind, *options, "--out", kind, "--runs", "runs")
            assert done.code == 0, done.err
        assert len(server.generations()) == n_requests


def test_a_failed_episode_is_counted_and_asked_again(cli: Cli, own_cache: None) -> None:
    with MockServer(teach, fault=lambda number: "400" if number == 0 else None) as server:
        cli("cot", *alone(server), "--out", "cot")
        assert read(Path("cot")).info.counts.dropped["fault"] == 1
        cli("cot", *alone(server), "--out", "cot")
    assert "fault" not in read(Path("cot")).info.counts.dropped


def test_what_is_kept_may_be_chosen_anew_without_a_model(cli: Cli, own_cache: None) -> None:
    with MockServer(teach) as server:
        cli("coa", *by_model(server), "--out", "coa")
        n_requests = len(server.generations())
        done = cli("coa", *by_model(server, "--count", "2"), "--out", "coa")
        assert len(server.generations()) == n_requests
    assert done.code == 0, done.err
    assert "not drawn" in done.out
    assert len(read(Path("coa")).records) == 2


def test_the_table_says_why_nothing_was_kept_and_nothing_is_written(
    cli: Cli, own_cache: None
) -> None:
    with MockServer(teach) as server:
        done = cli("coa", *by_model(server, "--max-actions", "1"), "--out", "coa")
    refused(done, "nothing was kept")
    assert "too many searches" in done.out
    assert not Path("coa/records.jsonl").exists()


def test_a_folder_of_other_data_is_not_overwritten(cli: Cli, own_cache: None) -> None:
    with MockServer(teach) as server:
        cli("coa", *by_model(server), "--out", "data")
        before = Path("data/records.jsonl").read_bytes()
        refused(cli("cot", *alone(server), "--out", "data"), "holds coa data, not cot")
    refused(cli("coa", *TOWNS, "--out", "data"), "data from a different source", "--out")
    assert Path("data/records.jsonl").read_bytes() == before


def test_data_of_another_run_is_refused_before_anything_is_sampled(
    cli: Cli, own_cache: None
) -> None:
    with MockServer(teach) as server:
        cli("cot", *alone(server), "--out", "data", "--runs", "runs")
        n_requests = len(server.generations())
        for different in (
            ("--runs", "other", "--top-p", "0.5"),
            ("--runs", "other", "--seed", "1"),
        ):
            done = cli("cot", *alone(server), "--out", "data", *different)
            refused(done, "data from a different source", different[2][2:].replace("-", "_"))
        assert len(server.generations()) == n_requests


def test_gold_data_of_other_questions_is_refused_before_anything_is_taught(
    cli: Cli, own_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("coa", *TOWNS, "--out", "gold")
    monkeypatch.setattr("agent_model.data.gold_teacher.gold_episode", None)
    refused(cli("coa", *TOWNS, "--limit", "5", "--out", "gold"), "data from a different source")


def test_a_file_that_synth_did_not_make_is_not_overwritten(cli: Cli, own_cache: None) -> None:
    Path("mine").mkdir()
    Path("mine/records.jsonl").write_text("")
    refused(cli("coa", *TOWNS, "--out", "mine"), "is not from synth")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "mock"), "give --teacher model too"),
        (("--top-k", "many"), "numbers from 1 to 100"),
        (("--teacher", "model", "--model", "m", "--top-k", "2,3"), "takes one number"),
        (("--tasks", "towns.jsonl"), "give --corpus"),
        (("--scorer", "rouge"), "unknown scorer 'rouge'"),
        (("--min-actions", "3", "--max-actions", "2"), "3 is more than --max-actions 2"),
    ],
)
def test_a_mistake_is_said_in_one_line(
    cli: Cli, own_cache: None, arguments: tuple[str, ...], message: str
) -> None:
    refused(cli("coa", *arguments, "--out", "out"), message)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("coa --samples 2 --temperature 0", "--samples, --temperature: no effect on coa data"),
        ("coa --adapter none", "--adapter: no effect"),
        ("cot+a --per-question 2", "--per-question: no effect"),
        ("cot --max-actions 2", "leave it out"),
        ("cot --min-actions 2", "leave it out"),
        ("cot --teacher model --corpus c --shots 1", "--corpus, --shots: no effect on cot data"),
        ("cot+a --teacher model --max-tokens 9", "--max-tokens: no effect on cot+a data"),
        ("cot+a --teacher model --max-actions 9", "--max-actions: no effect"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(
    cli: Cli, command: str, message: str
) -> None:
    refused(cli(*command.split(), "--out", "out"), message)


def test_a_teacher_that_is_none_is_refused_with_those_that_are(cli: Cli) -> None:
    done = cli("coa", "--teacher", "silver", "--out", "out")
    assert done.code == 2
    assert "'gold', 'model'" in done.err


@pytest.mark.parametrize(
    ("options", "adapter"), [((), "none"), (("--adapter", "none"), "none"), (("--adapter", ""), "")]
)
def test_a_teacher_has_the_adapter_that_was_asked_for(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], adapter: str
) -> None:
    plans: list[RunConfig] = []

    def run(plan: RunConfig, *_: object) -> Path:
        plans.append(plan)
        raise UserError("stop here")

    monkeypatch.setattr(runs, "run", run)
    cli("cot", "--tasks", "towns.jsonl", "--teacher", "model", *options, "--out", "out")
    assert [plan.adapter for plan in plans] == [adapter]


def test_reasoning_without_tools_has_none_of_the_agents_adapters() -> None:
    assert CoT().adapters == {}


@pytest.mark.parametrize(
    ("kind", "count", "tasks"),
    [("coa", 5000, "multihop"), ("cot", 1000, "when-to-act"), ("cot+a", 1500, "multihop")],
)
def test_as_much_is_drawn_as_in_the_paper_from_tasks_that_have_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, kind: str, count: int, tasks: str
) -> None:
    configs: list[DataConfig] = []

    def make(config: DataConfig, _: object) -> None:
        configs.append(config)
        raise UserError("stop here")

    monkeypatch.setattr(build, "build_data", make)
    cli(kind, "--out", "out")
    (config,) = configs
    assert config.teacher == "gold"
    assert (config.most, config.run.tasks) == (count, tasks)


# The teacher without a model.


def test_gold_refuses_to_reason_without_searches_where_it_always_searches(
    cli: Cli, own_cache: None
) -> None:
    refused(cli("cot", *TOWNS, "--out", "out"), "--tasks when-to-act")
    assert not Path("out").exists()


def test_a_search_that_fails_is_a_fault_of_its_question_and_the_engine_is_closed(
    cli: Cli, own_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    class Failing(BM25):
        async def search(self, query: str) -> tuple[Passage, ...]:
            if query.endswith(" 3?"):
                raise SearchFault("timeout", "no reply")
            return await super().search(query)

        async def close(self) -> None:
            closed.append(self)

    def load(kind: registry.Kind, name: str) -> Any:
        return Failing if (kind, name) == ("search", "bm25") else real_load(kind, name)

    monkeypatch.setattr(registry, "load", load)
    done = cli("coa", *TOWNS, "--out", "gold")
    assert done.code == 0, done.err
    assert read(Path("gold")).info.counts.dropped["fault"] == 1
    assert 3 not in numbers(read(Path("gold")))
    assert len(closed) == 1


def test_gold_teaches_a_file_of_questions_over_its_corpus(cli: Cli, own_cache: None) -> None:
    done = cli("coa", *TOWNS, "--out", "gold")
    assert done.code == 0, done.err
    data = read(Path("gold"))
    assert data.info.written + sum(data.info.counts.dropped.values()) == 10
    assert all(record.trajectory for record in data.records)


def test_gold_teaches_the_embedded_tasks(cli: Cli) -> None:
    """In the embedded world, over the corpus of its train split."""
    arguments = ("--tasks", "hotpotqa,bamboogle", "--limit", "30", "--top-k", "2,3")
    done = cli("coa", *arguments, "--out", "gold")
    assert done.code == 0, done.err
    data = read(Path("gold"))
    assert data.info.counts.seen == 60
    assert data.info.written >= 57
    for record in data.records:
        trajectory = record.trajectory
        assert trajectory is not None
        assert exact_match(trajectory.answer or "", record.question.golden_answers)
        assert n_actions(trajectory) >= 1
        assert trajectory.opening == Agent(shots=0).opening(record.question)


def test_gold_pairs_of_the_embedded_tasks_go_both_ways_and_are_the_same_again(cli: Cli) -> None:
    arguments = ("--tasks", "bamboogle", "--limit", "30", "--count", "40")
    for name in ("one", "two"):
        done = cli("cot+a", *arguments, "--out", name)
        assert done.code == 0, done.err
    assert Path("one/pairs.jsonl").read_bytes() == Path("two/pairs.jsonl").read_bytes()
    shape = read(Path("one")).info.shape
    assert sum(shape.values()) == 40
    assert min(shape.values()) >= 10


# Export.


def test_export_writes_what_it_says(cli: Cli, own_cache: None) -> None:
    with MockServer(teach) as server:
        cli("coa", *by_model(server), "--out", "coa")
    for target, names in (
        ("llamafactory", ["coa.json", "dataset_info.json"]),
        ("trl", ["coa.jsonl"]),
        ("verl", ["coa-rl.parquet", "coa-sft.parquet"]),
    ):
        done = cli("export", "coa", "--to", target, "--out", target)
        assert done.code == 0, done.err
        assert [Path(line) for line in done.out.split()] == [Path(target, name) for name in names]
        assert sorted(file.name for file in Path(target).iterdir()) == names


def test_export_of_something_else_is_refused(cli: Cli) -> None:
    refused(cli("export", ".", "--to", "trl", "--out", "out"), "no synth.json")


def test_export_with_a_tokenizer_that_is_not_there(cli: Cli, own_cache: None) -> None:
    with MockServer(teach) as server:
        cli("cot", *alone(server), "--out", "cot")
    options = ("--to", "trl", "--out", "out")
    refused(cli("export", "cot", *options, "--tokenizer", "none"), "no folder 'none'")
    refused(cli("export", "cot", *options, "--observations"), "needs --tokenizer")
