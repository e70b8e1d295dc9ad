"""The generated questions: gold chains hold, answers are unique, nothing is given away."""

import re
from collections import Counter
from itertools import pairwise, product

import pytest

from autocoa_bench.types import Question
from tasks.closed_world.encyclopedia import encyclopedia
from tasks.closed_world.entities import Entity, Side
from tasks.closed_world.questions.build import COUNTS, all_questions
from tasks.closed_world.text.paraphrases import paraphrases
from tasks.closed_world.text.wordings import wordings

MULTIHOP = ("hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
CHAINED = ("bridge", "compositional", "inference", "2hop", "3hop1", "4hop1")
PAIRED = ("comparison", "bridge_comparison")

SETS: dict[tuple[str, Side], tuple[Question, ...]] = {
    (task, side): all_questions(task, side) for task in COUNTS for side in ("test", "train")
}


def of_kinds(task: str, side: Side, kinds: tuple[str, ...]) -> list[Question]:
    return [question for question in SETS[task, side] if question.kind in kinds]


def passage(side: Side, passage_id: str) -> str:
    return encyclopedia(side).articles[passage_id].passage.text


def mentions(text: str, words: str) -> bool:
    words, text = words.lower(), text.lower()
    return words in text and re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


@pytest.mark.parametrize(("task", "side"), SETS)
def test_every_hop_is_answered_verbatim_in_its_gold_passage(task: str, side: Side) -> None:
    for question in SETS[task, side]:
        for hop in question.hops:
            assert mentions(passage(side, hop.passage_id), hop.answer), question


@pytest.mark.parametrize(("task", "side"), SETS)
def test_gold_answers_are_short_and_stand_in_the_last_gold_passage(task: str, side: Side) -> None:
    for question in SETS[task, side]:
        assert len(question.golden_answers[0].split()) <= 8
        if question.kind in PAIRED:
            gold = question.golden_answers[0]
            assert gold in ("yes", "no") or mentions(question.text, gold)
        else:
            assert question.golden_answers[0] == question.hops[-1].answer


@pytest.mark.parametrize(("task", "side"), [*product(MULTIHOP, ("test", "train"))])
def test_chains_lead_from_answer_to_next_sub_question(task: str, side: Side) -> None:
    for question in of_kinds(task, side, CHAINED):
        for first, second in pairwise(question.hops):
            assert mentions(second.question, first.answer), question
            assert mentions(passage(side, second.passage_id), first.answer), question


@pytest.mark.parametrize("side", ["test", "train"])
def test_joins_use_both_branches(side: Side) -> None:
    for question in of_kinds("musique", side, ("3hop2",)):
        left, right, last = question.hops
        for answer in (left.answer, right.answer):
            assert mentions(last.question, answer), question
            assert mentions(passage(side, last.passage_id), answer), question


@pytest.mark.parametrize("side", ["test", "train"])
def test_bridge_comparisons_ask_both_makers_then_both_facts(side: Side) -> None:
    for question in of_kinds("2wikimultihopqa", side, ("bridge_comparison",)):
        first, second, third, fourth = question.hops
        assert mentions(third.question, first.answer)
        assert mentions(fourth.question, second.answer)


@pytest.mark.parametrize(("task", "side"), SETS)
def test_questions_give_away_neither_the_answer_nor_a_bridge(task: str, side: Side) -> None:
    for question in SETS[task, side]:
        if question.kind not in PAIRED:
            for gold in question.golden_answers:
                assert not mentions(question.text, gold), question
        for hop in question.hops:
            assert not mentions(question.text, hop.answer), question


@pytest.mark.parametrize(
    ("task", "side"), [(task, side) for task, side in SETS if task in MULTIHOP]
)
def test_every_hop_needs_a_passage_of_its_own(task: str, side: Side) -> None:
    for question in SETS[task, side]:
        passages = [hop.passage_id for hop in question.hops]
        assert len(set(passages)) == len(passages) >= 2


def test_no_question_is_asked_twice() -> None:
    texts = Counter(question.text.lower().strip("?") for made in SETS.values() for question in made)
    assert [text for text, times in texts.items() if times > 1] == []


def test_no_two_tasks_ask_the_same_chain_of_two() -> None:
    for side in ("test", "train"):
        chains = Counter(
            tuple((hop.passage_id, hop.answer) for hop in question.hops)
            for task in MULTIHOP
            for question in SETS[task, side]
            if len(question.hops) == 2 and question.kind not in PAIRED
        )
        # Two different relations may lead the same way: to be born and to die in one town.
        assert sum(times - 1 for times in chains.values()) <= len(chains) // 500


def inverse_counts(side: Side) -> Counter[tuple[str, str]]:
    return Counter(
        (kind, target)
        for entity in encyclopedia(side).world.values()
        for kind, relation in (
            ("directed", "film.director"),
            ("wrote", "novel.author"),
            ("company_founded", "company.founder"),
            ("designed", "building.architect"),
            ("mayor_of", "town.mayor"),
            ("child", "person.father"),
            ("child", "person.mother"),
        )
        if relation.startswith(f"{entity.kind}.")
        for target in [entity.ref(relation.split(".")[1])]
        if target is not None
    )


@pytest.mark.parametrize("side", ["test", "train"])
def test_backward_relations_have_one_answer_in_the_whole_world(side: Side) -> None:
    counts = inverse_counts(side)
    checked = 0
    for statement in encyclopedia(side).statements:
        relation = statement.section.removeprefix("person.")
        if relation in ("directed", "wrote", "company_founded", "designed", "mayor_of", "child"):
            assert counts[relation, statement.about] == 1
            checked += 1
    assert checked > 200


@pytest.mark.parametrize("side", ["test", "train"])
def test_a_statement_names_what_it_is_about(side: Side) -> None:
    book = encyclopedia(side)
    for statement in book.statements:
        assert mentions(book.text(statement.passage), book.world[statement.about].name)


@pytest.mark.parametrize("side", ["test", "train"])
def test_forward_relations_have_one_answer_in_the_whole_world(side: Side) -> None:
    keys = Counter(statement.key for statement in encyclopedia(side).statements)
    assert set(keys.values()) == {1}


@pytest.mark.parametrize("side", ["test", "train"])
def test_joins_single_out_one_thing_in_the_whole_world(side: Side) -> None:
    world = encyclopedia(side).world
    for question in of_kinds("musique", side, ("3hop2",)):
        answer = world[question.hops[-1].passage_id]
        goals = [goal for goal in _targets(answer) if _named(world[goal], question)]
        same = [
            one
            for one in world.values()
            if one.kind == answer.kind and set(goals) <= set(_targets(one))
        ]
        assert len(goals) >= 2
        assert same == [answer], question


def _targets(entity: Entity) -> list[str]:
    return [target for relation in entity.facts if (target := entity.ref(relation)) is not None]


def _named(entity: Entity, question: Question) -> bool:
    answers = {question.hops[0].answer, question.hops[1].answer}
    return bool(answers & {entity.name, *entity.aliases})


@pytest.mark.parametrize("side", ["test", "train"])
@pytest.mark.parametrize("task", ["hotpotqa", "2wikimultihopqa"])
def test_comparisons_are_balanced(task: str, side: Side) -> None:
    asked = of_kinds(task, side, PAIRED)
    verdicts = Counter(question.golden_answers[0] for question in asked)
    assert abs(verdicts["yes"] - verdicts["no"]) <= len(asked) // 10
    which = [one for one in asked if one.golden_answers[0] not in ("yes", "no")]
    assert 0.4 <= len(which) / len(asked) <= 0.6
    world = encyclopedia(side).world
    first = sum(
        world[question.hops[0].passage_id].name == question.golden_answers[0] for question in which
    )
    assert 0.45 <= first / len(which) <= 0.55


@pytest.mark.parametrize("task", COUNTS)
def test_a_third_of_test_wordings_and_no_training_wording_is_held_out(task: str) -> None:
    held_out = sum(question.wording == "held-out" for question in SETS[task, "test"])
    assert 0.30 <= held_out / len(SETS[task, "test"]) <= 0.36
    assert {question.wording for question in SETS[task, "train"]} == {"shared"}


def skeleton(question: Question) -> str:
    """The question's wording: its text without names, numbers and the sorts of thing."""
    return " ".join(re.findall(r"\b[a-z'-]+", re.sub(r"\b[A-Z][\w']*", "", question.text[1:])))


@pytest.mark.parametrize("task", [task for task in COUNTS if task != "nq"])
def test_training_never_words_a_question_as_a_held_out_one(task: str) -> None:
    trained = {skeleton(question) for question in SETS[task, "train"]}
    held_out = [one for one in SETS[task, "test"] if one.wording == "held-out"]
    assert [one.text for one in held_out if skeleton(one) in trained] == []


def test_held_out_lines_are_never_shared_lines_too() -> None:
    for section, lines in wordings("questions").items():
        shared = {line for sort, found in lines.items() if sort[-1] != "*" for line in found}
        starred = {line for sort, found in lines.items() if sort[-1] == "*" for line in found}
        assert not shared & starred, section


def test_wordings_for_training_alone_are_neither_shared_nor_held_out_lines() -> None:
    others = {
        line.lower()
        for lines in wordings("questions").values()
        for sort, found in lines.items()
        if sort[-1] == "*"
        for line in found
    }
    shared = wordings("questions")
    for section, lines in wordings("training").items():
        for sort, found in lines.items():
            assert not {line.lower() for line in found} & others, section
            assert not set(found) & set(shared[section][sort]), section


def test_wordings_for_training_alone_ask_about_what_the_shared_ones_ask_about() -> None:
    shared = wordings("questions")
    for section, lines in wordings("training").items():
        for sort, found in lines.items():
            blanks = {frozenset(re.findall(r"{(\w)}", line)) for line in shared[section][sort]}
            for line in found:
                assert frozenset(re.findall(r"{(\w)}", line)) in blanks, line


def test_training_questions_alone_use_the_wordings_for_training() -> None:
    tail = "was born when"
    assert tail in wordings("training")["person.born"]["tail"]
    ends = {
        side: sum(one.text.endswith(f"{tail}?") for one in SETS["hotpotqa", side])
        for side in ("train", "test")
    }
    assert ends["train"] > 0
    assert ends["test"] == 0


def test_no_rule_rewords_a_template_as_a_held_out_one() -> None:
    files = (wordings("questions"), wordings("training"))
    templates = [
        (line, sort)
        for file in files
        for lines in file.values()
        for sort, found in lines.items()
        if sort[-1] != "*"
        for line in found
    ]
    held_out = {
        line
        for lines in wordings("questions").values()
        for sort, found in lines.items()
        if sort[-1] == "*"
        for line in found
    }
    results = {text for line, _ in templates for text in paraphrases(line)}
    assert len(results) > 3000
    assert not results & held_out


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("the director of {x}", "{x}'s director"),
        ("the person who directed {x}", "the individual who directed {x}"),
        ("Who is the director of {x}?", "The director of {x} is who?"),
        ("When was {x} born?", "{x} was born when?"),
        ("When was {x} born?", "Do you know when {x} was born?"),
        ("Which town is the capital of {x}?", "Tell me, which town is the capital of {x}?"),
        ("was born in which town", "was born in which locality"),
    ],
)
def test_rules_reword_templates(template: str, result: str) -> None:
    assert result in paraphrases(template)


def test_train_questions_are_reworded_and_test_questions_are_not() -> None:
    frames = {
        side: sum(one.text.startswith("Tell me, ") for one in SETS["2wikimultihopqa", side])
        for side in ("train", "test")
    }
    assert frames["train"] > 50
    assert frames["test"] == 0


def test_the_sub_questions_of_a_relation_have_one_wording_in_training() -> None:
    starts = {
        hop.question.partition(" the film ")[0]
        for one in SETS["musique", "train"]
        for hop in one.hops
        if hop.phrase.startswith("the director of the film")
    }
    assert starts == {"Who directed"}


def test_every_relation_is_asked_in_at_least_four_wordings() -> None:
    for section, lines in wordings("questions").items():
        assert len(lines["ask"]) >= 4, section
        assert len(lines["ask*"]) >= 2, section


def test_kinds_are_those_of_the_real_datasets() -> None:
    kinds = {task: {one.kind for one in SETS[task, "test"]} for task in MULTIHOP}
    assert kinds == {
        "hotpotqa": {"bridge", "comparison"},
        "2wikimultihopqa": {"compositional", "inference", "comparison", "bridge_comparison"},
        "musique": {"2hop", "3hop1", "3hop2", "4hop1"},
        "bamboogle": {"2hop"},
    }


@pytest.mark.parametrize("task", COUNTS)
def test_many_relations_are_asked(task: str) -> None:
    skeletons = {skeleton(question) for question in SETS[task, "test"]}
    assert len(skeletons) >= 0.3 * len(SETS[task, "test"]) or task == "nq"


def test_trivia_golds_include_aliases() -> None:
    aliased = [one for one in SETS["triviaqa", "test"] if len(one.golden_answers) > 1]
    assert len(aliased) > 25


def test_search_box_questions_are_lower_case_without_question_mark() -> None:
    for question in SETS["nq", "test"]:
        assert question.text == question.text.lower().rstrip("?")
