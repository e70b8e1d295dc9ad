"""Questions composed from the passages of a corpus."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from agent_model.data.gold_teacher import gold_episodes
from autocoa_bench import tasks
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.types import Passage, Question, Trajectory
from tasks.closed_world.encyclopedia import Encyclopedia
from tasks.composed.build import build
from tasks.composed.command import app
from tasks.composed.exclusion import Exclusion
from tasks.composed.facts import encyclopedia_of

PAGES = {
    "Dawn (1962 film)": "Dawn is a 1962 Norwegian drama film directed by Ann Lee and starring Kari "
    "Moe.",
    "Ann Lee": "Ann Lee (born 3 May 1921 in Oslo, died June 4, 1990) was a Norwegian film director "
    "and writer. She was the daughter of Per Lee. She graduated from Bergen University.",
    "Per Lee": "Per Lee( 1 July 1888 – 1950) was a Norwegian judge, the son of Ola Lee and his "
    "wife Eli Dahl. He was married to Ida Moe.",
    "Dusk": "Dusk is a 1950 Swedish film written and directed by Bo Dahl.",
    "Bo Dahl": "Bo Dahl (born 1930) was a Swedish film director, best known for his comedies.",
    "Night Song": "Night Song is a song by Swedish singer Bo Ek, released in March 1971.",
    "Bo Ek": "Bo Ek (12 May 1950 - 3 June 2001) was a Swedish singer from Lund.",
    "Oslo": "Oslo is the largest city in Norway.",
    "Lund": "Lund is a city in the south of Sweden.",
    "Noon": "Noon is the middle of the day.",
    "Ann Lee - Works": "Ann Lee directed Dawn. She was born in Paris.",
}


def corpus(pages: dict[str, str] = PAGES) -> list[Passage]:
    return [Passage(str(at), title, text) for at, (title, text) in enumerate(pages.items())]


def stated(book: Encyclopedia, name: str) -> dict[str, str]:
    return {
        one.section.partition(".")[2]: one.surface
        for one in book.statements
        if book.world[one.about].title == name
    }


@pytest.fixture
def book() -> Encyclopedia:
    return encyclopedia_of(corpus(), lambda name: False)


@pytest.mark.parametrize(
    ("title", "facts"),
    [
        (
            "Dawn (1962 film)",
            {"director": "Ann Lee", "released": "1962", "nationality": "Norwegian"},
        ),
        (
            "Ann Lee",
            {
                "born": "3 May 1921",
                "died": "June 4, 1990",
                "nationality": "Norwegian",
                "profession": "film director",
                "birthplace": "Oslo",
                "father": "Per Lee",
                "alma_mater": "Bergen University",
            },
        ),
        (
            "Per Lee",
            {
                "born": "1 July 1888",
                "died": "1950",
                "nationality": "Norwegian",
                "profession": "judge",
                "father": "Ola Lee",
                "mother": "Eli Dahl",
                "spouse": "Ida Moe",
            },
        ),
        ("Night Song", {"performer": "Bo Ek", "released": "1971"}),
        ("Oslo", {"country": "Norway"}),
        ("Noon", {}),
        ("Ann Lee - Works", {}),
    ],
)
def test_facts_are_read_out_of_first_sentences(
    book: Encyclopedia, title: str, facts: dict[str, str]
) -> None:
    assert stated(book, title) == facts


def test_values_that_name_one_entity_lead_to_it(book: Encyclopedia) -> None:
    targets = {one.surface: one.target for one in book.statements if one.target}
    titles = {name: book.world[target].title for name, target in targets.items()}
    assert titles == {name: name for name in ("Ann Lee", "Per Lee", "Bo Dahl", "Bo Ek", "Oslo")}


def test_a_name_that_two_have_leads_to_neither() -> None:
    twice = {**PAGES, "Ann Lee (judge)": "Ann Lee (born 1930) was a Danish judge."}
    book = encyclopedia_of(corpus(twice), lambda name: False)
    assert not [one for one in book.statements if one.surface == "Ann Lee" and one.target]


def test_a_maker_leads_to_no_namesake_of_another_calling() -> None:
    changed = {**PAGES, "Bo Dahl": "Bo Dahl (born 1930) was a Swedish runner."}
    book = encyclopedia_of(corpus(changed), lambda name: False)
    assert not [one for one in book.statements if one.surface == "Bo Dahl" and one.target]


def test_with_an_excluded_entity_all_that_it_names_is_left_out() -> None:
    book = encyclopedia_of(corpus(), lambda name: name == "Dawn")
    titles = {entity.title for entity in book.world.values()}
    assert "Dawn (1962 film)" not in titles
    assert "Ann Lee" not in titles
    assert "Dusk" in titles


def write_corpus(folder: Path, pages: Iterable[Passage]) -> Path:
    file = folder / "corpus.jsonl"
    rows = [{"id": one.id, "contents": f'"{one.title}"\n{one.text}'} for one in pages]
    file.write_bytes(msgspec.json.Encoder().encode_lines(rows))
    return file


def people(count: int) -> dict[str, str]:
    """Films and their directors, with names of their own."""
    syllables = ["ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu"]
    pages: dict[str, str] = {}
    for number in range(count):
        name = "".join(syllables[int(digit)] for digit in f"{number:02d}").capitalize()
        work, calling = ("Norwegian", "judge") if number % 2 else ("Swedish", "film director")
        pages[f"{name} Film"] = (
            f"{name} Film is a {1930 + number} {work} film directed by {name} Lee."
        )
        pages[f"{name} Lee"] = (
            f"{name} Lee (born {1 + number % 28} May {1880 + number}, died 1 June {1950 + number}) "
            f"was a {work} {calling} of films. He was born in {name}ton. "
            f"He was the son of Old {name} Lee."
        )
    return pages


@pytest.fixture
def composed(tmp_path: Path) -> tuple[Path, list[Question]]:
    file = write_corpus(tmp_path, corpus(people(60)))
    return file, list(build(str(file), 200, "", "").composed)


def test_questions_of_all_shapes_are_composed(composed: tuple[Path, list[Question]]) -> None:
    _, questions = composed
    kinds = {question.kind for question in questions}
    assert {"compositional", "bridge", "2hop", "comparison", "bridge_comparison"} <= kinds
    assert len({question.text for question in questions}) == len(questions)
    golds = {question.golden_answers[0] for question in questions}
    assert {"yes", "no"} < golds


def test_the_gold_teacher_follows_what_is_composed(composed: tuple[Path, list[Question]]) -> None:
    file, questions = composed
    results = list(gold_episodes(questions, BM25(str(file), top_k=3), 0, (3,)))
    right = [one for _, one in results if isinstance(one, Trajectory)]
    assert len(right) > 0.9 * len(results)
    for question, one in results:
        if isinstance(one, Trajectory):
            assert one.answer == question.golden_answers[0]


def test_composing_again_gives_the_same_questions(composed: tuple[Path, list[Question]]) -> None:
    file, questions = composed
    assert list(build(str(file), 200, "", "").composed) == questions


ASKED = (
    ("Which woman directed the film Dawn?", "Ann Lee"),
    ("Which song did Bo Ek sing in Lund?", "Yesterday"),
    ("Is Dusk a Swedish film?", "yes"),
)


def write_questions(file: Path, pairs: Iterable[tuple[str, str]]) -> None:
    rows = [{"question": text, "golden_answers": [gold]} for text, gold in pairs]
    file.write_bytes(msgspec.json.Encoder().encode_lines(rows))


def test_given_questions_are_kept_where_a_passage_supports_the_answer(tmp_path: Path) -> None:
    file = write_corpus(tmp_path, corpus())
    write_questions(tmp_path / "asked.jsonl", ASKED)
    built = build(str(file), 10, str(tmp_path / "asked.jsonl"), "")
    assert [question.text for question in built.answered] == [ASKED[0][0]]
    assert built.left_out == 2


def test_no_question_names_what_an_excluded_one_names(tmp_path: Path) -> None:
    file = write_corpus(tmp_path, corpus(people(60)))
    write_questions(tmp_path / "tests.jsonl", [("Who directed Baba Film?", "Baba Lee")])
    questions = build(str(file), 200, "", str(tmp_path / "tests.jsonl")).composed
    texts = [text for one in questions for text in (one.text, *(hop.answer for hop in one.hops))]
    assert len(texts) > 100
    assert not [text for text in texts if "Baba Film" in text or "Baba Lee" in text]


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("who directed Dawn", True),  # but for case and punctuation the same
        ("Was Dusk or Dawn made by Ann Lee?", True),  # it names no more than the second
        ("Was Dusk or Noon made by Ann Lee?", False),
        ("Who is Ann Lee?", False),  # one name alone is no question
    ],
)
def test_what_counts_as_excluded(question: str, asked: bool) -> None:
    exclusion = Exclusion(
        ["Who directed Dawn?", "Is Ann Lee the director of Dusk, of Dawn or both?"]
    )
    assert exclusion.asks(question) is asked or question.startswith("Did")


def test_names_of_two_excluded_questions_are_not_one_name() -> None:
    exclusion = Exclusion(["Who is Ann?", "Lee is who?"])
    assert exclusion.names("Ann")
    assert not exclusion.names("Ann Lee")
    assert not exclusion.names("who is Ann Lee")


def test_the_command_writes_files_that_are_read_as_tasks(tmp_path: Path) -> None:
    write_corpus(tmp_path, corpus(people(60)))
    write_questions(tmp_path / "asked.jsonl", [("Who directed the film Baba Film?", "Baba Lee")])
    options = ["--count", "100", "--questions", str(tmp_path / "asked.jsonl")]
    out = tmp_path / "real"
    words = [str(tmp_path / "corpus.jsonl"), *options, "--held-out", "7", "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    whole = build(str(tmp_path / "corpus.jsonl"), 100, "", "").composed
    [train] = tasks.resolve(str(out / "composed.jsonl"))
    [held_out] = tasks.resolve(str(out / "held-out.jsonl"))
    [*read, extra] = [*train.load(), *held_out.load()]
    assert [(one.text, one.kind) for one in read] == [(one.text, one.kind) for one in whole]
    assert [[hop.phrase for hop in one.hops] for one in read] == [
        [hop.phrase for hop in one.hops] for one in whole
    ]
    assert extra.text == "Who directed the film Baba Film?"


def test_a_corpus_without_entities_is_refused(tmp_path: Path) -> None:
    file = write_corpus(tmp_path, corpus({"Noon": PAGES["Noon"]}))
    result = CliRunner().invoke(app, [str(file), "--out", str(tmp_path / "real")])
    assert "no question was composed" in str(result.exception)
