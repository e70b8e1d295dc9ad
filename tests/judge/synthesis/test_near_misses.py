"""Wrong answers that look like the gold."""

from collections.abc import Set
from random import Random

import pytest

from autocoa_bench.judge.synthesis.near_misses import NEAR_MISSES
from autocoa_bench.judge.synthesis.wrong_answers import Pool

SEEDS = 300


def answers(name: str, question: str, gold: str) -> Set[str | None]:
    """All that a near miss gives over many random seeds."""
    rule, _ = NEAR_MISSES[name]
    return {rule(question, gold, Random(seed)) for seed in range(SEEDS)}


@pytest.mark.parametrize(
    ("name", "question", "gold", "some"),
    [
        ("part", "What is paid with?", "New Zealand dollar", {"New Zealand"}),
        ("part", "Where is he buried?", "First Cemetery of Athens", {"Cemetery of Athens"}),
        ("part", "How many?", "10,941", {"10"}),
        ("part", "Who discovered it?", "Ernest Rutherford", {"Ernest"}),
        ("coarser", "When was he born?", "April 20, 1966", {"1966", "April 1966"}),
        ("coarser", "For how long?", "from 1993 to 1996", {"1993", "1996"}),
        ("other month", "When?", "19 February 1863", {"August 1863", "19 March 1863"}),
        ("other day", "When?", "15 April 1865", {"14 April 1865", "April 16, 1865"}),
        ("numeral", "Which game?", "Final Fantasy XII", {"Final Fantasy XI", "Final Fantasy XIII"}),
        ("numeral", "Which unit?", "3rd Tank Battalion", {"2nd Tank Battalion"}),
        ("numeral", "Which boat?", "Type 212", {"Type 213"}),
        ("sort alone", "Which river is the longest?", "Weser", {"a river", "the river"}),
        ("vaguer", "What is his occupation?", "film director", {"artist", "person"}),
    ],
)
def test_a_near_miss_is_close_to_the_gold_and_not_it(
    name: str, question: str, gold: str, some: set[str]
) -> None:
    given = answers(name, question, gold)
    assert some <= given
    assert gold not in given


@pytest.mark.parametrize(
    ("question", "gold", "absent"),
    [
        ("Where was he born?", "Orono, Maine", "Orono"),
        ("Which regional district is it?", "Metro Vancouver regional district", "Metro Vancouver"),
        ("Who built it?", "Holmby Company", "Holmby"),
        ("Who wrote it?", "Ann Lee", "Lee"),
        ("What?", "Blur: The Story", "Blur:"),
        ("What is his work?", "American author", "author"),
    ],
)
def test_what_leaves_out_only_what_goes_without_saying_is_no_miss(
    question: str, gold: str, absent: str
) -> None:
    assert absent not in answers("part", question, gold)


def test_a_look_alike_differs_by_one_or_two_letters_of_one_word() -> None:
    for text in answers("look-alike", "Who is it?", "Ann Polestown") - {None}:
        assert text is not None
        assert text.startswith("Ann P")
        assert text != "Ann Polestown"
        assert abs(len(text) - len("Ann Polestown")) <= 2


def test_a_look_alike_never_only_doubles_a_letter_or_halves_two() -> None:
    assert not {"Bassel", "Basell", "Hebridess"} & answers("look-alike", "Where?", "Basel")
    assert "Misouri" not in answers("look-alike", "Where?", "Missouri")


def test_an_item_of_a_list_is_exchanged_and_the_others_stay() -> None:
    for text in answers("one wrong item", "Who?", "Carter Bays and Craig Thomas") - {None}:
        assert text is not None
        assert ("Carter Bays" in text) != ("Craig Thomas" in text)


POOL = Pool(
    [
        ("Which army?", "the Royal Navy"),
        ("Which city is it?", "Oslo"),
        ("Which city is that?", "Bergen"),
        ("Which city was it?", "Narvik"),
    ]
)


def test_a_word_is_exchanged_for_one_of_another_gold() -> None:
    given = {POOL.exchanged("Which?", "Second Army", Random(seed)) for seed in range(SEEDS)}
    assert {"Second Navy", "Royal Army"} <= given


def test_a_word_that_the_question_has_is_not_exchanged() -> None:
    given = {POOL.exchanged("Which army?", "Second Army", Random(seed)) for seed in range(SEEDS)}
    assert all(text is not None and text.endswith("Army") for text in given)


def test_a_list_and_a_hedge_have_the_gold_beside_wrong_values() -> None:
    for seed in range(30):
        listed = POOL.listed("Which city is it?", "Oslo", Random(seed))
        hedged = POOL.hedged("Which city is it?", "Oslo", Random(seed))
        for text in (listed, hedged):
            assert text is not None
            assert "Oslo" in text
            assert "Bergen" in text or "Narvik" in text
    assert POOL.listed("Is it?", "yes", Random(0)) is None
    hedged = POOL.hedged("Is it?", "yes", Random(0))
    assert hedged is not None
    assert "no" in hedged
