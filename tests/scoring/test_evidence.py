"""Tracing evidence: when it was shown, and where a wrong answer comes from."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from autocoa_bench.scoring.evidence import Cause, Evidence, Mark, cause, mark, support, trace
from autocoa_bench.types import Hop, Passage, Question, Step, Trajectory

FILM = Passage("p1", "Dawn", "The film Dawn was directed by Ann Lee.")
LEE = Passage("p2", "Ann Lee", "Ann Lee was born in Oslo, Norway.")
NOISE = Passage("p9", "Noon", "The film Noon was shot in Oslofjord.")

CHAIN = Question(
    "q",
    "Where was the director of Dawn born?",
    ("Oslo",),
    hops=(Hop("Who directed Dawn?", "Ann Lee", "p1"), Hop("Where was Ann Lee born?", "Oslo", "p2")),
)
BARE = Question("q", "Where was the director of Dawn born?", ("Oslo",))


def episode(*shown: Sequence[Passage]) -> Trajectory:
    """An episode that searched and was shown these passages, then answered."""
    steps = [Step("search", "s", "query", passages=tuple(passages)) for passages in shown]
    steps += [Step("malformed", "?", passages=(FILM, LEE)), Step("answer", "a", "a")]
    return Trajectory("agent", (), "", tuple(steps), "a", "answered")


def test_each_gold_passage_has_the_action_that_first_showed_it() -> None:
    evidence = trace(CHAIN, episode([NOISE], [FILM, NOISE], [FILM], [LEE]))
    assert evidence.passages == (("p1", 2), ("p2", 4))
    assert evidence.answer == 4


def test_a_gold_passage_of_two_hops_counts_once() -> None:
    twice = Question("q", "?", ("Oslo",), hops=(*CHAIN.hops, CHAIN.hops[0]))
    assert [name for name, _ in trace(twice, episode([FILM])).passages] == ["p1", "p2"]


PAGES = Question("q", "Where ...?", ("Oslo",), gold_titles=("The Dawn!", "Ann Lee", "ann lee"))


def test_gold_pages_are_told_by_their_titles_where_there_is_no_chain() -> None:
    again = Passage("p8", "Dawn", "Another passage of the same page.")
    evidence = trace(PAGES, episode([NOISE], [again], [FILM], [LEE]))
    assert evidence.passages == (("The Dawn!", 2), ("Ann Lee", 4))


@pytest.mark.parametrize(
    ("gold", "title"),
    [
        ("Simon &amp; Simon", "Simon & Simon"),
        ("Beyonce\u0301 discography", "Beyonc\u00e9 discography"),
        ("Michelson–Morley_experiment", "Michelson-Morley experiment"),
    ],
)
def test_a_gold_page_is_recognised_whatever_the_encoding_of_its_title(
    gold: str, title: str
) -> None:
    question = Question("q", "?", ("yes",), gold_titles=(gold, gold.upper()))
    passage = Passage("1", title, "A page.")
    assert trace(question, episode([NOISE], [passage])).passages == ((gold, 2),)
    assert mark(question, passage) == "gold page"


def test_an_answer_is_recognised_in_a_passage_whatever_its_encoding() -> None:
    question = Question("q", "?", ("Beyonce\u0301 &amp; Jay–Z",))
    passage = Passage("1", "", "Tours by Beyonc\u00e9 & Jay-Z.")
    assert trace(question, episode([passage])).answer == 1


def test_a_chain_counts_before_titles() -> None:
    question = Question("q", "?", ("Oslo",), hops=CHAIN.hops, gold_titles=("Noon",))
    assert [name for name, _ in trace(question, episode([NOISE])).passages] == ["p1", "p2"]


def test_a_title_of_nothing_but_an_article_is_itself() -> None:
    question = Question("q", "?", ("yes",), gold_titles=("A",))
    assert trace(question, episode([Passage("1", "The", "")])).passages == (("A", None),)
    assert trace(question, episode([Passage("1", "A", "")])).passages == (("A", 1),)


def test_a_wrong_answer_over_gold_pages_has_a_cause() -> None:
    assert cause(trace(PAGES, episode([FILM]))) == "under-search"
    assert cause(trace(PAGES, episode([FILM], [NOISE]))) == "retrieval miss"
    assert cause(trace(PAGES, episode([FILM], [LEE]))) == "reading miss"


def test_recall_is_the_share_shown_within_so_many_actions() -> None:
    evidence = trace(CHAIN, episode([FILM], [NOISE], [LEE]))
    assert [evidence.recall(actions) for actions in (0, 1, 2, 3, None)] == [0, 0.5, 0.5, 1, 1]


def test_an_answer_counts_as_shown_in_whole_words_only() -> None:
    assert trace(BARE, episode([NOISE])).answer is None
    assert trace(BARE, episode([NOISE], [LEE])).answer == 2


def test_an_answer_is_found_in_a_title_and_whatever_its_case_and_articles() -> None:
    question = Question("q", "Which film?", ("the DAWN!",))
    assert trace(question, episode([FILM])).answer == 1


@pytest.mark.parametrize("golds", [("yes",), ("No",), (), ("The",)])
def test_words_that_say_nothing_in_a_passage_are_not_traced(golds: tuple[str, ...]) -> None:
    evidence = trace(Question("q", "Is it?", golds), episode([Passage("p", "yes", "no the")]))
    assert not evidence.traced
    assert cause(evidence) is None


def test_a_chain_that_ends_in_yes_is_traced_by_its_passages() -> None:
    question = Question("q", "Is it?", ("yes",), hops=CHAIN.hops)
    assert cause(trace(question, episode([FILM], [NOISE]))) == "retrieval miss"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([], "under-search"),
        ([[FILM]], "under-search"),
        ([[FILM], [NOISE]], "retrieval miss"),
        ([[NOISE], [NOISE], [FILM]], "retrieval miss"),
        ([[FILM], [LEE]], "reading miss"),
        ([[FILM, LEE]], "reading miss"),
        ([[FILM, LEE], [NOISE]], "reading miss"),
        ([[NOISE], [FILM], [LEE]], "reading miss"),
        ([[FILM], [LEE], [NOISE]], "over-search"),
    ],
)
def test_a_wrong_answer_over_a_chain_has_a_cause(
    shown: list[list[Passage]], expected: Cause
) -> None:
    assert cause(trace(CHAIN, episode(*shown))) == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([], "under-search"),
        ([[NOISE]], "retrieval miss"),
        ([[LEE]], "reading miss"),
        ([[NOISE], [LEE]], "reading miss"),
        ([[LEE], [NOISE]], "over-search"),
    ],
)
def test_without_gold_passages_the_answers_words_decide(
    shown: list[list[Passage]], expected: Cause
) -> None:
    assert cause(trace(BARE, episode(*shown))) == expected


def test_evidence_of_nothing_is_not_traced() -> None:
    assert cause(Evidence(actions=2, passages=(), answer=None, by_answer=False)) is None


YES = Question("q", "Is Noon a film?", ("yes",))


@pytest.mark.parametrize(
    ("question", "passage", "expected"),
    [
        (CHAIN, FILM, "gold passage"),
        (CHAIN, LEE, "gold passage"),
        (CHAIN, Passage("p8", "Ann Lee", "From Oslo."), "answer words"),
        (CHAIN, NOISE, None),
        (PAGES, FILM, "gold page"),
        (PAGES, Passage("p8", "Oslo", "Oslo is a town."), "answer words"),
        (PAGES, NOISE, None),
        (BARE, LEE, "answer words"),
        (BARE, FILM, None),
        (YES, Passage("p7", "Noon", "Yes, a film."), None),
    ],
)
def test_a_passage_is_marked_for_what_makes_it_evidence(
    question: Question, passage: Passage, expected: Mark | None
) -> None:
    assert mark(question, passage) == expected


DAWN = Passage("p1", "Dawn (film)", "Dawn is a film of 1962. It was directed by Ann Lee in Oslo.")


def test_support_is_the_share_of_the_questions_words_beside_the_answer() -> None:
    asked = "Which woman directed the film Dawn in Bergen?"
    assert support(asked, "Ann Lee", DAWN) == pytest.approx(3 / 5)  # directed, film, Dawn


def test_words_far_from_the_answer_do_not_support_it() -> None:
    far = Passage("p2", "Prizes", f"The film Dawn. {'Then came more. ' * 20}Ann Lee won.")
    assert support("Who directed the film Dawn?", "Ann Lee", far) == 0
    assert support("Who directed the film Dawn?", "film", far) > 0


def test_a_passage_without_the_answer_does_not_support_it() -> None:
    assert support("Who directed the film Dawn?", "Bo Dahl", DAWN) == 0
    assert support("Who directed the film Dawn?", "", DAWN) == 0


def test_the_words_of_the_answer_are_not_its_support() -> None:
    assert support("Was it Ann Lee?", "Ann Lee", DAWN) == 0
