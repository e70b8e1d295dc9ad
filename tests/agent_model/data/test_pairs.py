"""CoT+A pairs: one context, then a search or none, in both directions."""

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from agent_model.data.pairs import Pair, draw_evenly, gold_pairs, sampled_pairs
from agent_model.dialects.agent import Agent
from agent_model.dialects.cot import CoT
from autocoa_bench.episode import turns_of
from autocoa_bench.scoring.text import exact_match
from autocoa_bench.types import FaultNote, Hop, Question, Record
from support.play import QUESTION, play

SEARCH = "It is a tower. Who built it?\n<begin_search> tower </end_search>"
MORE = "That was Anna. I make sure.\n<begin_search> Anna </end_search>"
RIGHT = "It is a tower. So Anna built it.\n</think>\n\n\\boxed{Anna}"
WRONG = "It is a tower. So Bert built it.\n</think>\n\n\\boxed{Bert}"


def coa(*texts: str, sample: int = 0, question: Question = QUESTION) -> Record:
    """An episode of the agent that says these texts."""
    return Record(question, sample, play(Agent(), texts)[0])


def cot(text: str, sample: int = 0) -> Record:
    """An episode without tools, with a wrong answer where it is forced to one."""
    return Record(QUESTION, sample, play(CoT(), (text, "Bert}"))[0])


def turn(pair: Pair) -> str:
    return pair.context.continuation


def one(without: Iterable[Record], searching: Iterable[Record]) -> Pair:
    [pair], reasons = sampled_pairs(without, searching, exact_match)
    assert not reasons
    return pair


def dropped(without: Iterable[Record], searching: Iterable[Record]) -> dict[str, int]:
    pairs, reasons = sampled_pairs(without, searching, exact_match)
    assert not pairs
    return dict(reasons)


def test_a_question_that_only_a_search_gets_right_has_the_search_chosen() -> None:
    pair = one([cot(WRONG)], [coa(SEARCH, RIGHT)])
    assert turn(pair) + pair.chosen == "<think>\n" + SEARCH
    assert turn(pair) + pair.rejected == "<think>\n" + WRONG
    assert pair.ends == (False, True)


def test_a_question_that_a_search_gets_wrong_has_the_answer_chosen() -> None:
    pair = one([cot(RIGHT)], [coa(SEARCH, WRONG)])
    assert turn(pair) + pair.chosen == "<think>\n" + RIGHT
    assert turn(pair) + pair.rejected == "<think>\n" + SEARCH
    assert pair.ends == (True, False)


def test_a_search_that_was_right_but_not_needed_is_rejected() -> None:
    pair = one([cot(RIGHT)], [coa(SEARCH, RIGHT)])
    assert pair.ends == (True, False)


def test_pairs_part_at_the_end_of_the_last_sentence_that_they_share() -> None:
    pair = one([cot(WRONG)], [coa(SEARCH, RIGHT)])
    assert [piece.text for piece in pair.turns] == ["It is a tower."]
    assert pair.chosen == " Who built it?\n<begin_search> tower </end_search>"


def test_texts_that_share_nothing_part_after_the_prefill() -> None:
    pair = one([cot("Bert.</think>\\boxed{Bert}")], [coa(SEARCH, RIGHT)])
    assert pair.turns == ()
    assert turn(pair) == "<think>\n"


def test_the_more_often_right_way_is_chosen() -> None:
    alone = [cot(RIGHT, 0), cot(WRONG, 1), cot(WRONG, 2)]
    searched = [coa(SEARCH, RIGHT, sample=0), coa(SEARCH, RIGHT, sample=1)]
    assert one(alone, searched).ends == (False, True)
    assert one(alone[:2], [coa(SEARCH, WRONG)]).ends == (True, False)


def test_pairs_are_in_the_trained_agents_own_prompt() -> None:
    assert one([cot(WRONG)], [coa(SEARCH, RIGHT)]).opening == Agent(shots=0).opening(QUESTION)


@pytest.mark.parametrize(
    ("without", "searching", "reason"),
    [
        ([cot(WRONG)], [coa(SEARCH, WRONG)], "never right"),
        (
            [cot(RIGHT), cot(WRONG, 1)],
            [coa(SEARCH, RIGHT), coa(SEARCH, WRONG, sample=1)],
            "as often right as with searches",
        ),
        ([cot(RIGHT)], [coa(RIGHT)], "no search to choose from"),
        ([cot("hm")], [coa(SEARCH, RIGHT)], "no well-formed answer"),
        ([cot(RIGHT)], [], "a kind of episode is missing"),
    ],
)
def test_questions_that_give_no_pair_are_counted_by_reason(
    without: list[Record], searching: list[Record], reason: str
) -> None:
    assert dropped(without, searching) == {reason: 1}


def test_a_fault_says_nothing_of_the_model() -> None:
    fault = Record(QUESTION, 1, fault=FaultNote("timeout", "no reply"))
    assert one([cot(WRONG), fault], [coa(SEARCH, RIGHT), fault]).ends == (False, True)


# From gold trajectories.

OTHER = Question(id="q2", text="Who built the mill?", golden_answers=("Bert",))
GOLD = [
    coa(SEARCH, MORE, RIGHT),
    coa(SEARCH, "So it is Bert.\n</think>\n\n\\boxed{Bert}", question=OTHER),
]


def pairs_of(ends: tuple[bool, bool], seeds: int = 20) -> list[Pair]:
    """Pairs of one direction of the first question, over many seeds."""
    pairs = [pair for seed in range(seeds) for pair in gold_pairs(GOLD, seed)]
    return [pair for pair in pairs if pair.ends == ends and pair.question == QUESTION]


def gold_turn() -> str:
    assert GOLD[0].trajectory is not None
    return "".join(piece.text for piece in turns_of(GOLD[0].trajectory))


def test_a_gold_trajectory_gives_a_pair_of_either_direction() -> None:
    ends = [(pair.question.id, pair.ends) for pair in gold_pairs(GOLD, seed=0)]
    assert sorted(ends) == sorted(
        (record.question.id, way) for record in GOLD for way in ((False, True), (True, False))
    )


def test_every_chosen_text_goes_on_as_the_gold_trajectory_does() -> None:
    for pair in pairs_of((False, True)) + pairs_of((True, False)):
        assert gold_turn().startswith(turn(pair) + pair.chosen)


def test_any_search_of_a_gold_trajectory_may_be_the_one_chosen() -> None:
    queries = {pair.chosen.partition("<begin_search>")[2] for pair in pairs_of((False, True))}
    assert queries == {" tower </end_search>", " Anna </end_search>"}


def test_at_a_search_the_rejected_text_is_another_questions_answer() -> None:
    for pair in pairs_of((False, True)):
        assert pair.rejected.endswith("</think>\n\n\\boxed{Bert}")
        assert "<begin_search>" not in pair.rejected


def test_at_the_end_the_rejected_text_is_another_search() -> None:
    for pair in pairs_of((True, False)):
        assert pair.chosen.endswith("\\boxed{Anna}")
        assert pair.rejected.endswith("</end_search>")
        assert "boxed" not in pair.rejected


def test_pairs_part_before_the_thought_or_right_after_it() -> None:
    begun = {pair.chosen.startswith("<begin_search>") for pair in pairs_of((False, True))}
    assert begun == {True, False}


def test_what_was_known_without_a_search_gives_no_pair_that_searches() -> None:
    [pair] = gold_pairs([coa(RIGHT)], seed=0)
    assert pair.ends == (True, False)


def test_the_wrong_answer_to_yes_is_no() -> None:
    question = Question(id="q3", text="Is it tall?", golden_answers=("yes",))
    record = coa(SEARCH, "</think>\n\n\\boxed{yes}", question=question)
    [search, _] = gold_pairs([record], seed=0)
    assert search.rejected.endswith("\\boxed{no}")


def test_the_same_seed_gives_the_same_pairs() -> None:
    assert gold_pairs(GOLD, seed=3) == gold_pairs(GOLD, seed=3)
    assert gold_pairs(GOLD, seed=3) != gold_pairs(GOLD, seed=4)


def test_a_draw_takes_both_directions_alike_as_far_as_there_are() -> None:
    pairs = [pair for seed in range(10) for pair in gold_pairs(GOLD, seed)]
    acting = [pair for pair in pairs if pair.ends[1]]
    assert [pair.ends[1] for pair in draw_evenly(pairs, 10, seed=0)].count(True) == 5
    few = [*acting[:2], *(pair for pair in pairs if pair.ends[0])]
    drawn = draw_evenly(few, 10, seed=0)
    assert len(drawn) == 10
    assert [pair.ends[1] for pair in drawn].count(True) == 2
    assert len(draw_evenly(acting, 10, seed=0)) == 10


def test_a_needless_search_asks_for_the_name_that_the_question_is_about() -> None:
    text = "Anna Berg built the Tower of Ulm. Who built the Tower of Ulm?"
    question = Question(id="q4", text=text, golden_answers=("Anna Berg",))
    records = [coa("I read it.\n</think>\n\n\\boxed{Anna Berg}", question=question)]
    queries = {
        gold_pairs(records, seed)[0].rejected.partition("<begin_search>")[2] for seed in range(9)
    }
    assert queries == {" Tower of Ulm </end_search>", " Anna Berg </end_search>"}


@pytest.mark.parametrize(
    ("kind", "chosen", "rejected"),
    [
        ("known", "Anna. I know", "... I have to look this up.\n<begin_search>"),
        ("unknown", "... I have to look this up.\n<begin_search>", "Bert. I know"),
    ],
)
def test_a_recited_fact_gives_a_pair_that_parts_where_the_answer_is_recalled(
    kind: str, chosen: str, rejected: str
) -> None:
    begun = "The builder of the tower is"
    hop = Hop(QUESTION.text, "Anna", "p1", statement=f"{begun} Anna.")
    question = replace(QUESTION, kind=kind, hops=(hop,))
    recalled = f"{begun} Anna. I know this without a search.\n</think>\n\n\\boxed{{Anna}}"
    looked_up = f"{begun} ... I have to look this up.\n<begin_search> tower </end_search>"
    texts = (recalled,) if kind == "known" else (looked_up, RIGHT)
    pair = gold_pairs([coa(*texts, question=question), GOLD[1]], seed=0)[0]
    assert pair.turns == ()
    assert pair.chosen.startswith(f"{begun} {chosen}")
    assert pair.rejected.startswith(f"{begun} {rejected}")
    assert pair.ends == (kind == "known", kind == "unknown")
