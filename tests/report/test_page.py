"""The page as a file, before a browser opens it."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import replace

from autocoa_bench.report import Catalogue, build, default_tables
from autocoa_bench.report.model import Cell, Column, Row, Section, Table
from autocoa_bench.report.page import data, page
from autocoa_bench.report.page.tables import table_html
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.types import Budget, Hop, Passage

Make = Callable[..., Run]

HOPS = (Hop("?", "Ann", "p1"), Hop("?", "Oslo", "p2"))
ONE = Passage("p1", "Dawn", "Made by Ann.", 2.0)
TWO = Passage("p2", "Ann", "Born in Oslo.", 1.0)
OTHER = Passage("p9", "Noon", "")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> <!-- ]]>"


class Elements(HTMLParser):
    """The elements of a page: their names with attributes, and the contents of scripts by id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self._script = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self._script = attributes.get("id") or "code" if tag == "script" else ""

    def handle_endtag(self, tag: str) -> None:
        self._script = ""

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = data

    def content(self, name: str) -> Any:
        """The data packed in a script."""
        return json.loads(zlib.decompress(b64decode(self.scripts[name])))


def page_of(runs: Sequence[Run]) -> str:
    known = Catalogue()
    return page(build(runs, catalogue=known, allow_differences=True), runs, known)


@pytest.fixture
def agent(make_run: Make) -> Run:
    """Five questions of a chain of two: right, read wrongly, not found, searched once, a fault."""
    run = make_run({"t": [(2, 1.0), (2, 0.0), (2, 0.0), (1, 0.0), "timeout"]}, "agent")
    shown = [(ONE, TWO), (ONE, TWO), (ONE, OTHER), (ONE,)]
    records = list(run.records)
    for at, passages in enumerate(shown):
        record = records[at]
        assert record.trajectory is not None
        *searches, answer = record.trajectory.steps
        steps = (replace(s, passages=(p,)) for s, p in zip(searches, passages, strict=True))
        records[at] = replace(
            record,
            question=replace(record.question, golden_answers=("Oslo",), hops=HOPS),
            trajectory=replace(record.trajectory, steps=(*steps, answer)),
        )
    return replace(run, records=tuple(records))


def test_texts_of_runs_cannot_become_markup(make_run: Make) -> None:
    run = make_run({HOSTILE: [(1, 1.0), HOSTILE]}, HOSTILE, HOSTILE)
    record = run.records[0]
    assert record.trajectory is not None
    steps = tuple(replace(step, text=HOSTILE) for step in record.trajectory.steps)
    trajectory = replace(record.trajectory, steps=steps, answer=HOSTILE)
    run = replace(run, records=(replace(record, trajectory=trajectory), *run.records[1:]))
    html = page_of([run])
    elements = Elements(html).elements
    assert [attributes.get("id") for name, attributes in elements if name == "script"] == [
        "index",
        "piece-0",
        None,
    ]
    assert "img" not in {name for name, _ in elements}
    assert Elements(html).content("piece-0")["trajectories"][0]["steps"][0]["text"] == HOSTILE


def test_the_page_loads_nothing(three_runs: list[Run]) -> None:
    elements = Elements(page_of(three_runs))
    (policy,) = (
        attributes["content"]
        for name, attributes in elements.elements
        if name == "meta" and "http-equiv" in attributes
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for _, attributes in elements.elements:
        assert not {"src", "srcset", "style", "onclick"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")


def test_the_servers_address_and_key_are_not_on_the_page(agent: Run) -> None:
    session = replace(agent.info.sessions[0], base_url="http://me:sk-hidden@host.example/v1")
    run = replace(agent, info=replace(agent.info, sessions=(session,)))
    html = page_of([run])
    packed = Elements(html)
    text = html + str(packed.content("index")) + str(packed.content("piece-0"))
    assert "sk-hidden" not in text
    assert "host.example" not in text


def test_tables_and_captions_are_the_reports(make_run: Make) -> None:
    runs = [make_run({"t": [(1, 1.0)]}, seed=seed, folder=f"run{seed}") for seed in (0, 1)]
    known = Catalogue()
    report = build(runs, catalogue=known, allow_differences=True)
    html = page(report, runs, known)
    text = re.sub(r"<[^>]+>", "", html.split("<main", 2)[1])
    for table in report.tables:
        assert table.title in text
        for note in table.notes:
            assert escape(note) in text
    assert "runs differ in seed: 0 [agent (seed 0)]; 1 [agent (seed 1)]" in text


def test_every_record_stands_in_its_piece(
    three_runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "PIECE_BYTES", 20_000)
    elements = Elements(page_of(three_runs))
    index = elements.content("index")
    pieces = [elements.content(name) for name in elements.scripts if name.startswith("piece-")]
    assert len(pieces) > 10
    texts = {}
    for start, piece in zip(index["starts"], pieces, strict=True):
        for offset, view in enumerate(piece["trajectories"]):
            line = index["lines"][start + offset]
            question = index["questions"][line["question"]]
            key = (question["task"], question["id"], line["sample"])
            texts[index["runs"][line["run"]]["name"], key] = [s["text"] for s in view["steps"]]
    assert texts == {
        (run.info.spec.solver, record.key): [step.text for step in record.trajectory.steps]
        for run in three_runs
        for record in run.records
        if record.trajectory is not None
    }


def test_the_trajectories_of_a_question_stand_together(three_runs: list[Run]) -> None:
    lines = Elements(page_of(three_runs)).content("index")["lines"]
    questions = [line["question"] for line in lines]
    assert questions == sorted(questions)
    assert [line["run"] for line in lines[:6]] == [0, 1, 2, 0, 1, 2]


def test_a_passage_is_held_once_however_often_it_was_shown(agent: Run) -> None:
    passages = Elements(page_of([agent])).content("piece-0")["passages"]
    assert [passage["id"] for passage in passages] == ["p1", "p2", "p9"]


def test_evidence_is_marked_where_it_was_shown(agent: Run) -> None:
    views = Elements(page_of([agent])).content("piece-0")["trajectories"]
    marks = [[step["passages"][0] for step in view["steps"][:-1]] for view in views[:3]]
    gold = "gold passage"
    assert marks == [
        [[0, 2.0, gold], [1, 1.0, gold]],
        [[0, 2.0, gold], [1, 1.0, gold]],
        [[0, 2.0, gold], [2, None, None]],
    ]
    assert views[2]["evidence"] == [["p1", 1], ["p2", None]]


def test_the_readers_causes_are_those_of_the_table(agent: Run) -> None:
    lines = Elements(page_of([agent])).content("index")["lines"]
    assert [line["outcome"] for line in lines] == ["correct", "wrong", "wrong", "wrong", "fault"]
    counted = Counter(line["cause"] for line in lines if "cause" in line)
    (table,) = build([agent], tables=["evidence"], catalogue=Catalogue()).tables
    assert counted == {
        fact.metric.removeprefix("em:wrong:").replace("_", " "): fact.total
        for fact in table.data_points
        if ":wrong:" in fact.metric and fact.total
    }


@pytest.mark.parametrize("why", ["no search engine", "a budget without searches"])
def test_a_solver_that_cannot_search_has_no_cause_and_no_evidence(make_run: Make, why: str) -> None:
    run = make_run({"t": [(0, 0.0), (0, 1.0)]}, "model-only")
    if why == "no search engine":
        spec = replace(run.info.spec, search=None)
    else:
        spec = replace(run.info.spec, budget=Budget(max_actions=0))
    run = replace(run, info=replace(run.info, spec=spec))
    page = Elements(page_of([run]))
    assert all("cause" not in line for line in page.content("index")["lines"])
    assert all("evidence" not in view for view in page.content("piece-0")["trajectories"])
    (table,) = build([run], tables=["evidence"], catalogue=Catalogue()).tables
    assert table.sections == ()


def test_a_report_has_the_tables_that_fit_its_runs(make_run: Make) -> None:
    plain = make_run({"t": [(1, 1.0)]})
    (record,) = plain.records
    of_a_kind = replace(record, question=replace(record.question, kind="known"))
    assert default_tables([plain]) == ("leaderboard", "actions", "evidence", "cost", "faults")
    assert default_tables([plain, replace(plain, records=(of_a_kind,))])[5:] == ("acting",)
    assert default_tables([make_run({"known-sub": [(1, 1.0)]})])[5:] == ("temporal",)


def test_a_part_of_a_plot_leads_to_its_trajectories(agent: Run) -> None:
    links = [
        attributes["href"]
        for name, attributes in Elements(page_of([agent])).elements
        if name == "a" and "aria-label" in attributes
    ]
    assert links == [
        f"#trajectories?run=agent&outcome=wrong&cause={cause}"
        for cause in ("under-search", "retrieval%20miss", "reading%20miss")
    ]


def test_figure_3_is_drawn_for_the_runs_that_have_correct_answers(three_runs: list[Run]) -> None:
    html = page_of(three_runs)
    assert "Figure 3a" in html
    assert "Figure 3b" in html
    (table,) = build(three_runs, tables=["actions"], catalogue=Catalogue()).tables
    tooltips = [
        f"{fact.run}, {fact.actions}: {100 * fact.mean:.0f} %, n = {fact.n:,}"
        for fact in table.data_points
        if fact.metric == "em:share_of_correct" and fact.mean is not None
    ]
    assert len(tooltips) > 10
    for tooltip in tooltips:
        assert tooltip in html


def test_plots_take_the_pages_colours_and_font(three_runs: list[Run]) -> None:
    drawings = re.findall('<svg[^>]* class="chart".*?</svg>', page_of(three_runs), re.DOTALL)
    assert len(drawings) == 10
    for drawing in drawings:
        assert set(re.findall('(?:fill|stroke)="([^"]*)"', drawing)) - {"none"} <= {
            *(f"var(--{name})" for name in ("ink", "quiet", "rule", "paper", *range(6))),
            *(f"url(#{id_})" for id_ in re.findall(' id="([^"]*)"', drawing)),
        }
        assert "style=" not in drawing
        assert "font-family" not in drawing


def test_ids_are_unique(three_runs: list[Run]) -> None:
    ids = Counter(
        attributes["id"]
        for _, attributes in Elements(page_of(three_runs)).elements
        if "id" in attributes
    )
    assert set(ids.values()) == {1}


def test_the_same_report_gives_the_same_page(three_runs: list[Run]) -> None:
    assert page_of(three_runs) == page_of(three_runs)


def test_the_temporal_sets_have_plots(make_run: Make) -> None:
    run = make_run({"recent": [(1, 1.0)] * 2, "recent-sub": [(1, 1.0)] * 4})
    known = Catalogue()
    html = page(build([run], tables=["temporal"], catalogue=known), [run], known)
    assert re.findall("<figcaption>(.*?)</", html) == [
        "recent, EM %",
        "recent-sub, EM %",
        "recent, compositionality gap %",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("61.2†", "61.2"),
        ("-3.0", "-3"),
        ("1,024", "1024"),
        ("1.50 M", "1.5e+06"),
        ("–", None),
        ("none", None),
    ],
)
def test_a_cell_carries_the_number_that_it_is_sorted_by(text: str, value: str | None) -> None:
    rows = (Row(Cell("agent"), (Cell(text),)),)
    table = Table("t", "T", "Method", (Column(("EM",)),), (Section("", rows),))
    (cell,) = (a for name, a in Elements(table_html(table)).elements if name == "td")
    assert cell.get("data-value") == value


def test_only_tables_with_a_row_a_method_can_be_sorted(three_runs: list[Run]) -> None:
    elements = Elements(page_of(three_runs)).elements
    sections = [attributes.get("id") for name, attributes in elements if name == "section"]
    tables = ["data-sortable" in attributes for name, attributes in elements if name == "table"]
    assert dict(zip(sections[:-1], tables, strict=True)) == {
        "leaderboard": True,
        "actions": False,
        "evidence": False,
        "cost": True,
        "faults": False,
    }
