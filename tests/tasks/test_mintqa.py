"""MINTQA's files: rows read as questions with sub-questions, and the popular three-hop ones."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.scoring.evidence import trace
from autocoa_bench.tasks import FileTask, resolve, sample
from autocoa_bench.tasks.subquestions import main_question_id
from autocoa_bench.types import Trajectory
from autocoa_bench.util.hub import MIRROR
from tasks.temporal import mintqa

REAL = {"known@all": mintqa.known, "known-sub@all": mintqa.known_sub}


def row(number: int = 1, hops: int = 3, label: Any = "popular", **changed: Any) -> dict[str, Any]:
    """A row with the fields that the dataset's page names."""
    return {
        "question": f"Question {number}?",
        "answer": f"end {number}",
        "type": [label] * hops,
        "num_hops": hops,
        "subquestion": [f"Part {part} of {number}?" for part in range(1, hops + 1)],
        "subanswer": [*(f"step {part}" for part in range(1, hops)), f"end {number}"],
        "triple": [["a", "r", "b"]] * hops,
        "facts": ["a is r of b."] * hops,
    } | changed


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """As its authors publish it: one object a line, in a file that is called .json."""
    path.write_text("\n".join(json.dumps(each) for each in rows), encoding="utf-8")
    return path


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A mirror for the file, with the two real tasks alone registered."""
    names, load = registry.names, registry.load
    monkeypatch.setattr(
        registry, "names", lambda kind: sorted(REAL) if kind == "tasks" else names(kind)
    )
    monkeypatch.setattr(
        registry, "load", lambda kind, name: REAL[name] if kind == "tasks" else load(kind, name)
    )
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(MIRROR, str(tmp_path))
    return tmp_path


def test_a_row_is_a_question_with_its_sub_questions(tmp_path: Path) -> None:
    rows = [row(1), row(2, hops=2, label="unpopular")]
    first, second = FileTask(write(tmp_path / "MINTQA-POP.json", rows)).load()
    assert (first.id, first.text, first.golden_answers) == ("row-1", "Question 1?", ("end 1",))
    assert first.kind == "popular, popular, popular"
    assert [hop.question for hop in first.hops] == [f"Part {n} of 1?" for n in (1, 2, 3)]
    assert [hop.answer for hop in first.hops] == ["step 1", "step 2", "end 1"]
    assert (second.id, second.kind, len(second.hops)) == ("row-2", "unpopular, unpopular", 2)


def test_a_json_array_of_rows_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "pop.json"
    path.write_text(json.dumps([row(1), row(2)]), encoding="utf-8")
    assert [question.id for question in FileTask(path).load()] == ["row-1", "row-2"]


def test_several_answers_and_an_id_of_its_own_are_kept(tmp_path: Path) -> None:
    given = row(id=7, answer=["x", "y"], subanswer=["a", ["b", "bee"], "x"], type="pop")
    (question,) = FileTask(write(tmp_path / "q.jsonl", [given])).load()
    assert (question.id, question.kind) == ("7", "pop")
    assert question.golden_answers == ("x", "y")
    assert [(hop.answer, hop.aliases) for hop in question.hops] == [
        ("a", ()),
        ("b", ("bee",)),
        ("x", ()),
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (row(subquestion="Who?"), "'subquestion' must be a list"),
        (row(subanswer=[]), "'subanswer' must be a list"),
        (row(subanswer=["a"]), "3 sub-questions, but 1 answers"),
        (row(subanswer=["a", "b", None]), "'subanswer' must be a list of texts"),
        (row(answer=None), "'answer' must be a list of texts"),
        (row(question=" "), "'question' must be a text"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "q.jsonl", [row(1), wrong])
    with pytest.raises(UserError, match=rf"q\.jsonl:2: .*{message}"):
        FileTask(path).load()


def test_a_file_that_is_neither_an_array_nor_lines_is_still_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    path.write_text('{\n "question": \n', encoding="utf-8")
    with pytest.raises(UserError, match="not JSON"):
        FileTask(path).load()


def test_hops_without_passages_are_traced_by_the_answers_words(tmp_path: Path) -> None:
    (question,) = FileTask(write(tmp_path / "q.jsonl", [row()])).load()
    found = trace(question, Trajectory("react", (), "", (), "x", "answered"))
    assert found.passages == ()
    assert found.by_answer


def test_known_is_what_is_popular_in_all_of_three_hops(mirror: Path) -> None:
    rows = [
        row(1),
        row(2, hops=2),
        row(3, type=["popular", "unpopular", "popular"]),
        row(4, label="Popular"),
    ]
    write(mirror / "MINTQA-POP.json", rows)
    assert [question.id for question in mintqa.known.load()] == ["row-1", "row-4"]
    subs = mintqa.known_sub.load()
    assert [q.id for q in subs] == [f"row-{n}/sub{part}" for n in (1, 4) for part in (1, 2, 3)]
    assert {q.task for q in subs} == {"known-sub@all"}
    assert (subs[0].text, subs[0].golden_answers, subs[0].hops) == (
        "Part 1 of 1?",
        ("step 1",),
        (),
    )


def test_192_drawn_questions_and_576_drawn_sub_questions_belong_together(mirror: Path) -> None:
    write(mirror / "MINTQA-POP.json", [row(number) for number in range(1, 301)])
    main, sub = resolve("known@192:seed=3,known-sub@576:seed=3")
    drawn = {question.id for question in main.load()}
    assert len(drawn) == 192
    assert {main_question_id(question.id) for question in sub.load()} == drawn
    assert len(sample(sub.load(), 30, seed=0)) == 30


def test_other_labels_are_told(mirror: Path) -> None:
    write(mirror / "MINTQA-POP.json", [row(1, label="head"), row(2, hops=2)])
    with pytest.raises(UserError, match="labels of those with 3 hops: head, head, head"):
        mintqa.known.load()


def test_without_the_file_it_says_where_it_belongs(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"the mirror has no MINTQA-POP\.json"):
        mintqa.known.load()
    monkeypatch.delenv(MIRROR)
    with pytest.raises(UserError, match=f"name that folder in {MIRROR}"):
        mintqa.known.load()
    with pytest.raises(UserError, match="no train split"):
        mintqa.known_sub.load("train")


def test_the_temporal_set_is_registered_under_its_names() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    entries = project["project"]["entry-points"]
    places = {
        name: place
        for name, place in entries["autocoa_bench.tasks"].items()
        if place.startswith("tasks.temporal")
    }
    assert set(places) == {"recent", "recent-sub", "known", "known-sub", *REAL}
    assert {name for name in entries["autocoa_bench.corpora"] if "temporal" in name} == {
        "embedded-temporal",
        "embedded-temporal-train",
    }
