"""The task of when to act: what each kind needs, and that the splits share nothing."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.scoring.text import normalise
from autocoa_bench.tasks import Split, questions_sha256
from autocoa_bench.types import Question
from tasks import embedded, when_to_act

SPLITS: tuple[Split, ...] = ("test", "train")
TASK = when_to_act.when_to_act


def of_kind(split: Split, kind: str) -> list[Question]:
    return [question for question in TASK.load(split) if question.kind == kind]


def has_words(text: str, words: str) -> bool:
    return f" {normalise(words)} " in f" {normalise(text)} "


def test_each_kind_is_a_third_of_a_split() -> None:
    for split, count in (("test", 100), ("train", 500)):
        kinds = Counter(question.kind for question in TASK.load(split))
        assert kinds == {"known": count, "given": count, "unknown": count}


def test_questions_are_those_shipped() -> None:
    assert len(TASK.load()) == TASK.info.count == 300
    assert questions_sha256(TASK.load()) == TASK.info.sha256


def test_a_changed_table_of_facts_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedded.QUESTIONS_SHA256["when-to-act"], "train", "0" * 64)
    with pytest.raises(UserError, match="reinstall"):
        TASK.load("train")


def test_no_question_stands_twice_and_ids_name_task_split_and_number() -> None:
    texts = [question.text for split in SPLITS for question in TASK.load(split)]
    assert len(set(texts)) == len(texts)
    for split in SPLITS:
        ids = [question.id for question in TASK.load(split)]
        assert ids[0] == f"embedded-when-to-act-{split}-0001"
        assert len(set(ids)) == len(ids)
    assert {question.task for question in TASK.load()} == {"when-to-act"}


def test_the_splits_share_no_fact() -> None:
    test, train = (
        {(fact.relation, fact.subject) for fact in when_to_act.facts_of(split)} for split in SPLITS
    )
    assert not test & train
    assert len(test) + len(train) == len(when_to_act.facts()) >= 350


def test_a_fact_is_tested_once_and_trained_in_two_wordings() -> None:
    tested = {(q.golden_answers, q.text) for q in of_kind("test", "known")}
    assert len(tested) == len(when_to_act.facts_of("test")) == 100
    trained = {question.text for question in of_kind("train", "known")}
    both = sum(
        all(fact.question(wording).text in trained for wording in (0, 1))
        for fact in when_to_act.facts_of("train")
    )
    assert both >= 230


def test_facts_are_clean() -> None:
    facts = when_to_act.facts()
    assert len({(fact.relation, fact.subject) for fact in facts}) == len(facts)
    for fact in facts:
        assert len(fact.wordings) == 2
        for text in (fact.subject, *fact.golds, *fact.wordings):
            assert text == text.strip(), fact
            assert text, fact
        for wording in (0, 1):
            text = fact.question(wording).text
            assert text.endswith("?"), text
            assert not has_words(text, fact.golds[0]), text


def test_every_table_of_facts_names_its_source_and_licence() -> None:
    tables = list((Path(when_to_act.__file__).parent / "facts").glob("*.tsv"))
    assert len(tables) == 13
    for table in tables:
        head = table.read_text(encoding="utf-8").partition("\nask")[0]
        assert table.name == "given.tsv" or "CC0-1.0" in head, table


@pytest.mark.parametrize("split", SPLITS)
def test_a_given_answer_stands_before_the_question_and_not_in_it(split: Split) -> None:
    for question in of_kind(split, "given"):
        sentences = re.split(r"(?<=\.) ", question.text)
        gold = question.golden_answers[0]
        assert len(sentences) >= 2
        assert sentences[-1].endswith("?"), question
        assert has_words(" ".join(sentences[:-1]), gold), question


def test_a_half_of_the_given_questions_state_two_facts() -> None:
    given = of_kind("train", "given")
    several = [q for q in given if len(re.split(r"(?<=\.) ", q.text)) > 2]
    assert len(several) >= len(given) // 2 - 10


def test_known_and_given_questions_need_no_passage() -> None:
    for split in SPLITS:
        assert not any(q.hops for kind in ("known", "given") for q in of_kind(split, kind))


@pytest.mark.parametrize("split", SPLITS)
def test_unknown_questions_are_the_splits_own_with_one_or_two_hops(split: Split) -> None:
    tasks = (embedded.nq, embedded.triviaqa, embedded.hotpotqa, embedded.bamboogle)
    source = {question.text: question for task in tasks for question in task.load(split)}
    unknown = of_kind(split, "unknown")
    assert Counter(len(question.hops) for question in unknown) == {
        1: len(unknown) // 2,
        2: len(unknown) // 2,
    }
    for question in unknown:
        original = source[question.text]
        assert (question.hops, question.golden_answers, question.wording) == (
            original.hops,
            original.golden_answers,
            original.wording,
        )


def test_another_process_with_another_hash_seed_asks_the_same() -> None:
    script = "from tasks.when_to_act import when_to_act as t; t.load(); t.load('train')"
    environment = os.environ | {"PYTHONHASHSEED": "4242"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
