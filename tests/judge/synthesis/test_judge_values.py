"""The types and meanings of answers."""

import pytest

from autocoa_bench.judge.synthesis.answer_types import (
    AnswerDate,
    answer_type,
    meaning,
    read_date,
    read_number,
    spelled,
    split_place,
    table,
)


@pytest.mark.parametrize(
    ("question", "gold", "kind"),
    [
        ("Are Oslo and Bergen both cities?", "yes", "yes-no"),
        ("When was she born?", "4 February 1977", "date"),
        ("In what year was it founded?", "1912", "year"),
        ("How many people live there?", "12,339", "number"),
        ("How many films are there?", "three", "number"),
        ("Who wrote it?", "Ada Lovelace", "person"),
        ("The film was directed by which Danish director?", "Bille August", "person"),
        ("Where was he born?", "Denver", "place"),
        ("They are of which nationality?", "American", "place"),
        ("Who wrote the show?", "Carter Bays and Craig Thomas", "list"),
        ("Which film came first?", "The Rite of Spring", "name"),
        ("What occupation do they share?", "film director", "words"),
    ],
)
def test_the_type_of_a_gold_follows_from_its_form_and_the_question(
    question: str, gold: str, kind: str
) -> None:
    assert answer_type(question, gold) == kind


@pytest.mark.parametrize("text", ["4 February 1977", "February 4, 1977", "on February 4, 1977."])
def test_a_date_is_read_in_each_order(text: str) -> None:
    assert read_date(text) == AnswerDate(4, 2, 1977)


@pytest.mark.parametrize(
    "text", ["1977", "1953 to 1964", "4 February 1977", "V8", "Route 66 North"]
)
def test_years_dates_and_names_are_no_numbers(text: str) -> None:
    assert read_number(text) is None


def test_a_number_is_read_with_what_stands_around_it() -> None:
    number = read_number("about $1.5 million")
    assert number is not None
    assert (number.before, number.value, number.after) == ("about $", 1.5, " million")


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "zero"), (21, "twenty-one"), (100, "one hundred"), (475, "four hundred and seventy-five")],
)
def test_numbers_are_spelled(value: int, words: str) -> None:
    assert spelled(value) == words


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("USA", "the United States"),
        ("American", "United States"),
        ("1,200", "1200"),
        ("third", "3rd"),
        ("three", "3"),
        ("4 February 1977", "February 4, 1977"),
        ("The Beatles", "beatles."),
        ("movie", "film"),
    ],
)
def test_what_tables_and_formats_know_to_be_the_same_has_one_meaning(
    first: str, second: str
) -> None:
    assert meaning(first) == meaning(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1977", "1978"),
        ("Italy", "Spain"),
        ("4 May 1977", "5 May 1977"),
        ("3", "3rd"),
        ("yes", "no"),
    ],
)
def test_other_values_have_other_meanings(first: str, second: str) -> None:
    assert meaning(first) != meaning(second)


def test_a_place_in_a_known_state_or_country_is_taken_apart() -> None:
    assert split_place("Hastings, New Zealand") == ("Hastings", "New Zealand")
    assert split_place("Charles Taylor, Jr.") is None
    assert split_place("April 30, 1960") is None


@pytest.mark.parametrize("name", ["nations", "regions", "synonyms", "nicknames", "spellings"])
def test_a_table_names_things_and_never_the_same_pair_twice(name: str) -> None:
    rows = table(name)
    assert all(len(row) >= 2 and all(row) for row in rows)
    assert len(set(rows)) == len(rows)


def test_a_nations_name_is_of_one_nation() -> None:
    words = [word for row in table("nations") for word in set(row)]
    assert len(words) == len(set(words))
