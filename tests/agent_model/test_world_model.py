"""Fidelity of simulated search results: which hop a search is for, what counts as true."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from agent_model.agent import Agent
from agent_model.commands import fidelity
from agent_model.synthesis.gold import teach
from agent_model.world_model import Verdict, judge, look_ups, report, states
from autocoa_bench import registry
from autocoa_bench.engines import EngineOptions
from autocoa_bench.engines.scripted import ScriptedEngine
from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.report import render
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.search.simulated import SimulatedSearch
from autocoa_bench.types import (
    Completion,
    Generate,
    Hop,
    Passage,
    Question,
    Record,
    Sampling,
    Trajectory,
)
from support.play import play
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


def record(*found: tuple[Passage, ...], question: Question = QUESTION) -> Record:
    """A trajectory that searches once for each of the given results, then answers."""
    turns = [f"Thought {n}.\n<begin_search> query {n} </end_search>" for n in range(len(found))]
    made, _ = play(DIALECT, [*turns, "So.\n</think>\n\n\\boxed{Rome}"], passages=())
    steps = [
        msgspec.structs.replace(step, passages=passages, observation=DIALECT.show(passages))
        for step, passages in zip(made.steps, found, strict=False)
    ]
    return Record(question, 0, msgspec.structs.replace(made, steps=(*steps, made.steps[-1])))


def hops_of(one: Record) -> list[int]:
    return [look_up.number for look_up in look_ups(one)]


def judged(one: Record, *texts: str | Completion) -> list[Verdict]:
    """Verdicts where a model writes these texts in order."""
    waiting = iter(texts)
    engine = ScriptedEngine(lambda *_: next(waiting), keep_stop=True)
    search = SimulatedSearch(engine, "small", DIALECT, sampling=Sampling())
    return asyncio.run(judge(list(look_ups(one)), search, lambda _: "train world", 1))


def written(*passages: Passage) -> str:
    """Results as the model is to write them."""
    return DIALECT.show(passages).removeprefix("\n\n<search_result>\n")


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
    first, second = (look_up.before for look_up in look_ups(one))
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


def test_a_failing_model_server_is_no_verdict() -> None:
    search = SimulatedSearch(ScriptedEngine([]), "small", DIALECT, sampling=Sampling())
    with pytest.raises(SearchFault):
        asyncio.run(judge(list(look_ups(record((TOWER,)))), search, lambda _: "", 4))


def verdicts(facts: Iterable[bool], hop: int, origin: str) -> list[Verdict]:
    return [
        Verdict("t", f"{origin}{n}", origin, hop, "", "", True, fact, False, None, "", "")
        for n, fact in enumerate(facts)
    ]


def test_the_table_has_a_section_a_world_and_a_row_a_hop() -> None:
    made = [
        *verdicts([True] * 3 + [False], 1, "train world"),
        *verdicts([False] * 2, 2, "train world"),
        *verdicts([False], 1, "unseen world"),
    ]
    (table,) = report(made, "small").tables
    assert [section.title for section in table.sections] == ["train world", "unseen world"]
    rows = table.sections[0].rows
    assert [row.label.text for row in rows] == ["1", "2", "all"]
    assert [cell.text for cell in rows[0].cells] == ["4", "75.0", "100.0", "0.0", "–", "100.0"]
    assert rows[0].cells[1].detail == "30–95"  # Wilson
    fact = next(each for each in table.facts if each.metric == "hop 1:simulated_fact")
    assert (fact.section, fact.model, fact.mean, fact.n) == ("train world", "small", 0.75, 4)


def test_the_table_is_written_in_every_format() -> None:
    made = report(verdicts([True], 1, "train world"), "small")
    for form in ("markdown", "latex", "csv"):
        assert "train world" in render(made, form)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Gold trajectories over both embedded worlds, four each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        records = []
        for split, corpus in (("test", "embedded"), ("train", "embedded-train")):
            chosen = embedded.hotpotqa.load(split)[:4]  # type: ignore[arg-type]
            for question, made in teach(chosen, BM25(corpus), 0, [3]):
                assert isinstance(made, Trajectory)
                records.append(Record(question, 0, made))
        return records


def test_gold_trajectories_find_their_facts(
    taught: list[Record],
) -> None:
    found = [look_up for one in taught for look_up in look_ups(one)]
    assert len(found) >= 16
    for look_up in found:
        assert states(look_up.real, look_up.hop.answer), look_up


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, taught: list[Record]) -> list[EngineOptions]:
    """The model engine replaced by one that writes the true results; the options it was given."""
    given: list[EngineOptions] = []
    truths = {
        look_up.before.continuation: look_up.real for one in taught for look_up in look_ups(one)
    }

    def reply(request: Generate, _: Sampling) -> str:
        before = request.prompt.continuation.removesuffix("\n\n<search_result>\n")
        return written(*truths[before])

    def factory(options: EngineOptions) -> ScriptedEngine:
        given.append(options)
        return ScriptedEngine(reply)

    load = registry.load
    monkeypatch.setattr(
        registry, "load", lambda kind, name: factory if kind == "engines" else load(kind, name)
    )
    return given


def test_the_command_tells_the_train_world_from_the_unseen(
    taught: list[Record], served: list[EngineOptions], tmp_path: Path
) -> None:
    (tmp_path / "records.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(taught))
    out, kept = tmp_path / "table.csv", tmp_path / "kept.jsonl"
    fidelity.fidelity([tmp_path], model="m", adapter="a", observations=kept, out=out)
    assert [(each.model, each.adapter) for each in served] == [("m", "a")]
    lines = out.read_text(encoding="utf-8").splitlines()
    for origin in ("train world", "unseen world"):
        (line,) = (x for x in lines if x.startswith(f"fidelity,{origin}") and ",simulated_" in x)
        assert ",1.0," in line
    rows = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    assert {row["origin"] for row in rows} == {"train world", "unseen world"}
    assert all(row["simulated_fact"] and row["problem"] == "" for row in rows)


def test_a_limit_takes_searches_from_all_over(
    taught: list[Record], served: list[EngineOptions], tmp_path: Path
) -> None:
    file, kept = tmp_path / "records.jsonl", tmp_path / "kept.jsonl"
    file.write_bytes(msgspec.json.Encoder().encode_lines(taught))
    fidelity.fidelity([file], limit=4, observations=kept, out=tmp_path / "t.md")
    rows = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 4
    assert {row["origin"] for row in rows} == {"train world", "unseen world"}


def test_records_without_a_chain_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    bare = record((TOWER,), question=Question("q2", "?", ("Rome",), "toy"))
    file.write_bytes(msgspec.json.encode(bare) + b"\n")
    with pytest.raises(UserError, match="gold chain"):
        fidelity.fidelity([file])


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
        fidelity.fidelity([tmp_path / name])


def test_a_table_of_no_known_format_is_refused_before_anything_is_generated() -> None:
    with pytest.raises(UserError, match="does not say its format"):
        fidelity.fidelity([Path("absent.jsonl")], out=Path("table.txt"))
