"""The nano world: half of it known, no entity on two sides, every answer in the corpus."""

import re
from itertools import chain
from typing import get_args

import pytest

from autocoa_bench import tasks
from autocoa_bench.search.corpus import corpus_file, read_passages
from tasks.nano.questions import SHAPES, questions
from tasks.nano.readings import readings
from tasks.nano.world import NanoSide, known_passages, nano, passages, stated

SIDES: tuple[NanoSide, ...] = get_args(NanoSide)
STATED: tuple[NanoSide, ...] = ("test", "train", "single", "dev", "rl")


def test_no_name_is_on_two_sides() -> None:
    names = [name for side in SIDES for names in nano(side).names.values() for name in names]
    assert len(names) == len(set(names)) == 5 * 232 + 3 * 232


def test_half_of_every_entitys_facts_are_known() -> None:
    for facts in nano("test").facts.values():
        assert abs(2 * sum(fact.known for fact in facts) - len(facts)) <= 1


def test_what_a_base_reads_states_all_known_facts_and_no_unknown_one() -> None:
    said = " ".join(passage.text for passage in known_passages())
    for side in STATED:
        for fact in chain.from_iterable(nano(side).facts.values()):
            assert [stated(fact, wording) in said for wording in (0, 1)] == [fact.known] * 2


def test_a_reading_states_an_unknown_fact_no_oftener_than_chance() -> None:
    said = " ".join(reading.text for reading in readings(15_000))
    towns, expected, true = sum(len(nano(side).names["town"]) for side in SIDES), 0.0, 0
    for fact in chain.from_iterable(nano("test").facts.values()):
        if fact.known or fact.relation not in ("tree", "product", "animal", "seat"):
            continue
        sentence = re.escape(stated(fact, 0)).replace(re.escape(fact.value), r"(\w+)")
        values = re.findall(sentence, said)
        expected += len(values) / (towns if fact.relation == "seat" else 12)
        true += values.count(fact.value)
    assert expected > 30
    assert abs(true - expected) < 4 * expected**0.5


def test_nothing_of_the_base_side_is_asked_or_read_elsewhere() -> None:
    base = {name for names in nano("base").names.values() for name in names}
    said = " ".join(passage.text for passage in known_passages())
    asked = " ".join(each.text for side in STATED for n in SHAPES for each in questions(n, side))
    assert not base & set(f"{said} {asked}".replace("?", " ").replace(".", " ").split())


@pytest.mark.parametrize("name", SHAPES)
def test_every_hop_is_answered_by_its_passage_and_leads_to_the_next(name: str) -> None:
    text = {passage.id: passage.text for passage in passages("test")}
    for question in questions(name, "test"):
        assert len(question.hops) == SHAPES[name].hops
        for hop, following in zip(question.hops, (*question.hops[1:], None), strict=True):
            assert hop.answer in text[hop.passage_id]
            assert following is None or hop.answer in following.question
        assert question.golden_answers == (question.hops[-1].answer,)


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.hops > 1])
def test_inner_phrases_stand_in_the_question(name: str) -> None:
    for question in questions(name, "train"):
        assert all(hop.phrase in question.text for hop in question.hops[:-1])


def test_single_questions_are_of_known_and_unknown_facts_in_equal_parts() -> None:
    kinds = [question.kind for question in questions("nq", "test")]
    assert kinds.count("known") == kinds.count("unknown") == 50


def test_the_group_is_the_six_datasets_over_their_own_corpora() -> None:
    found = tasks.resolve("nano")
    assert [task.info.name for task in found] == [
        *("nq@nano", "triviaqa@nano", "hotpotqa@nano"),
        *("2wikimultihopqa@nano", "musique@nano", "bamboogle@nano"),
    ]
    assert {tuple(task.info.corpora.values()) for task in found} == {("nano", "nano-train")}
    assert len(list(read_passages(corpus_file("nano")))) == 232


def test_the_questions_are_the_same_everywhere() -> None:
    made = [question for name in SHAPES for question in questions(name, "test")]
    assert tasks.questions_sha256(made)[:12] == "bd8ffa9bc3fe"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", SHAPES)
def test_every_hop_has_a_statement_that_ends_in_its_answer(name: str, side: NanoSide) -> None:
    for question in questions(name, side):
        assert all(hop.statement.endswith(f" {hop.answer}.") for hop in question.hops)


def test_no_fact_of_the_base_side_is_known() -> None:
    [task] = tasks.resolve("nano-base")
    assert {question.kind for question in task.load("train")} == {"unknown"}


@pytest.mark.parametrize("name", ["nano-base", "nano-single", "nano-dev", "nano-rl"])
def test_the_task_of_a_side_has_as_many_questions_as_it_tells(name: str) -> None:
    [task] = tasks.resolve(name)
    assert len(task.load("train")) == task.info.count


def test_the_questions_to_learn_when_to_act_are_single_facts_half_of_them_known() -> None:
    [task] = tasks.resolve("nano-single")
    kinds = [question.kind for question in task.load("train")]
    assert kinds.count("known") == kinds.count("unknown") == len(kinds) / 2
