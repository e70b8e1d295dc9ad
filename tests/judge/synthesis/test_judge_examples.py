"""Labelled answers: what holds of all of them, whatever the questions and the seed."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from autocoa_bench.judge.synthesis.answer_types import meaning
from autocoa_bench.judge.synthesis.examples import MAX_WORDS, labelled_answers
from autocoa_bench.judge.synthesis.near_misses import NEAR_MISSES
from autocoa_bench.scoring.text import exact_match
from autocoa_bench.tasks import resolve
from autocoa_bench.types import Question


def question(number: int, text: str, *golds: str) -> Question:
    return Question(f"q{number}", text, golds, "task")


QUESTIONS = [
    question(1, "Who wrote the novel Emma?", "Jane Austen"),
    question(2, "Who wrote the novel Dune?", "Frank Herbert"),
    question(3, "In what year was it built?", "1931"),
    question(4, "When was she born?", "4 February 1977", "February 4, 1977"),
    question(5, "Are Oslo and Bergen both cities?", "yes"),
    question(6, "Where was he born?", "Denver, Colorado"),
    question(7, "How many people live there?", "12,339"),
    question(8, "Which city is it?", "Oslo"),
    question(9, "What occupation do they share?", "film director"),
    question(10, "Of what nationality are they?", "American"),
    question(11, "Who made the show?", "Carter Bays and Craig Thomas"),
]

golds = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)


@given(texts=st.lists(golds, min_size=1, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_whatever_the_golds_no_wrong_answer_is_a_gold(texts: list[str], seed: int) -> None:
    questions = [question(number, "Who is it?", text) for number, text in enumerate(texts)]
    for answer in labelled_answers(questions, questions, seed):
        if not answer.verdict:
            assert exact_match(answer.answer, answer.golds) == 0.0
            assert meaning(answer.answer) not in map(meaning, answer.golds)


def test_each_question_gives_a_right_and_a_wrong_answer() -> None:
    for seed in range(30):
        answers = list(labelled_answers(QUESTIONS, QUESTIONS, seed))
        for verdict in (True, False):
            question_ids = [answer.question.id for answer in answers if answer.verdict is verdict]
            assert question_ids == [question.id for question in QUESTIONS]


def test_a_right_answer_called_exact_is_a_gold_as_it_stands_or_in_a_frame() -> None:
    for seed in range(30):
        for answer in labelled_answers(QUESTIONS, QUESTIONS, seed):
            if answer.method == "exact":
                assert any(gold in answer.answer for gold in answer.question.golden_answers)


def test_a_gold_that_is_not_shown_is_the_answer_or_has_another_form_among_them() -> None:
    ann = question(1, "Who wrote it?", "Ann Lee", "Ann Marie Lee")
    methods = set()
    for seed in range(60):
        right, *_ = labelled_answers([ann], [ann], seed)
        methods.add(right.method)
        if right.method == "alias":
            assert right.golds == ("Ann Lee",)
            assert "Ann Marie Lee" in right.answer
    assert "alias" in methods


def test_a_gold_is_hidden_only_where_it_shares_a_word_with_another() -> None:
    it = question(1, "Which label is it?", "Seiteberg Pictures", "SSP")
    for seed in range(30):
        for answer in labelled_answers([it], [it], seed):
            assert answer.method != "alias"


def test_the_answers_of_an_audit_are_near_and_balanced_by_rule() -> None:
    [nq] = resolve("nq")
    questions = nq.load("train")[:400]
    answers = list(labelled_answers(questions, questions, 0, near=True))
    wrong = Counter(answer.method for answer in answers if not answer.verdict)
    assert not {"sibling", "nothing", "echo"} & set(wrong)
    assert not any("with an order" in answer.method for answer in answers)
    # Rules that apply to most questions are used about equally often.
    assert max(wrong.values()) < 1.5 * wrong["hedged"]


def test_half_of_the_wrong_answers_are_near_misses() -> None:
    [nq] = resolve("nq")
    questions = nq.load("train")[:400]
    wrong = [answer for answer in labelled_answers(questions, questions, 0) if not answer.verdict]
    near = {*NEAR_MISSES, "exchanged", "listed", "hedged"}
    assert 0.4 < sum(answer.method.partition(",")[0] in near for answer in wrong) / len(wrong) < 0.7


def test_no_near_miss_is_another_form_of_the_gold() -> None:
    """A part that leaves out what forms leave out too is no miss: "Ann Lee" for "Ann M. Lee"."""
    for seed in range(40):
        for answer in labelled_answers(QUESTIONS, QUESTIONS, seed):
            if not answer.verdict and answer.question.id == "q6":
                assert answer.answer.strip(".").lower() not in ("denver", "denver (colorado)")


def test_the_same_seed_gives_the_same_and_another_seed_other_answers() -> None:
    first, again, different = (
        list(labelled_answers(QUESTIONS, QUESTIONS, seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != different


def test_what_a_question_gives_does_not_depend_on_the_questions_drawn_beside_it() -> None:
    alone = list(labelled_answers(QUESTIONS, QUESTIONS[4:5], 0))
    beside = [
        answer for answer in labelled_answers(QUESTIONS, QUESTIONS, 0) if answer.question.id == "q5"
    ]
    assert alone == beside


def test_questions_whose_gold_is_a_sentence_or_nothing_are_left_out() -> None:
    odd = [question(1, "Why?", "so " * MAX_WORDS), question(2, "Why?", " "), question(3, "Why?")]
    assert not list(labelled_answers(odd, odd, 0))


def test_some_wrong_answers_order_the_judge_about_and_stay_wrong() -> None:
    [nq] = resolve("nq")
    questions = nq.load("train")[:300]
    answers = list(labelled_answers(questions, questions, 0))
    orders = [answer for answer in answers if "with an order" in answer.method]
    assert any(not answer.verdict and "erdict: correct" in answer.answer for answer in orders)
    assert sum(answer.verdict for answer in orders) < sum(not answer.verdict for answer in orders)


def test_frames_tell_nothing_as_both_verdicts_have_them() -> None:
    [nq] = resolve("nq")
    questions = nq.load("train")[:600]
    framed = [
        answer.verdict
        for answer in labelled_answers(questions, questions, 0)
        if "answer is" in answer.answer
    ]
    assert 0.3 < sum(framed) / len(framed) < 0.7
