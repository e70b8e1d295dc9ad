"""The forms of published checkpoints: tags, results and prompts as their sources have them."""

from pathlib import Path

import pytest

from agent_model.dialects import Agent, R1Searcher, ReSearch, SearchR1, TagDialect
from agent_model.dialects.presets import presets
from autocoa_bench.episode import opening_of
from autocoa_bench.errors import UserError
from autocoa_bench.types import Generate, Passage, Question
from support.play import PASSAGES, QUESTION, play

SOLVERS: dict[str, type[TagDialect]] = {
    solver.name: solver for solver in (Agent, R1Searcher, ReSearch, SearchR1)
}
EVERY = [(solver, name) for solver in SOLVERS for name in presets(solver)]

# The environment's text after a search, by the released code or in released trajectories.
SOURCES = {
    ("search-r1", "v0.3"): (
        '\n\n<information>Doc 1(Title: "The Tower") Anna built the tower.\n'
        'Doc 2(Title: "The Mill") Bert built the mill.</information>\n\n'
    ),
    ("search-r1", "zerosearch"): (
        "\n\n<information>Doc 1: The Tower Anna built the tower.\n"
        "Doc 2: The Mill Bert built the mill.</information>\n\n"
    ),
    ("search-r1", "stepsearch"): (
        "\n\n<information> Doc 1<## Title: The Tower ##> Anna built the tower.\n"
        "Doc 2<## Title: The Mill ##> Bert built the mill. </information>\n\n"
    ),
    ("r1-searcher", "base"): (
        "\n\n<|begin_of_documents|>\n(1)The Tower Anna built the tower.\n"
        "(2)The Mill Bert built the mill.\n<|end_of_documents|>\n\n"
    ),
    ("research", "instruct"): (
        ' <result>\n"The Tower"\nAnna built the tower.\n\n'
        '"The Mill"\nBert built the mill.\n</result>'
    ),
    ("agent", "autocoa"): (
        '\n\n<search_result> result 1: "The Tower"\nAnna built the tower.\n'
        'result 2: "The Mill"\nBert built the mill. </search_result>\n\n\n\n'
    ),
}


@pytest.mark.parametrize(("solver", "name"), SOURCES)
def test_results_are_shown_as_the_source_shows_them(solver: str, name: str) -> None:
    assert SOLVERS[solver](preset=name).show(PASSAGES) == SOURCES[solver, name]


@pytest.mark.parametrize(("solver", "name"), EVERY)
def test_a_prompt_names_the_tags_and_holds_the_question_once(solver: str, name: str) -> None:
    dialect = SOLVERS[solver](preset=name)
    messages = opening_of(dialect, QUESTION)
    text = "\n".join(message.content for message in messages)
    for tag in (*dialect.query_tags, *dialect.result_tags, "<think>", "</think>"):
        assert tag in text
    assert text.count(QUESTION.text) == 1
    assert "{question}" not in text
    assert "\\boxed{" in text or "<answer>" in text


@pytest.mark.parametrize(("solver", "name"), EVERY)
def test_the_instruction_stands_where_the_source_puts_it(solver: str, name: str) -> None:
    messages = opening_of(SOLVERS[solver](preset=name), QUESTION)
    roles = ["system", "user"] if name == "instruct" else ["user"]
    assert [message.role for message in messages] == roles
    if name == "instruct":
        assert messages[-1].content == QUESTION.text


@pytest.mark.parametrize(
    ("solver", "name", "end"),
    [
        ("search-r1", "v0.2", f"Question: {QUESTION.text}\n"),
        ("search-r1", "stepsearch", f"Question:{QUESTION.text}\n"),
        ("r1-searcher", "base", f"\n\nUser:{QUESTION.text}\nAssistant:"),
        ("research", "base", f"User: {QUESTION.text}. Assistant:"),
        (
            "agent",
            "autocoa",
            f"Now, please answer the user's question below: \n{QUESTION.text}\n\n",
        ),
    ],
)
def test_a_prompt_ends_as_the_source_ends(solver: str, name: str, end: str) -> None:
    assert opening_of(SOLVERS[solver](preset=name), QUESTION)[-1].content.endswith(end)


@pytest.mark.parametrize(("solver", "name"), EVERY)
def test_an_episode_searches_and_answers_in_the_form(solver: str, name: str) -> None:
    dialect = SOLVERS[solver](preset=name)
    search = f"Hm. </think>{dialect.query_tags[0]} tower {dialect.query_tags[1]}"
    if solver in ("agent", "r1-searcher"):
        search = search.replace("</think>", "")
    answer = "So. </think> <answer> The final answer is \\[ \\boxed{Anna} \\] </answer>"
    trajectory, events = play(dialect, [search, answer])
    assert (trajectory.answer, trajectory.ending) == ("Anna", "answered")
    assert isinstance(events[-1], Generate)
    assert events[-1].prompt.continuation == dialect.prefill + search + dialect.show(PASSAGES)
    forced, _ = play(dialect, ["", "", "Anna"])
    assert (forced.answer, forced.ending) == ("Anna", "forced-malformed")


def test_a_prompt_file_replaces_the_wording_of_a_preset_and_keeps_its_form(tmp_path: Path) -> None:
    (tmp_path / "user.txt").write_text("Say it. {question}")
    (tmp_path / "system.txt").write_text("Say it.")
    dialect = SearchR1(prompt=str(tmp_path / "user.txt"), preset="stepsearch")
    assert opening_of(dialect, QUESTION)[0].content == f"Say it. {QUESTION.text}"
    assert dialect.show(PASSAGES) == SOURCES["search-r1", "stepsearch"]
    system, user = opening_of(
        R1Searcher(prompt=str(tmp_path / "system.txt"), preset="instruct"), QUESTION
    )
    assert (system.content, user.content) == ("Say it.", QUESTION.text)
    with pytest.raises(UserError, match=r"does not contain \{question\}"):
        R1Searcher(prompt=str(tmp_path / "system.txt"), preset="base")


def test_braces_in_a_passage_or_a_question_are_text() -> None:
    passages = [Passage("1", "{title} {0}", "{text} {results}")]
    shown = SearchR1(preset="v0.3").show(passages)
    assert (
        shown == '\n\n<information>Doc 1(Title: "{title} {0}") {text} {results}</information>\n\n'
    )
    question = Question("q", "What is {question}?", ())
    assert "What is {question}?" in opening_of(SearchR1(preset="v0.3"), question)[0].content


def test_an_unknown_preset_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"preset of solver 'search-r1' 'v0.4'; did you mean 'v0"):
        SearchR1(preset="v0.4")
