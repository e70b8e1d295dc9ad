"""Question files as their datasets publish them: one table of shapes, one of refused rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.tasks import FileTask
from autocoa_bench.tasks.answer_fields import golden_answers
from autocoa_bench.types import Question

EMMA = "Who wrote Emma?"
AUSTEN = ("Jane Austen",)


def load(path: Path, content: object) -> FileTask:
    """The task of a file with text, an array of rows or rows line by line, as its name tells."""
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif path.suffix == ".jsonl":
        assert isinstance(content, list)
        path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    return FileTask(path)


def only(path: Path, content: object) -> Question:
    [question] = load(path, content).load()
    return question


HOTPOT = {
    "_id": "5a7a06935542990198eaf050",
    "question": EMMA,
    "answer": "Jane Austen",
    "type": "bridge",
    "level": "medium",
    "supporting_facts": [["Emma (novel)", 0], ["Jane Austen", 2]],
    "context": [["Emma (novel)", ["Emma is a novel.", " It is by Jane Austen."]]],
}
MUSIQUE = {
    "id": "2hop__1_2",
    "paragraphs": [
        {"idx": 0, "title": "Owls", "paragraph_text": "x", "is_supporting": False},
        {"idx": 1, "title": "Emma", "paragraph_text": "y", "is_supporting": True},
    ],
    "question": EMMA,
    "question_decomposition": [
        {"id": 1, "question": "Emma >> author", "answer": "Jane", "paragraph_support_idx": 1}
    ],
    "answer": "Jane Austen",
    "answer_aliases": ["Austen", "Jane Austen"],
    "answerable": True,
}
TRIVIA = {
    "Question": EMMA,
    "QuestionId": "tc_2",
    "QuestionSource": "http://www.triviacountry.com/",
    "Answer": {
        "Aliases": ["Jane Austen", "Miss Austen"],
        "NormalizedAliases": ["jane austen", "miss austen"],
        "Value": "Jane Austen",
        "Type": "WikipediaEntity",
    },
}
SQUAD = {
    "title": "Emma",
    "paragraphs": [
        {
            "context": "Emma is a novel by Jane Austen.",
            "qas": [{"id": "s1", "question": EMMA, "answers": [{"text": "Jane Austen"}]}],
        }
    ],
}
SEARCH_R1 = {
    "id": "test_0",
    "question": EMMA,
    "golden_answers": ["Jane Austen"],
    "data_source": "nq",
    "prompt": [{"role": "user", "content": "Answer the given question. Question: Who wrote Emma?"}],
    "reward_model": {"ground_truth": {"target": ["Jane Austen"]}, "style": "rule"},
    "extra_info": {"index": 0, "split": "test"},
}


def verl(content: object = EMMA, **changed: Any) -> dict[str, Any]:
    return {
        "data_source": "nq",
        "prompt": [{"role": "user", "content": content}],
        "reward_model": {"style": "rule", "ground_truth": {"target": ["Jane Austen"]}},
        "extra_info": {"index": 0, "split": "test"},
    } | changed


PUBLISHED: dict[str, tuple[str, object, Question]] = {
    "HotpotQA": (
        "hotpot_dev.json",
        [HOTPOT],
        Question(
            HOTPOT["_id"], EMMA, AUSTEN, kind="bridge", gold_titles=("Emma (novel)", "Jane Austen")
        ),
    ),
    "2WikiMultihopQA": (
        "dev.json",
        [HOTPOT | {"type": "inference", "evidences": [["Emma", "author", "Jane Austen"]]}],
        Question(
            HOTPOT["_id"],
            EMMA,
            AUSTEN,
            kind="inference",
            gold_titles=("Emma (novel)", "Jane Austen"),
        ),
    ),
    "2WikiMultihopQA with columns of JSON": (
        "dev.jsonl",
        [HOTPOT | {"supporting_facts": json.dumps(HOTPOT["supporting_facts"]), "context": "[]"}],
        Question(
            HOTPOT["_id"], EMMA, AUSTEN, kind="bridge", gold_titles=("Emma (novel)", "Jane Austen")
        ),
    ),
    "MuSiQue": (
        "musique_ans.jsonl",
        [MUSIQUE],
        Question("2hop__1_2", EMMA, ("Jane Austen", "Austen"), gold_titles=("Emma",)),
    ),
    "TriviaQA": (
        "verified.json",
        {"Data": [TRIVIA], "Domain": "Web", "VerifiedEval": True},
        Question("tc_2", EMMA, ("Jane Austen", "Miss Austen")),
    ),
    "TriviaQA on the Hub": (
        "t.jsonl",
        [
            {
                "question_id": "tc_2",
                "question": EMMA,
                "answer": {
                    "aliases": ["Miss Austen"],
                    "value": "Jane Austen",
                    "normalized_aliases": [],
                },
            }
        ],
        Question("tc_2", EMMA, ("Jane Austen", "Miss Austen")),
    ),
    "SQuAD": ("dev.json", {"version": "1.1", "data": [SQUAD]}, Question("s1", EMMA, AUSTEN)),
    "SQuAD on the Hub": (
        "s.jsonl",
        [
            {
                "id": "s1",
                "question": EMMA,
                "answers": {"text": ["Jane Austen"], "answer_start": [19]},
            }
        ],
        Question("s1", EMMA, AUSTEN),
    ),
    "MRQA": (
        "m.jsonl",
        [
            {"header": {"dataset": "NQ"}},
            {"context": "c", "qas": [{"qid": "m1", "question": EMMA, "answers": ["Jane Austen"]}]},
        ],
        Question("m1", EMMA, AUSTEN),
    ),
    "KILT": (
        "nq-dev-kilt.jsonl",
        [
            {
                "id": "k1",
                "input": EMMA,
                "output": [
                    {"answer": "Jane Austen", "provenance": [{"title": "Emma"}]},
                    {"provenance": [{"title": "Emma"}]},
                ],
            }
        ],
        Question("k1", EMMA, AUSTEN),
    ),
    "Search-R1": ("train.jsonl", [SEARCH_R1], Question("test_0", EMMA, AUSTEN)),
    "verl with a target": ("v.jsonl", [verl()], Question("0", EMMA, AUSTEN)),
    "verl with JSON in its columns": (
        "v.csv",
        "prompt,reward_model,extra_info\n"
        '"[{""role"": ""user"", ""content"": ""Who wrote Emma?""}]",'
        '"{""ground_truth"": {""target"": [""Jane Austen""]}}","{""index"": 3}"\n',
        Question("3", EMMA, AUSTEN),
    ),
    "verl with parts of content": (
        "v.jsonl",
        [verl([{"type": "text", "text": EMMA}])],
        Question("0", EMMA, AUSTEN),
    ),
    "verl with a number": (
        "v.jsonl",
        [verl("How many?", reward_model={"ground_truth": 72})],
        Question("0", "How many?", ("72",)),
    ),
    "BEIR queries with answers": (
        "queries.jsonl",
        [{"_id": "q1", "text": EMMA, "metadata": {"answer": "Jane Austen"}}],
        Question("q1", EMMA, AUSTEN),
    ),
    "StrategyQA": (
        "strategyqa.json",
        [{"qid": "b8677", "term": "Emma", "question": "Is Emma a novel?", "answer": True}],
        Question("b8677", "Is Emma a novel?", ("yes",)),
    ),
    "PopQA": (
        "test.tsv",
        "id\tsubj\tprop\tquestion\tpossible_answers\n"
        '4222362\tEmma\tauthor\tWho wrote Emma?\t"[""Jane Austen"", ""Austen""]"\n',
        Question("4222362", EMMA, ("Jane Austen", "Austen")),
    ),
    "WebQuestions": (
        "w.json",
        [
            {
                "utterance": EMMA,
                "targetValue": '(list (description "Jane Austen") (description Jane))',
            }
        ],
        Question("", EMMA, ("Jane Austen", "Jane")),
    ),
    "Bamboogle": (
        "bamboogle.csv",
        "Question,Answer\nWho wrote Emma?,Jane Austen\n",
        Question("", EMMA, AUSTEN),
    ),
    "SimpleQA": (
        "simple_qa_test_set.csv",
        "metadata,problem,answer\n"
        "\"{'topic': 'Art', 'answer_type': 'Person'}\",Who wrote Emma?,Jane Austen\n",
        Question("", EMMA, AUSTEN),
    ),
    "FRAMES": (
        "test.tsv",
        "\tPrompt\tAnswer\twiki_links\n0\tWho wrote Emma?\tJane Austen\t['https://a']\n",
        Question("", EMMA, AUSTEN),
    ),
    "DPR's questions": (
        "nq-test.qa.csv",
        "Who wrote Emma?\t['Jane Austen', \"Austen\"]\n",
        Question("", EMMA, ("Jane Austen", "Austen")),
    ),
    "Alpaca": (
        "a.json",
        [{"instruction": EMMA, "input": "", "output": "Jane Austen"}],
        Question("", EMMA, AUSTEN),
    ),
    "rows of the Hub's viewer": (
        "v.json",
        {"rows": [{"row_idx": 0, "row": {"question": EMMA, "answer": "Jane Austen"}}]},
        Question("", EMMA, AUSTEN),
    ),
    "columns of lists": (
        "c.json",
        {"question": [EMMA], "answer": ["Jane Austen"]},
        Question("", EMMA, AUSTEN),
    ),
    "columns of pandas": (
        "c.json",
        {"question": {"0": EMMA}, "answer": {"0": "Jane Austen"}},
        Question("", EMMA, AUSTEN),
    ),
    "rows by id": (
        "c.json",
        {"q7": {"question": EMMA, "answer": "Jane Austen"}},
        Question("q7", EMMA, AUSTEN),
    ),
    "a list under any name": (
        "c.json",
        {"bamboogle": [{"question": EMMA, "answer": "Jane Austen"}]},
        Question("", EMMA, AUSTEN),
    ),
    "metadata as JSON": (
        "m.jsonl",
        [
            {
                "question": EMMA,
                "answer": "Jane Austen",
                "metadata": json.dumps({"type": "bridge", "supporting_titles": ["Emma"]}),
            }
        ],
        Question("", EMMA, AUSTEN, kind="bridge", gold_titles=("Emma",)),
    ),
    "metadata in Python": (
        "m.jsonl",
        [{"question": EMMA, "answer": "Jane Austen", "metadata": "{'type': 'bridge'}"}],
        Question("", EMMA, AUSTEN, kind="bridge"),
    ),
    "one object over several lines": (
        "c.jsonl",
        json.dumps({"id": 1, "question": EMMA, "answer": "Jane Austen"}, indent=1),
        Question("1", EMMA, AUSTEN),
    ),
    "an array named as lines": (
        "c.jsonl",
        json.dumps([{"id": 1, "question": EMMA, "answer": "Jane Austen"}], indent=1),
        Question("1", EMMA, AUSTEN),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_question_file_is_read(tmp_path: Path, name: str) -> None:
    file, content, wanted = PUBLISHED[name]
    question = only(tmp_path / file, content)
    assert question.id
    assert question.task == FileTask(tmp_path / file).info.name
    changed = {"task": "", "id": wanted.id and question.id}
    assert msgspec.structs.replace(question, **changed) == wanted


@pytest.mark.parametrize(
    "field", ["question", "query", "Question", "problem", "input", "user_input"]
)
@pytest.mark.parametrize(
    "answers",
    ["answer", "answers", "golden_answers", "target", "Gold Answer", "answers_spans", "nq_answer"],
)
def test_a_question_and_its_answer_are_read_under_usual_names(
    tmp_path: Path, field: str, answers: str
) -> None:
    question = only(tmp_path / "q.jsonl", [{field: f" {EMMA}\n", answers: "Jane Austen"}])
    assert (question.text, question.golden_answers) == (EMMA, AUSTEN)


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        ("Jane Austen", ["Jane Austen"]),
        (["a", "b"], ["a", "b"]),
        (["a|b; c"], ["a|b; c"]),
        ([["a", "b"]], ["a", "b"]),
        ([{"text": "a"}, {"answer": "b"}, {"value": "c"}], ["a", "b", "c"]),
        ({"text": ["a", "b"], "answer_start": [1, 2]}, ["a", "b"]),
        ({"target": ["a"]}, ["a"]),
        ({"value": "a", "aliases": ["a", "b"]}, ["a", "b"]),
        ({"spans": [], "number": "5", "date": {}}, ["5"]),
        ({"spans": ["a"], "number": "", "date": {}}, ["a"]),
        (True, ["yes"]),
        (False, ["no"]),
        (1947, ["1947"]),
        (1947.0, ["1947"]),
        (2.5, ["2.5"]),
        ([1947, "1947"], ["1947", "1947"]),
        ('["a", "b"]', ["a", "b"]),
        ("['a', \"b's\"]", ["a", "b's"]),
        ("['a' 'b']", ["a", "b"]),
        ("['a'\n 'b']", ["a", "b"]),
        ("array(['a', 'b'], dtype=object)", ["a", "b"]),
        ("{'text': array(['a', 'b'], dtype=object), 'answer_start': array([1, 2])}", ["a", "b"]),
        ("{'text': ['a'], 'answer_start': [1]}", ["a"]),
        ("[1, 2]", ["[1, 2]"]),
        ("[sic] a", ["[sic] a"]),
        ("[" * 5000, ["[" * 5000]),
        ("a<ans_split>b", ["a", "b"]),
        ("Jane Austen | Austen", ["Jane Austen", "Austen"]),
        ("P(A|B)", ["P(A|B)"]),
        ("|x|", ["|x|"]),
        ("a|b", ["a|b"]),
        ("Paris; France", ["Paris; France"]),
        ("May 1, 2020", ["May 1, 2020"]),
        (None, []),
        ("", []),
        ([], []),
        ([None, " "], []),
        (float("nan"), []),
        ({"provenance": []}, []),
    ],
)
def test_the_answers_in_a_field_are_read(value: object, answers: list[str]) -> None:
    assert list(golden_answers(value)) == answers


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        ("a|b", ["a", "b"]),
        ("Washington, D.C.; DC", ["Washington, D.C.", "DC"]),
        ("a;", ["a;"]),
        ("a, b", ["a, b"]),
        ('"a"', ['"a"']),
    ],
)
def test_a_text_in_a_field_for_several_answers_may_be_a_list(
    value: str, answers: list[str]
) -> None:
    assert list(golden_answers(value, is_plural=True)) == answers


# Ids


def plain(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {"question": f"Who {number}?", "answer": f"A{number}"} | changed


def ids(path: Path, rows: list[Any]) -> list[str]:
    return [question.id for question in load(path, rows).load()]


def test_a_missing_id_is_made_from_the_content_and_not_from_the_place(tmp_path: Path) -> None:
    first, second = ids(tmp_path / "a.jsonl", [plain(1), plain(2)])
    assert first != second
    assert ids(tmp_path / "b.jsonl", [plain(2), plain(1)]) == [second, first]
    assert ids(tmp_path / "c.jsonl", [plain(1, id=None), plain(2, id=" ")]) == [first, second]


def test_rows_of_one_content_and_different_kinds_get_ids_of_their_own(tmp_path: Path) -> None:
    rows = [plain(1, type=kind) for kind in ("a", "b", "c")]
    first, *others = ids(tmp_path / "q.jsonl", rows)
    assert others == [f"{first}-2", f"{first}-3"]


@pytest.mark.parametrize(
    ("given", "read"),
    [(7, "7"), (7.0, "7"), ("a b", "a b"), ({"$oid": "5f"}, "5f"), (0, "0")],
)
def test_ids_are_texts(tmp_path: Path, given: object, read: str) -> None:
    assert ids(tmp_path / "q.jsonl", [plain(1, id=given)]) == [read]


def test_ids_that_clash_between_datasets_of_a_file_begin_with_the_dataset(tmp_path: Path) -> None:
    rows = [
        SEARCH_R1,
        SEARCH_R1 | {"data_source": "hotpotqa", "question": "Who?"},
        SEARCH_R1 | {"data_source": "hotpotqa", "question": "Why?", "id": "test_1"},
    ]
    questions = load(tmp_path / "q.jsonl", rows).load()
    assert [question.id for question in questions] == [
        *("nq:test_0", "hotpotqa:test_0", "hotpotqa:test_1")
    ]
    assert [question.kind for question in questions] == ["nq", "hotpotqa", "hotpotqa"]


def test_ids_that_do_not_clash_stay_beside_the_names_of_datasets(tmp_path: Path) -> None:
    rows = [SEARCH_R1, SEARCH_R1 | {"data_source": "hotpotqa", "id": "dev_0", "question": "Who?"}]
    assert ids(tmp_path / "q.jsonl", rows) == ["test_0", "dev_0"]


def test_unanswerable_rows_are_left_out_with_a_warning(tmp_path: Path) -> None:
    rows = [MUSIQUE, MUSIQUE | {"answerable": False, "question": "Who wrote what?"}]
    task = load(tmp_path / "full.jsonl", rows)
    assert [question.id for question in task.load()] == ["2hop__1_2"]
    assert "1 unanswerable row(s) left out (row 2)" in task.warnings[0]


# Rows that are refused


@pytest.mark.parametrize(
    ("name", "content", "place", "message"),
    [
        ("queries.jsonl", [{"_id": "1", "text": EMMA}], 1, "without answers.*_id, text"),
        ("queries.tsv", "1\tWho wrote Emma?\n", 1, "2 columns and no header"),
        ("q.csv", "question,answer\nWho?,A\nWhy?,\n", 3, "'answer' has no answer"),
        ("q.csv", "question,answers\nWho?,[]\n", 2, "'answers' has no answer"),
        ("q.csv", "question,answer\nWho, me?,A\n", 2, "3 cells, but 2 columns"),
        ("q.jsonl", [{"a\nb\r\x1b[31m\u2028": 1}], 1, "no field of the row is a question.*a b"),
        ("q.csv", "question" + ",x" * 99_999 + "\nWho?\n", 2, "a question without answers"),
        ("q.csv", "question," + "x" * 200_000 + "\nWho?\n", 2, "1 columns and no header"),
        ("q.csv", "name,age\nEmma,4\n", 2, "no field of the row is a question.*name, age"),
        ("q.json", [plain(), ["x"]], 2, "expected an object, found list"),
        ("q.json", [plain(), {"prompt": 5}], 2, "'prompt' has no user message"),
        ("q.jsonl", [plain(id=1), plain(2, id=1)], 2, "row 1 has the id '1' too"),
        ("q.jsonl", [plain(question=5)], 1, "'question' must be a text"),
        ("q.jsonl", [plain(answer="B", choices=["x", "y"])], 1, "a multiple-choice row"),
        ("q.jsonl", [{"text": "Nice!", "label": 1}], 1, "a question without answers"),
        (
            "q.jsonl",
            [{"problem": "3rZ/0JXkJ8aqxYw1mA==", "answer": "x", "canary": "y"}],
            1,
            "encrypted",
        ),
        ("q.jsonl", '{"question": "Who?", "answer": "A"}\nnothing\n', 2, "not JSON"),
    ],
)
def test_a_refused_row_is_named_with_the_accepted_shapes(
    tmp_path: Path, name: str, content: object, place: int, message: str
) -> None:
    with pytest.raises(UserError, match=rf"{name}:{place}: .*{message}") as caught:
        load(tmp_path / name, content).load()
    lines = str(caught.value).splitlines()
    assert len(lines) <= 3
    assert "golden_answers" in lines[1]
