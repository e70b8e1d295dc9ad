"""Fidelity of simulated search results: which hop a search is for, what counts as true."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from agent_model.cli import fidelity
from agent_model.data import folder
from agent_model.data.config import FilterConfig
from agent_model.data.filters import Counts
from agent_model.data.folder import SynthInfo, SynthSpec
from agent_model.data.gold_teacher import gold_episodes
from agent_model.dialects.agent import Agent
from agent_model.fidelity.facts import (
    FactVerdict,
    facts_stated,
    searches_of,
    states,
    verdict,
)
from agent_model.fidelity.measure import read_records, simulate
from agent_model.fidelity.report import report
from autocoa_bench import registry
from autocoa_bench.engines import EngineConfig
from autocoa_bench.engines.scripted import ScriptedEngine
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.report import render
from autocoa_bench.runs import run_folder
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.search.simulated import ResultFormat, SimulatedResults
from autocoa_bench.types import (
    Completion,
    FaultNote,
    Generate,
    Hop,
    Passage,
    Prompt,
    Question,
    Record,
    Sampling,
    Trajectory,
)
from support.play import play
from support.runs import info
from tasks import embedded

DIALECT = Agent(shots=0)
TOWER = Passage("p1", "The Tower", "Anna built the tower.")
ANNA = Passage("p2", "Anna", "Anna was born in Rome.")
MILL = Passage("p3", "The Mill", "Bert built the mill.")
HOPS = (
    Hop("Who built the Tower?", "Anna", "p1"),
    Hop("Where was Anna born?", "Rome", "p2"),
)
QUESTION = Question("q1", "Where was the builder of the Tower born?", ("Rome",), "toy", hops=HOPS)


def record(*results: tuple[Passage, ...], question: Question = QUESTION) -> Record:
    """A trajectory with one search for each of the results, and an answer."""
    turns = [f"Thought {n}.\n<begin_search> query {n} </end_search>" for n in range(len(results))]
    played, _ = play(DIALECT, [*turns, "So.\n</think>\n\n\\boxed{Rome}"], passages=())
    steps = [
        msgspec.structs.replace(step, passages=passages, observation=DIALECT.show(passages))
        for step, passages in zip(played.steps, results, strict=False)
    ]
    return Record(question, 0, msgspec.structs.replace(played, steps=(*steps, played.steps[-1])))


def hops_of(one: Record) -> list[int]:
    return [look_up.number for look_up in searches_of(one)]


def simulated(one: Record, engine: ScriptedEngine) -> dict[str, SimulatedResults | FaultNote]:
    """The results of each search of a record, simulated one after the other."""
    results: dict[str, SimulatedResults | FaultNote] = {}

    async def write(before: Prompt) -> SimulatedResults:
        form = ResultFormat(DIALECT)
        [completion] = await engine.generate(form.request(before), Sampling())
        return form.read(completion, 3)

    named = {str(number): look_up for number, look_up in enumerate(searches_of(one))}
    asyncio.run(simulate(named, write, 1, results.__setitem__))
    return results


def judged(one: Record, *texts: str | Completion) -> list[FactVerdict]:
    """Verdicts where a model writes these texts in order."""
    waiting = iter(texts)
    engine = ScriptedEngine(lambda *_: next(waiting), keep_stop=True)
    verdicts = []
    for look_up, found in zip(searches_of(one), simulated(one, engine).values(), strict=True):
        assert isinstance(found, SimulatedResults)
        verdicts.append(verdict("", look_up, found, "train world"))
    return verdicts


def written(*passages: Passage) -> str:
    """Results as the model is to write them."""
    return DIALECT.show(passages).removeprefix("\n\n<search_result>\n")


def test_a_search_states_a_fact_where_its_passages_hold_an_open_hops_answer() -> None:
    invented = Passage("simulated-1", "Anna", "Anna was born in Oslo.")
    assert list(facts_stated(record((MILL,), (TOWER,), (invented,), (ANNA,)))) == [
        False,
        True,
        False,  # who built it is no open question any more
        True,
    ]
    assert list(facts_stated(record((TOWER, ANNA), (TOWER,)))) == [True]  # none is open then
    assert not list(facts_stated(record((TOWER,), question=Question("q2", "Who?", ("Anna",)))))


def test_another_name_of_a_hops_answer_states_it_as_well() -> None:
    hop = Hop("Who built the Tower?", "Anna", "p1", aliases=("Queen Ann",))
    named = Passage("p9", "Tower", "Queen Ann built it.")
    question = msgspec.structs.replace(QUESTION, hops=(hop,))
    assert list(facts_stated(record((named,), question=question))) == [True]


def test_a_search_is_for_the_hop_whose_passage_it_found() -> None:
    assert hops_of(record((TOWER, MILL), (ANNA,))) == [1, 2]
    assert hops_of(record((ANNA,), (TOWER,))) == [2, 1]


def test_a_search_that_found_nothing_is_for_the_first_open_hop() -> None:
    assert hops_of(record((MILL,), (TOWER,), (), (ANNA,))) == [1, 1, 2, 2]


def test_a_search_after_the_chain_is_complete_is_not_judged() -> None:
    assert hops_of(record((TOWER, ANNA), (MILL,))) == [1]


def test_questions_without_a_gold_chain_and_faults_have_no_look_ups() -> None:
    bare = Question("q2", "?", ("Rome",), "toy")
    assert hops_of(record((TOWER,), question=bare)) == []
    assert hops_of(Record(QUESTION, 0)) == []


def test_the_model_is_given_the_true_turn_up_to_the_end_of_the_search() -> None:
    one = record((TOWER,), (ANNA,))
    assert one.trajectory is not None
    first, second = (look_up.before for look_up in searches_of(one))
    assert first.opening == one.trajectory.opening
    assert first.continuation == "<think>\nThought 0.\n<begin_search> query 0 </end_search>"
    assert second.continuation == (
        f"{first.continuation}{DIALECT.show([TOWER])}"
        "Thought 1.\n<begin_search> query 1 </end_search>"
    )


def test_a_fact_is_found_as_whole_words_normalised_as_for_exact_match() -> None:
    assert states([Passage("", "X", "It has 1,388 metres.")], "1388 metres")
    assert states([Passage("", "The Anna!", "")], "anna")
    assert not states([Passage("", "Annabel", "Hannah.")], "Anna")
    assert not states([TOWER], "the")


def test_true_results_are_told_from_invented_ones() -> None:
    one = record((TOWER, MILL), (ANNA,))
    invented = Passage("", "Anna", "Anna was born in Paris.")
    first, second = judged(one, written(TOWER), written(invented))
    assert (first.simulated_fact, first.real_fact, first.title, first.problem) == (
        True,
        True,
        True,
        "",
    )
    assert (second.simulated_fact, second.real_fact, second.title) == (False, True, True)


def test_an_answer_that_stood_in_the_turn_already_is_marked() -> None:
    paris = Passage("p1", "The Tower", "Anna built the tower in Rome.")
    first, second = judged(record((paris,), (ANNA,)), written(TOWER), written(ANNA))
    assert (first.seen, second.seen) == (False, True)


def test_the_title_is_unknown_where_the_real_search_did_not_find_the_passage() -> None:
    first, second = judged(record((MILL,), (TOWER,)), written(TOWER), written(MILL))
    assert (first.title, first.real_fact, first.simulated_fact) == (None, False, True)
    assert second.title is False


def test_a_reply_that_is_not_well_formed_keeps_its_reason_and_its_text() -> None:
    (only,) = judged(record((TOWER,)), Completion("I know nothing.", "length"))
    assert (only.problem, only.text) == ("the results are not closed", "I know nothing.")


def test_a_failing_model_server_is_a_fault_and_stops_no_other() -> None:
    def reply(request: Generate, _: Sampling) -> str:
        if "query 1" in request.prompt.continuation:
            return written(ANNA)
        raise EngineFault("http-500", "sorry")

    first, second = simulated(record((TOWER,), (ANNA,)), ScriptedEngine(reply)).values()
    assert first == FaultNote("http-500", "sorry")
    assert isinstance(second, SimulatedResults)


def verdicts(facts: Iterable[bool], hop: int, origin: str) -> list[FactVerdict]:
    return [
        FactVerdict("", "t", f"{origin}{n}", origin, hop, "", "", True, fact, False, None, "", "")
        for n, fact in enumerate(facts)
    ]


def test_the_table_has_a_section_a_world_and_a_row_a_hop() -> None:
    all_verdicts = [
        *verdicts([True] * 3 + [False], 1, "train world"),
        *verdicts([False] * 2, 2, "train world"),
        *verdicts([False], 1, "unseen world"),
    ]
    (table,) = report(all_verdicts, "small").tables
    assert [section.title for section in table.sections] == ["train world", "unseen world"]
    rows = table.sections[0].rows
    assert [row.label.text for row in rows] == ["1", "2", "all"]
    assert [cell.text for cell in rows[0].cells] == ["4", "75.0", "100.0", "0.0", "–", "100.0"]
    assert rows[0].cells[1].detail == "30–95"  # Wilson
    fact = next(point for point in table.data_points if point.metric == "hop 1:simulated_fact")
    assert (fact.section, fact.model, fact.mean, fact.n) == ("train world", "small", 0.75, 4)


def test_the_table_is_written_in_every_format() -> None:
    fidelity_report = report(verdicts([True], 1, "train world"), "small")
    for form in ("markdown", "latex", "csv"):
        assert "train world" in render(fidelity_report, form)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Gold trajectories over both embedded worlds, four each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        records = []
        for split, corpus in (("test", "embedded"), ("train", "embedded-train")):
            chosen = embedded.hotpotqa.load(split)[:4]  # type: ignore[arg-type]
            for question, episode in gold_episodes(chosen, BM25(corpus), 0, [3]):
                assert isinstance(episode, Trajectory)
                records.append(Record(question, 0, episode))
        return records


def test_gold_trajectories_find_their_facts(
    taught: list[Record],
) -> None:
    searches = [look_up for one in taught for look_up in searches_of(one)]
    assert len(searches) >= 16
    for look_up in searches:
        assert states(look_up.real, look_up.hop.answer), look_up


class Patient(ScriptedEngine):
    """Lets others have a turn at every request, as a server does."""

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        await asyncio.sleep(0)
        return await super().generate(request, sampling, n)


class Served:
    """A model engine that writes the true results; records its options and its requests."""

    def __init__(self, taught: list[Record]) -> None:
        self.options: list[EngineConfig] = []
        self.n_requests = 0
        self.fails: Callable[[int], Exception | None] = lambda number: None
        self._truths = {
            look_up.before.continuation: look_up.real
            for one in taught
            for look_up in searches_of(one)
        }

    def engine(self, options: EngineConfig) -> ScriptedEngine:
        self.options.append(options)
        return Patient(self._reply)

    def _reply(self, request: Generate, _: Sampling) -> str:
        self.n_requests += 1
        if error := self.fails(self.n_requests):
            raise error
        before = request.prompt.continuation.removesuffix("\n\n<search_result>\n")
        return written(*self._truths[before])


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, taught: list[Record]) -> Served:
    """The model engine replaced by one that knows the truth."""
    model = Served(taught)
    load = registry.load
    monkeypatch.setattr(
        registry, "load", lambda kind, name: model.engine if kind == "engines" else load(kind, name)
    )
    return model


@pytest.fixture
def file(tmp_path: Path, taught: list[Record]) -> Path:
    """The gold trajectories as a file of records."""
    path = tmp_path / "gold.jsonl"
    path.write_bytes(msgspec.json.Encoder().encode_lines(taught))
    return path


def rows(kept: Path) -> list[Any]:
    return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]


def test_the_command_tells_the_train_world_from_the_unseen(
    file: Path, served: Served, tmp_path: Path
) -> None:
    out, kept = tmp_path / "table.csv", tmp_path / "kept.jsonl"
    fidelity.fidelity(
        records=[file], model="m", adapter="a", protocol="chat", written=kept, out=out
    )
    (options,) = served.options
    assert (options.model, options.adapter, options.protocol) == ("m", "a", "chat")
    lines = out.read_text(encoding="utf-8").splitlines()
    for origin in ("train world", "unseen world"):
        (line,) = (x for x in lines if x.startswith(f"fidelity,{origin}") and ",simulated_" in x)
        assert ",1.0," in line
    assert {row["origin"] for row in rows(kept)} == {"train world", "unseen world"}
    assert all(row["simulated_fact"] and row["problem"] == "" for row in rows(kept))


def test_the_adapter_none_is_none(file: Path, served: Served, tmp_path: Path) -> None:
    for options in ({"adapter": "none"}, {}):
        fidelity.fidelity(records=[file], limit=1, out=tmp_path / "t.md", **options)
    assert [options.adapter for options in served.options] == ["", ""]


def test_a_limit_takes_searches_from_all_over(file: Path, served: Served, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    fidelity.fidelity(records=[file], limit=4, written=kept, out=tmp_path / "t.md")
    assert len(rows(kept)) == 4
    assert {row["origin"] for row in rows(kept)} == {"train world", "unseen world"}


def test_the_same_command_asks_only_what_is_not_written(
    file: Path, served: Served, tmp_path: Path
) -> None:
    one, two, kept = tmp_path / "one.md", tmp_path / "two.md", tmp_path / "kept.jsonl"
    fidelity.fidelity(records=[file], written=kept, out=one)
    asked, before = served.n_requests, kept.read_bytes()
    first, *_ = before.splitlines(keepends=True)
    kept.write_bytes(before.removeprefix(first) + first[: len(first) // 2])  # one gone, one torn
    fidelity.fidelity(records=[file], written=kept, out=two)
    assert served.n_requests == asked + 1
    assert sorted(kept.read_bytes().splitlines()) == sorted(before.splitlines())
    assert two.read_text() == one.read_text()


def test_what_was_written_for_another_command_is_refused(
    file: Path, served: Served, tmp_path: Path
) -> None:
    out, kept = tmp_path / "t.md", tmp_path / "kept.jsonl"
    fidelity.fidelity(records=[file], limit=2, written=kept, out=out)
    asked, before = served.n_requests, kept.read_bytes()
    with pytest.raises(UserError, match="other settings; choose another --written"):
        fidelity.fidelity(records=[file], limit=2, written=kept, out=out, temperature=0.5)
    with pytest.raises(UserError, match="not a file that fidelity wrote; choose another --written"):
        fidelity.fidelity(records=[file], written=file, out=out)
    assert (served.n_requests, kept.read_bytes()) == (asked, before)


def test_a_fault_is_counted_and_asked_again(
    file: Path, served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.fails = lambda number: EngineFault("http-500", "sorry") if number == 2 else None
    out, kept = tmp_path / "t.md", tmp_path / "kept.jsonl"
    fidelity.fidelity(records=[file], limit=4, written=kept, out=out)
    assert "failed with http-500: 1" in out.read_text()
    assert "searches left out, the model server failed: 1 (first with http-500: sorry)" in (
        capsys.readouterr().err
    )
    assert len(rows(kept)) == 3
    fidelity.fidelity(records=[file], limit=4, written=kept, out=out)
    assert "http-500" not in out.read_text()
    assert len(rows(kept)) == 4


def test_nothing_but_faults_has_no_table(file: Path, served: Served, tmp_path: Path) -> None:
    served.fails = lambda _: EngineFault("http-500", "sorry")
    with pytest.raises(UserError, match="every search failed, the first with http-500: sorry"):
        fidelity.fidelity(records=[file], out=tmp_path / "t.md")
    assert not (tmp_path / "t.md").exists()


def test_an_interrupt_keeps_what_is_written_and_ends_with_a_sentence(
    file: Path, served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(number: int) -> None:
        if number == 3:
            signal.raise_signal(signal.SIGINT)

    served.fails = interrupt
    kept = tmp_path / "kept.jsonl"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(typer.Exit) as stop:
            fidelity.fidelity(records=[file], concurrency=1, written=kept)
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.value.exit_code == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert 2 <= len(rows(kept)) < 16


@pytest.mark.parametrize(
    ("option", "name"),
    [("out", "absent/t.md"), ("written", "absent/t.jsonl"), ("written", "records.jsonl")],
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_asked(
    file: Path, served: Served, tmp_path: Path, option: str, name: str
) -> None:
    options = {"out": tmp_path / "t.md"} | {option: tmp_path / name}
    with pytest.raises(UserError, match=r"run folder uses|cannot write"):
        fidelity.fidelity(records=[file], **options)
    assert not served.options


def test_a_resumed_run_holds_each_record_once(
    served: Served, taught: list[Record], tmp_path: Path
) -> None:
    fault = msgspec.structs.replace(taught[0], trajectory=None, fault=FaultNote("timeout", ""))
    run = run_folder.RunFolder(tmp_path / "run", info())
    for item in (taught[1], fault, taught[0], taught[1]):
        run.append(item)
    run.close()
    kept = tmp_path / "kept.jsonl"
    fidelity.fidelity(records=[tmp_path / "run"], written=kept, out=tmp_path / "t.csv")
    searches = sum(1 for item in taught[:2] for _ in searches_of(item))
    assert len(rows(kept)) == searches
    assert read_count(tmp_path / "run") == 2


def read_count(path: Path) -> int:
    return len(list(read_records(path)))


def test_a_file_of_records_counts_the_latest_of_a_key_and_no_torn_line(
    tmp_path: Path, taught: list[Record]
) -> None:
    lines = [msgspec.json.encode(item) for item in (taught[0], taught[1], taught[0])]
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(b"\n".join([*lines, lines[1][:99]]))
    assert list(read_records(torn)) == [taught[0], taught[1]]
    unended = tmp_path / "unended.jsonl"
    unended.write_bytes(b"\n".join(lines[:2]))
    assert read_count(unended) == 2


def test_a_folder_that_synth_made_is_read(tmp_path: Path, taught: list[Record]) -> None:
    spec = SynthSpec(kind="coa", split="train", scorer="em", limits=FilterConfig(), count=9, seed=0)
    synth_info = SynthInfo(spec=spec, counts=Counts(8, 8, {}), chosen=8, written=8, shape={})
    folder.write(tmp_path, synth_info, taught)
    assert list(read_records(tmp_path)) == taught


def test_records_without_a_chain_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    bare = record((TOWER,), question=Question("q2", "?", ("Rome",), "toy"))
    file.write_bytes(msgspec.json.encode(bare) + b"\n")
    with pytest.raises(UserError, match="gold chain"):
        fidelity.fidelity(records=[file])


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [("absent.jsonl", None, "cannot read"), ("bad.jsonl", b"{}\n", "holds no records")],
)
def test_a_file_that_holds_no_records_is_named(
    tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=problem):
        fidelity.fidelity(records=[tmp_path / name])


def test_a_table_of_no_known_format_is_refused_before_anything_is_generated() -> None:
    with pytest.raises(UserError, match="does not name its format"):
        fidelity.fidelity(records=[Path("absent.jsonl")], out=Path("table.txt"))
