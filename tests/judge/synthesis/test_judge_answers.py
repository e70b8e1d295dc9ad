"""Forms of right answers, and slips that make an answer wrong."""

from collections.abc import Set
from random import Random

import pytest

from autocoa_bench.judge.synthesis.examples import framed, ordered
from autocoa_bench.judge.synthesis.right_answers import FORMS
from autocoa_bench.judge.synthesis.wrong_answers import SLIPS, Pool, differs

SEEDS = 300


def answers(name: str, question: str, gold: str) -> Set[str | None]:
    """All that a form or a slip gives over many random seeds."""
    rule, _ = {**FORMS, **SLIPS}[name]
    return {rule(question, gold, Random(seed)) for seed in range(SEEDS)}


@pytest.mark.parametrize(
    ("name", "question", "gold", "some"),
    [
        ("bare", "Who?", "The Beatles", {"the beatles", "The Beatles.", "Beatles"}),
        ("plain letters", "Who?", "Antonín Dvořák", {"Antonin Dvorak"}),
        ("date", "When?", "4 February 1977", {"February 4, 1977", "1977-02-04", "4 Feb 1977"}),
        ("fuller date", "In what year?", "1977", {"in 1977", "March 1977", "the year 1977"}),
        ("number", "How many shops?", "1,200", {"1200", "1,200 shops"}),
        ("number", "How many?", "three", {"3", "three (3)"}),
        ("number", "How much?", "$1.5 million", {"$1,500,000", "1.5 million dollars"}),
        ("number", "How far?", "200 kilometres", {"200 km", "two hundred kilometres"}),
        ("number", "Which place?", "third", {"3rd", "the 3rd"}),
        (
            "person",
            "Who?",
            "Mary Ann Evans",
            {"Mary Evans", "Mary A. Evans", "Evans, Mary", "Evans"},
        ),
        ("person", "Who?", "Robert Young", {"Bob Young", "R. Young"}),
        ("place", "Where?", "Denver", {"Denver, Colorado", "Denver, CO", "Denver, United States"}),
        ("place", "Where?", "Dover, Ohio", {"Dover", "Dover, OH", "Dover, Ohio, USA"}),
        ("place", "What county?", "York County", {"York", "the county of York"}),
        ("nation", "Of what nationality?", "American", {"United States", "USA", "America"}),
        ("nation", "Which country?", "Netherlands", {"Dutch", "Holland"}),
        ("synonym", "What?", "film director", {"director", "filmmaker"}),
        ("synonym", "What?", "science fiction film", {"science fiction movie"}),
        ("initials", "What show?", "Saturday Night Live", {"SNL", "Saturday Night Live (SNL)"}),
        ("described", "Which film is it?", "Jaws", {"Jaws (film)", "the film Jaws"}),
        (
            "described",
            "Which 1994 film was first?",
            "Speed",
            {"the 1994 film Speed", "Speed (film)"},
        ),
        ("described", "Which was the first film?", "Speed", {"the film Speed"}),
        ("respelt", "Where?", "Saint Martin-on-Sea", {"St. Martin-on-Sea", "Saint Martin on Sea"}),
        ("choice", "Who is older, Ann Lee or Bob Ray?", "Ann Marie Lee", {"Ann Lee"}),
        ("titled", "Who was her father?", "Louis", {"King Louis", "Louis of France"}),
        ("titled", "Who was her father?", "King Louis", {"Louis"}),
        ("narrower place", "In what city?", "Tokyo", {"Fairview, Tokyo, Japan"}),
        ("around place", "In what town?", "Holmby", {"Holmby, Texas, United States"}),
        ("narrowed", "What do they sell?", "shoes", {"modern shoes", "the commercial shoes"}),
        ("narrowed", "What did he win?", "Nobel Prize", {"Nobel Prize in Physics"}),
        ("clause", "Are both cities?", "no", {"False"}),
        ("name", "Which film is it?", "Jaws", {'"Jaws"'}),
        ("name", "What?", "Blur: The Story", {"Blur", "Blur - The Story"}),
        ("name", "What?", "Blackstone & Co.", {"Blackstone and Co."}),
        ("less", "What?", "American film director", {"film director"}),
        ("less", "What?", "in 1944", {"1944"}),
        ("more", "What is their occupation?", "singer", {"professional singer"}),
        ("count", "What?", "plant", {"plants", "a plant"}),
        ("count", "What?", "century", {"centuries"}),
        ("order", "Who?", "Gilbert and Sullivan", {"Sullivan and Gilbert", "Gilbert, Sullivan"}),
        (
            "clause",
            "Are Oslo and Rome both cities?",
            "yes",
            {"Yes.", "Yes, Oslo and Rome are both cities."},
        ),
        (
            "clause",
            "Did Ann and Bob meet?",
            "no",
            {"No, they did not", "No, that is not the case."},
        ),
    ],
)
def test_a_right_answer_has_other_forms(
    name: str, question: str, gold: str, some: set[str]
) -> None:
    assert some <= answers(name, question, gold)


def test_only_a_place_in_the_united_states_is_said_to_be_there() -> None:
    assert not {"Bonn, Germany, USA", "Bonn, Germany, United States"} & answers(
        "place", "Where?", "Bonn, Germany"
    )


@pytest.mark.parametrize(
    ("name", "gold"),
    [
        ("date", "1977"),
        ("person", "1977"),
        ("nation", "Paris"),
        ("order", "Paris"),
        ("initials", "Paris"),
        ("clause", "Paris"),
        ("count", "Paris"),
        ("count", "no"),
        ("respelt", "Rome"),
        ("choice", "Rome"),
        ("titled", "Rome"),
        ("narrowed", "Rome"),
        ("other date", "Paris"),
        ("other nation", "Paris"),
        ("other person", "Paris"),
        ("opposite", "Paris"),
        ("broader", "Paris"),
        ("one of several", "Paris"),
    ],
)
def test_a_rule_that_does_not_apply_gives_nothing(name: str, gold: str) -> None:
    assert answers(name, "Where is it?", gold) == {None}


@pytest.mark.parametrize(
    ("name", "question", "gold", "some"),
    [
        ("other year", "In what year?", "1977", {"1978", "1976", "the 1970s", "the 20th century"}),
        ("other number", "How many?", "12,339", {"12,338", "123,390"}),
        ("other number", "How many?", "three", {"4", "two"}),
        ("other number", "Which?", "third", {"2nd", "4th"}),
        ("other person", "Who?", "Ada Lovelace", {"Peter Lovelace", "Ada Lovelace's father"}),
        (
            "other place",
            "Where?",
            "Denver, Colorado",
            {"Colorado", "Denver, Ohio", "United States"},
        ),
        ("other place", "Where?", "Dallas", {"Houston, Texas", "Texas"}),
        ("other nation", "Where?", "Italy", {"Spain", "Spanish"}),
        ("one of several", "Who?", "Gilbert and Sullivan", {"Gilbert", "Sullivan"}),
        ("opposite", "Are they both singers?", "yes", {"no", "No, they are not"}),
        ("broader", "Where?", "Lund University", {"University", "a university"}),
        ("other choice", "Who is older, Ann Lee or Bob Ray?", "Bob Ray", {"Ann Lee"}),
        ("other choice", "Who is older, Ann Lee or Bob Ray ?", "Ann Marie Lee", {"Bob Ray"}),
        ("asked about", "Who directed the film Jaws?", "Ada Lovelace", {"Jaws"}),
        ("sequel", "Which film?", "Jaws", {"Jaws 2", "Return to Jaws"}),
        ("occupation", "What is his occupation?", "farmer", {"actor", "poet"}),
        ("nothing", "Who?", "Ann", {"", "I don't know", "N/A"}),
        ("echo", "Who wrote the book?", "Ann", {"Who wrote the book?", "Who wrote the"}),
        ("denied", "Who?", "Ann", {"not Ann"}),
    ],
)
def test_a_wrong_answer_is_near_the_right_one(
    name: str, question: str, gold: str, some: set[str]
) -> None:
    assert some <= answers(name, question, gold)


def test_a_neighbour_of_a_day_is_another_day() -> None:
    days = answers("other date", "When?", "4 February 1977")
    assert not days & {"4 February 1977", "February 4, 1977", "February 4th, 1977"}
    assert any(day and day.endswith("February 1977") for day in days)


def test_a_country_is_not_taken_for_what_it_is_part_of() -> None:
    away = answers("other nation", "Where?", "England")
    assert not away & {"United Kingdom", "British", "Scotland", None}


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        ("Ann Lee", "Bob Ray", True),
        ("Ann Lee", "Ann Ray", True),
        ("Ann Lee", "Lee", False),
        ("USA", "American", False),
        ("the film", "film", False),
    ],
)
def test_answers_differ_where_neither_contains_the_other(
    first: str, second: str, apart: bool
) -> None:
    assert differs(first, second) is apart
    assert differs(second, first) is apart


QUESTIONS = [
    ("Which city is it?", "Oslo"),
    ("Which city is that?", "Bergen"),
    ("Who wrote it?", "Ann Lee"),
    ("Who read it?", "Ann Ray"),
    ("Are both cities?", "yes"),
]


def test_the_pool_gives_what_another_question_of_the_sort_has() -> None:
    pool = Pool(QUESTIONS)
    assert {pool.sibling("Which city is it?", "Oslo", Random(n)) for n in range(9)} == {"Bergen"}
    assert pool.similar("Who wrote it?", "Ann Lee", Random(0)) is None  # short words tell little
    assert pool.sibling("Are both cities?", "yes", Random(0)) is None


def test_the_pool_gives_what_shares_a_word() -> None:
    pool = Pool([("What?", "University of Oslo"), ("What?", "University of Rome"), *QUESTIONS])
    values = {pool.similar("What?", "University of Oslo", Random(seed)) for seed in range(SEEDS)}
    assert values == {"University of Rome", None}


def test_a_frame_and_an_order_hold_the_value() -> None:
    for seed in range(SEEDS):
        assert "Oslo" in framed("Where is it?", "Oslo", Random(seed))
        assert ordered("Oslo", Random(seed)).startswith("Oslo")
