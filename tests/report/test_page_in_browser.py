"""The page in a real browser: opened from disk, sorted, filtered, read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from autocoa_bench.report import Catalogue, build
from autocoa_bench.report.page import data, page
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.types import Hop, Passage, Record
from support.browser import Browser, browser, chromium

Make = Callable[..., Run]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        chromium() is None,
        reason="needs Chromium on the PATH (Debian: apt-get install chromium-headless-shell), or "
        "in AUTOCOA_BENCH_CHROMIUM",
    ),
]

HOSTILE = "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
GOLD = Passage("p1", "Dawn", "Dawn was shot in Oslo.", 2.0)
OTHER = Passage("p9", "Noon", HOSTILE, 1.0)


def with_evidence(record: Record) -> Record:
    """The record with a question of its own, hostile thoughts and a gold passage."""
    question = replace(
        record.question,
        text=f"Which town is number {record.question.id} of {record.question.task}?",
        golden_answers=("Oslo",),
        hops=(Hop("Which town?", "Oslo", "p1"),),
    )
    if record.trajectory is None:
        return replace(record, question=question)
    steps = tuple(
        replace(step, text=f"<think> {HOSTILE} </think>", passages=(OTHER, GOLD))
        if step.kind == "search"
        else step
        for step in record.trajectory.steps
    )
    return replace(record, question=question, trajectory=replace(record.trajectory, steps=steps))


@pytest.fixture
def html(make_run: Make, known: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of three runs of 120 questions each, in many pieces; one record is a fault."""
    monkeypatch.setattr(data, "PIECE_BYTES", 20_000)
    runs = []
    for solver, right, searches in (("model-only", 3, 0), ("react", 5, 1), ("agent", 2, 2)):
        scores = [float(number % right == 0) for number in range(60)]
        outcomes = {
            "nq": [(searches, score) for score in scores],
            "musique": [*((searches, score) for score in scores[:-1]), "timeout"],
        }
        run = make_run(outcomes, solver, folder=solver)
        runs.append(replace(run, records=tuple(map(with_evidence, run.records))))
    file = tmp_path / "page.html"
    report = build(runs, catalogue=known, allow_differences=True)
    file.write_text(page(report, runs, known), encoding="utf-8")
    return file


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path) as tab:
        yield tab


METHODS = "[...document.querySelectorAll('#leaderboard tbody .label .text')].map(e => e.innerText)"
LISTED = "document.querySelector('.count').textContent"
READ = "document.querySelector('.trajectory').innerText"


def choose(tab: Browser, **filters: str) -> None:
    """Fill fields of the form as a person would."""
    for name, value in filters.items():
        tab.run(
            f"(field => {{ field.value = '{value}'; "
            "field.dispatchEvent(new Event('input', { bubbles: true })); })"
            f"(document.querySelector('.filters [name={name}]'))"
        )


def test_the_page_is_opened_sorted_filtered_and_read(tab: Browser, html: Path) -> None:
    tab.look(1280, 900)
    tab.open(html.as_uri())
    tab.until(f"{LISTED}.startsWith('360 of 360')")

    assert tab.run(METHODS) == ["model-only", "react", "agent"]
    sort = (
        "[...document.querySelectorAll('#leaderboard thead button')].find(e => e.innerText == 'EM')"
    )
    tab.run(f"{sort}.click()")
    assert tab.run(METHODS) == ["agent", "model-only", "react"]
    tab.run(f"{sort}.click()")
    assert tab.run(METHODS) == ["react", "model-only", "agent"]
    tab.run(f"{sort}.click()")
    assert tab.run(METHODS) == ["model-only", "react", "agent"]

    tab.run("document.querySelector('.reader-link').click()")
    tab.until("!document.querySelector('#reader').hidden")
    choose(tab, run="agent", outcome="wrong", actions="2", task="musique")
    tab.until(f"{LISTED} === '29 of 360 records'")
    assert (
        tab.run("location.hash") == "#trajectories?run=agent&task=musique&outcome=wrong&actions=2"
    )
    choose(tab, words="number q7 ")
    tab.until(f"{LISTED} === '1 of 360 records'")
    choose(tab, run="", outcome="", actions="", task="", words="Shot in Oslo")
    tab.until(f"{LISTED} === '0 of 360 records'")
    tab.run("document.querySelector('[name=deep]').click()")
    tab.until(f"{LISTED} === '238 of 360 records'")

    tab.run("document.querySelector('.list a').click()")
    tab.until(f"{READ}.includes('Search 1')")
    assert HOSTILE in tab.run("document.querySelector('.sampled').textContent")
    gold = "document.querySelector('.passage.gold')"
    assert tab.run(f"{gold}.querySelector('.why').textContent") == "gold passage"
    assert tab.run(f"{gold}.querySelector('mark').textContent") == "Oslo"
    assert tab.run("document.querySelectorAll('.trajectory img, .trajectory script').length") == 0
    assert "taken" not in tab.run("document.title")

    assert tab.errors == []
    assert {address.partition("#")[0] for address in tab.addresses} <= {
        html.as_uri(),
        "about:blank",
    }


def test_a_link_leads_to_one_trajectory_on_a_phone_in_the_dark(tab: Browser, html: Path) -> None:
    tab.look(390, 844, dark=True)
    tab.open(f"{html.as_uri()}#agent/musique/q3/0")
    tab.until(f"{READ}.includes('number q3 of musique')")
    assert "wrong" in tab.run(READ)
    assert tab.run("document.querySelector('.sidebar').offsetHeight") == 0
    assert tab.run("document.documentElement.scrollWidth") <= 390
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)"

    tab.run("document.querySelector('.others a').click()")
    tab.until("location.hash === '#model-only/musique/q3/0'")
    tab.until(f"{READ}.includes('model-only')")
    tab.run("location.hash = '#agent/musique/q59/0'")
    tab.until(f"{READ}.includes('timeout')")
    tab.run("location.hash = '#agent/musique/nowhere/0'")
    tab.until(f"{READ}.includes('no such trajectory')")
    tab.run("location.hash = '#actions'")
    tab.until("!document.querySelector('#report').hidden")
    assert tab.run("document.documentElement.scrollWidth") <= 390
    assert tab.errors == []
