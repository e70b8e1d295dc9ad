"""The teacher without a model: what it writes along a gold chain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pytest

from agent_model.data.gold_teacher import gold_episodes
from autocoa_bench import tasks
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.types import Hop, Passage, Question, SearchSpec, Trajectory

FILM = Passage("p1", "Dawn", "The film Dawn was directed by Ann Lee.")
LEE = Passage("p2", "Ann Lee", "Ann Lee, who was born in Oslo, studied under Bo Dahl.")
DUSK = Passage("p3", "Dusk", "The film Dusk was directed by Bo Dahl.")
OTHER = Passage("p9", "Noon", "The film Noon won no prize.")

BRIDGE = Question(
    "q1",
    "Where was the director of the film Dawn born?",
    ("Oslo",),
    "films",
    "bridge",
    hops=(
        Hop("Who directed the film Dawn?", "Ann Lee", "p1", "the director of the film Dawn"),
        Hop("In which town was Ann Lee born?", "Oslo", "p2"),
    ),
)


class Shelf:
    """A search engine that gives fixed passages for each query, and keeps the queries."""

    def __init__(self, results: Mapping[str, Iterable[Passage]]) -> None:
        self._results = results
        self.queries: list[str] = []

    @property
    def spec(self) -> SearchSpec:
        return SearchSpec("shelf", "shelf", "", 4, {}, 3)

    async def search(self, query: str) -> tuple[Passage, ...]:
        self.queries.append(query)
        return tuple(self._results.get(query, ()))

    async def close(self) -> None:
        return None


def taught(question: Question, shelf: Shelf, top_k: tuple[int, ...] = (3,)) -> Trajectory | str:
    [(_, result)] = gold_episodes([question], shelf, 0, top_k)
    return result


def trajectory(question: Question, shelf: Shelf, top_k: tuple[int, ...] = (3,)) -> Trajectory:
    result = taught(question, shelf, top_k)
    assert isinstance(result, Trajectory), result
    return result


def test_a_chain_is_searched_from_the_inside_and_restated() -> None:
    shelf = Shelf({"film Dawn": [FILM], "Ann Lee": [LEE]})
    result = trajectory(BRIDGE, shelf)
    assert shelf.queries == ["film Dawn", "Ann Lee"]
    assert "the director of the film Dawn" in result.steps[0].text
    assert "Where was Ann Lee born?" in result.steps[1].text
    assert (result.answer, result.ending) == ("Oslo", "answered")


def test_the_passage_that_was_read_is_named_before_what_it_says() -> None:
    shelf = Shelf({"film Dawn": [OTHER, FILM], "Ann Lee": [DUSK, LEE]})
    result = trajectory(BRIDGE, shelf)
    second, third = (step.text for step in result.steps[1:3])
    assert re.search(r"passage on Dawn\b.*Ann Lee", second)
    assert re.search(r"passage on Ann Lee\b.*Oslo", third)


def test_a_hop_is_asked_in_plain_words_right_before_its_value_is_read() -> None:
    result = trajectory(BRIDGE, Shelf({"film Dawn": [FILM], "Ann Lee": [LEE]}))
    last = result.steps[-1].text
    assert re.match(r"In which town was Ann Lee born\? .*passage on Ann Lee\b.*Oslo", last)


def test_questions_of_one_hop_open_in_words_of_their_own() -> None:
    single = Question("q5", "Who directed the film Dawn?", ("Ann Lee",), "t", hops=BRIDGE.hops[:1])
    shelf = Shelf({"film Dawn": [FILM], "Ann Lee": [LEE]})
    opening, other = (trajectory(one, shelf).steps[0].text for one in (single, BRIDGE))
    assert "one search" in opening.lower()
    assert "one search" not in other.lower()


def single(kind: str) -> Question:
    """A question of one hop whose answer a sentence ends in."""
    hop = Hop(
        "Where was Ann Lee born?", "Oslo", "p2", statement="The birthplace of Ann Lee is Oslo."
    )
    return Question("q4", "Where was Ann Lee born?", ("Oslo",), "films", kind, hops=(hop,))


def test_a_known_fact_is_recited_to_its_end() -> None:
    text = trajectory(single("known"), Shelf({})).steps[0].text
    assert text.startswith("The birthplace of Ann Lee is Oslo. ")
    assert text.endswith("\\boxed{Oslo}")


def test_a_recitation_of_an_unknown_fact_breaks_off_where_the_answer_would_stand() -> None:
    text = trajectory(single("unknown"), Shelf({"Ann Lee": [LEE]})).steps[0].text
    assert text.startswith("The birthplace of Ann Lee is ... ")
    assert text.endswith("<begin_search> Ann Lee </end_search>")


def test_a_search_that_misses_the_passage_is_rephrased() -> None:
    shelf = Shelf({"film Dawn": [OTHER], "film Dawn directed": [FILM], "Ann Lee": [LEE]})
    result = trajectory(BRIDGE, shelf)
    assert shelf.queries == ["film Dawn", "film Dawn directed", "Ann Lee"]
    assert "other words" in result.steps[1].text


def test_a_passage_that_cannot_be_found_gives_a_reason_and_no_trajectory() -> None:
    assert taught(BRIDGE, Shelf({"film Dawn": [OTHER]})) == "the passage was not found"


def test_a_passage_that_was_read_before_is_not_searched_again() -> None:
    shelf = Shelf({"film Dawn": [FILM, LEE]})
    result = trajectory(BRIDGE, shelf)
    assert shelf.queries == ["film Dawn"]
    assert result.answer == "Oslo"


def test_no_more_passages_are_shown_than_drawn() -> None:
    shelf = Shelf({"film Dawn": [FILM, OTHER, DUSK], "Ann Lee": [LEE, OTHER]})
    result = trajectory(BRIDGE, shelf, top_k=(1,))
    assert [len(step.passages) for step in result.steps] == [1, 1, 0]


def test_a_comparison_is_answered_after_both_lookups() -> None:
    question = Question(
        "q2",
        "Which film came out first, the film Dawn or the film Dusk?",
        ("Dusk",),
        "films",
        "comparison",
        hops=(
            Hop("When did the film Dawn come out?", "3 May 1962", "p1"),
            Hop("When did the film Dusk come out?", "1950", "p3"),
        ),
    )
    shelf = Shelf({"film Dawn": [FILM], "film Dusk": [DUSK]})
    result = trajectory(question, shelf)
    assert shelf.queries == ["film Dawn", "film Dusk"]
    assert "1950 is earlier than 3 May 1962, so it is Dusk." in result.steps[-1].text


@pytest.mark.parametrize("kind", ["known", "given"])
def test_what_the_model_knows_or_is_told_is_answered_without_a_search(kind: str) -> None:
    question = Question("q3", "What is the capital of Peru?", ("Lima",), "facts", kind)
    shelf = Shelf({})
    result = trajectory(question, shelf)
    assert not shelf.queries
    assert (result.answer, len(result.steps)) == ("Lima", 1)


def test_a_question_without_a_chain_is_kept_only_where_its_answer_was_found() -> None:
    question = Question("q4", "Who directed Dawn?", ("Ann Lee",))
    assert trajectory(question, Shelf({question.text: [OTHER, FILM]})).answer == "Ann Lee"
    assert "no answer" in str(taught(question, Shelf({question.text: [OTHER]})))


def test_a_question_without_a_chain_is_searched_as_it_stands_and_then_by_its_names() -> None:
    question = Question("q4", "Bo Dahl made Dusk with which woman?", ("Ann Lee",))
    lee = Passage("p4", "Ann Lee", "Ann Lee appears in films by Bo Dahl.")
    shelf = Shelf({question.text: [OTHER], "Bo Dahl Dusk": [lee]})
    assert trajectory(question, shelf).answer == "Ann Lee"
    assert shelf.queries == [question.text, "Bo Dahl Dusk"]


def test_an_answer_in_a_passage_that_has_few_words_of_the_question_does_not_count() -> None:
    question = Question("q4", "Who directed Dawn?", ("Ann Lee",))
    chance = Passage("p5", "Ships", "One of the ships was called Ann Lee.")
    assert taught(question, Shelf({question.text: [chance]})) == "no answer in what was found"


def test_of_several_passages_the_one_that_supports_the_answer_best_is_named() -> None:
    question = Question("q4", "Which woman directed the film Dawn?", ("Ann Lee",))
    prize = Passage("p5", "Prizes", "A film of 1962, Noon, lost to Ann Lee.")
    last = trajectory(question, Shelf({question.text: [prize, FILM]})).steps[-1].text
    assert "The passage on Dawn says Ann Lee." in last


def test_what_two_have_in_common_is_concluded_from_equal_values() -> None:
    hops = (
        Hop("What is the profession of Ann Lee?", "film director", "p2"),
        Hop("What is the profession of Bo Dahl?", "film director", "p6"),
    )
    dahl = Passage("p6", "Bo Dahl", "Bo Dahl was a Danish film director.")
    text = "What profession do Ann Lee and Bo Dahl have in common?"
    question = Question("q2", text, ("film director",), "t", "comparison", hops=hops)
    last = trajectory(question, Shelf({"Ann Lee": [LEE], "Bo Dahl": [dahl]})).steps[-1].text
    assert "film director and film director are the same, so it is film director." in last


def test_every_search_of_a_kind_is_announced_in_the_same_words() -> None:
    questions = tasks.resolve("musique")[0].load("train")[:60]
    result = gold_episodes(questions, BM25("embedded-train", top_k=3), 0, (3,))
    openings = {
        " ".join(one.steps[0].text.split()[:3])
        for question, one in result
        if isinstance(one, Trajectory) and question.hops[0].phrase
    }
    assert openings == {"First I need"}


def test_a_question_that_holds_its_answer_already_is_not_taught_without_a_chain() -> None:
    question = Question("q5", "Was it Ann Lee or Bo Dahl that directed Dawn?", ("Ann Lee",))
    assert "in the question" in str(taught(question, Shelf({question.text: [FILM]})))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("<Dawn> was directed by whom?", "‹Dawn› was directed by whom?"),
        ("Who </end_search> directed Dawn?", "Who ‹/end_search› directed Dawn?"),
    ],
)
def test_a_tag_in_a_question_does_not_act_in_its_query(text: str, query: str) -> None:
    shelf = Shelf({query: [FILM]})
    result = trajectory(Question("q6", text, ("Ann Lee",)), shelf)
    assert shelf.queries == [query]
    assert result.answer == "Ann Lee"


@pytest.mark.parametrize("golds", [(), ("",), (" ",)])
def test_a_question_without_an_answer_gives_a_reason(golds: tuple[str, ...]) -> None:
    question = Question("q7", "What is the capital of Peru?", golds, "facts", "known")
    assert taught(question, Shelf({})) == "no answer is known"


def test_a_turn_that_the_dialect_cannot_read_gives_a_reason() -> None:
    hop = Hop("What <search_result> was built?", "The mill", "p1")
    question = Question("q8", "What <search_result> was built?", ("x",), hops=(hop, hop))
    assert taught(question, Shelf({})) == "the turn was malformed"


def test_a_question_that_fills_the_context_gives_a_reason() -> None:
    question = Question("q9", "Who built the Tower? " * 2000, ("Anna",))
    assert taught(question, Shelf({})) == "the turn grew too long"


def test_the_same_seed_shows_the_same_passages_and_another_does_not() -> None:
    questions = tasks.resolve("musique")[0].load("train")[:8]
    search = BM25("embedded-train", top_k=3)
    first, again, other = (
        list(gold_episodes(questions, search, seed, (1, 2, 3))) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", ["hotpotqa", "2wikimultihopqa", "musique", "bamboogle", "nq"])
def test_nine_in_ten_embedded_questions_are_taught_and_all_of_those_rightly(name: str) -> None:
    questions = tasks.resolve(name)[0].load("train")[:200]
    result = list(gold_episodes(questions, BM25("embedded-train", top_k=3), 0, (1, 2, 3)))
    kept = [(question, one) for question, one in result if isinstance(one, Trajectory)]
    assert len(kept) >= 180
    for question, one in kept:
        assert one.answer in question.golden_answers
        assert one.ending == "answered"
        assert not any(step.kind == "malformed" for step in one.steps)
