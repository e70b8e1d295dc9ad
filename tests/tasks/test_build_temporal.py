"""A temporal set out of dated reports: what a scripted model writes, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autocoa_bench.tasks import resolve
from autocoa_bench.util import http_client
from support.commands import Cli, Done, caller, refused
from support.mock_server import Body, MockServer
from tasks.temporal.chains import HOPS, NewsReport, ReportedFact, chains_of, facts_in, question_in

BERG = ("Anna Berg", "Which club did Anna Berg join?", "Northtown Rovers")
ROVERS = ("Northtown Rovers", "Where do Northtown Rovers play?", "Hill Stadium")
HILL = ("Hill Stadium", "In which year did Hill Stadium open?", "1921")
REPORTS = [
    ("Transfer", "Anna Berg has joined Northtown Rovers.", BERG),
    ("Derby", "Northtown Rovers won at Hill Stadium.", ROVERS),
    ("Ground", "Hill Stadium opened in 1921.", HILL),
]
QUESTION = "In which year did the ground of the club that Anna Berg joined open?"
CHAIN = tuple(ReportedFact("r", *each) for each in (BERG, ROVERS, HILL))


def line(subject: str, question: str, answer: str) -> str:
    return json.dumps({"subject": subject, "question": question, "answer": answer})


class Model:
    """Writes each report's fact, knows what reports say, and nothing without them."""

    def __init__(self) -> None:
        self.written = {title: line(*fact) for title, _, fact in REPORTS}
        self.from_report = {fact[1]: fact[2] for *_, fact in REPORTS}
        self.from_memory: dict[str, str] = {}
        self.question = QUESTION

    def __call__(self, body: Body) -> str:
        prompt = body["messages"][-1]["content"]
        title = next((each for each in self.written if f'"title": "{each}"' in prompt), "")
        if "Write down up to" in prompt:
            return self.written[title]
        if "Each of these questions" in prompt:
            return self.question
        asked = prompt.partition("Question: ")[2].partition("\n")[0]
        return (self.from_report if title else self.from_memory).get(asked, "unknown")


Build = Callable[..., Done]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(http_client, "BACKOFF_BASE", 0.0)
    rows = [{"title": title, "text": text, "date": "2026-03-01"} for title, text, _ in REPORTS]
    Path("reports.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["tasks", "build-temporal", "reports.jsonl", "--out", "season", "--model", "mock"]
    return caller(monkeypatch, capsys, *words)


@pytest.fixture
def build(cli: Cli) -> Build:
    def run(model: Model, *options: str, **server: Any) -> Done:
        with MockServer(model, **server) as there:
            return cli("--base-url", there.url, *options)

    return run


def rejected() -> list[tuple[str, str]]:
    rows = map(json.loads, Path("season/rejected.jsonl").read_text().splitlines())
    return [(row["stage"], row["reason"]) for row in rows]


def test_reports_become_a_question_its_sub_questions_and_a_corpus(build: Build) -> None:
    done = build(Model())
    assert done.code == 0, done.err
    [task] = resolve("season/season.jsonl")
    [question] = task.load("test")
    assert (question.text, question.golden_answers) == (QUESTION, ("1921",))
    assert [hop.answer for hop in question.hops] == ["Northtown Rovers", "Hill Stadium", "1921"]
    [subs] = resolve("season/season-sub.jsonl")
    assert [each.text for each in subs.load("test")] == [BERG[1], ROVERS[1], HILL[1]]
    corpus = [json.loads(row) for row in Path("season/corpus.jsonl").read_text().splitlines()]
    assert [hop.passage_id for hop in question.hops] == [row["id"] for row in corpus]
    assert corpus[0]["contents"] == '"Transfer"\n2026-03-01. Anna Berg has joined Northtown Rovers.'
    assert rejected() == []


def test_a_hop_that_needs_no_report_is_rejected(build: Build) -> None:
    model = Model()
    model.from_memory[HILL[1]] = "It opened in 1921."
    done = build(model)
    refused(done, "no question was made")
    assert "hop rejected: answered without any report" in done.out


def test_a_hop_that_its_report_does_not_answer_is_rejected(build: Build) -> None:
    model = Model()
    model.from_report[ROVERS[1]] = "unknown"
    assert "hop rejected: not answered from its report" in build(model).out


def test_a_question_that_gives_an_answer_away_is_rejected(build: Build) -> None:
    model = Model()
    model.question = "In which year did Hill Stadium, where Anna Berg plays, open?"
    assert "question rejected: an answer of the chain is in it" in build(model).out


def test_a_question_that_needs_no_report_is_rejected(build: Build) -> None:
    model = Model()
    model.from_memory[QUESTION] = "1921"
    assert "question rejected: answered without any report" in build(model).out


def test_a_stopped_build_asks_only_what_it_has_not_asked(build: Build) -> None:
    model = Model()
    asked: list[int] = []

    def count(number: int) -> None:
        asked.append(number)

    build(model, fault=lambda number: "500" if number >= 5 else None)
    kept = len(Path("season/replies.jsonl").read_text().splitlines())
    done = build(model, fault=count)
    assert done.code == 0, done.err
    # Three reports, two answers to each of three facts, a question and one answer to it.
    assert kept == 5
    assert len(asked) == 3 + 6 + 2 - kept


@pytest.mark.parametrize(
    ("row", "said"),
    [({"title": "x"}, "reports.jsonl:1: a report needs a title and a text"), (None, "has no rows")],
)
def test_bad_reports_are_named(cli: Cli, row: dict[str, str] | None, said: str) -> None:
    Path("reports.jsonl").write_text(json.dumps(row) + "\n" if row else "")
    refused(cli("--base-url", "http://127.0.0.1:9"), said)


REPORT = NewsReport("r", "Derby", "Northtown Rovers won 3-1 at Hill Stadium on 1 March 2026.")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (line(*ROVERS), ""),
        ('{"subject": "Northtown Rovers"}', "not one line of JSON"),
        (line("Northtown Rovers", "Where do they play?", "Hill Stadium"), "subject is not in"),
        (line("Northtown Rovers", "Where do Northtown Rovers play?", "Hill"), ""),
        (line("Northtown Rovers", "Where do Northtown Rovers play?", "Hills"), "no span"),
        (line("Northtown Rovers", "Did Northtown Rovers win at Hill?", "Hill"), "in its question"),
        (
            line("Northtown Rovers", "Northtown Rovers?", "won 3-1 at Hill Stadium on 1"),
            "more than",
        ),
        (line("the", "the?", "the"), "without words"),
    ],
)
def test_a_fact_is_a_span_of_its_report_asked_of_a_named_subject(written: str, reason: str) -> None:
    [(fact, why, text)] = facts_in(f"Here they are:\n{written}\n", REPORT)
    assert (fact is None) == bool(reason)
    assert reason in why
    assert text == written


def test_chains_follow_answers_to_subjects_and_meet_nothing_twice() -> None:
    back = ReportedFact("r", "Hill Stadium", "Who plays at Hill Stadium?", "the Northtown Rovers")
    [chain] = chains_of([*CHAIN, back], 10, seed=0)
    assert chain == CHAIN
    assert len(chain) == HOPS


def test_a_chain_shares_at_most_one_fact_with_those_before_it() -> None:
    joined = [
        ReportedFact("r", name, f"Which club did {name} join?", BERG[2]) for name in ("Bo", "Cy")
    ]
    owner = ReportedFact("r", HILL[0], "Who owns Hill Stadium?", "Dee")
    assert len(chains_of([*CHAIN, *joined], 10, seed=0)) == 1
    assert len(chains_of([*CHAIN, *joined, owner], 10, seed=0)) == 2
    assert len(chains_of([*CHAIN, *joined, owner], 1, seed=0)) == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (f"<think>hm</think>\n{QUESTION}", ""),
        (f"{QUESTION}\nI hope this helps.", "not one line"),
        ("When did the ground of her club open?", "the first subject is not in it"),
        ("When did the ground of Northtown Rovers and Anna Berg open?", "an answer of the chain"),
    ],
)
def test_a_composed_question_names_the_first_subject_alone(reply: str, reason: str) -> None:
    assert reason in question_in(reply, CHAIN)[1]
    assert bool(question_in(reply, CHAIN)[1]) == bool(reason)
