"""Foreign instructions in prompts: left out of the questions and said, or a warning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autocoa_bench.tasks import FileTask

QUESTIONS = ["Who wrote Emma?", "When did the Titanic sink?", "Where was Marie Curie born?"]
LOWER = ["who wrote emma", "when did the titanic sink", "where was marie curie born"]

TEMPLATES = {
    "a lead": "Answer the given question. Search if needed. Question: {}",
    "Search-R1": "Answer the given question. You must conduct reasoning inside <think> and "
    "</think> first every time you get new information. You search by <search> query </search>. "
    "For example, <answer> Beijing </answer>. Question: {}\n",
    "a lead of other words": "Use the tools.\nUser question: {}",
    "a lead in bold": "Think first.\n\n**Question**: {}",
    "a lead in Chinese": "请回答下面的问题。问题：{}",
    "a lead and a tail": "You are an assistant.\nQuestion: {}\nAnswer:",
    "letters": "Q: {}\nA:",
    "roles": "You are a helpful assistant.\n\nUser: {}\nAssistant:",
    "an example before": "Question: Who wrote Faust?\nAnswer: Goethe\n\nQuestion: {}\nAnswer:",
    "a paragraph": "You are a helpful assistant with a search tool.\n\n{}",
    "a sentence": "Answer briefly. {}",
    "after the question": "{} Let's think step by step and output the final answer after '####'.",
    "on a line after the question": "{}\nPut your final answer in \\boxed{{}}.",
    "on both sides": "Please reason first.\n{}\n\nRespond in JSON.",
    "tags": "Find it.\n<question>{}</question>",
    "tokens of a template": "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    "AutoCoA": "Rules: search.\n\nNow, please answer the user's question below: \n{}\n\n",
    "nothing": "{}",
}


def rows(prompts: list[str], **changed: object) -> str:
    return "".join(
        json.dumps(
            {
                "prompt": [{"role": "user", "content": prompt}],
                "reward_model": {"ground_truth": [f"A{number}"]},
                "extra_info": {"index": number},
            }
            | changed
        )
        + "\n"
        for number, prompt in enumerate(prompts)
    )


def task(folder: Path, content: str) -> FileTask:
    (folder / "v.jsonl").write_text(content, encoding="utf-8")
    return FileTask(folder / "v.jsonl")


def asked(loaded: FileTask) -> list[str]:
    return [question.text for question in loaded.load()]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("questions", [QUESTIONS, LOWER])
def test_an_instruction_that_prompts_share_is_not_asked(
    tmp_path: Path, name: str, count: int, questions: list[str]
) -> None:
    texts = questions[-count:]
    loaded = task(tmp_path, rows([TEMPLATES[name].format(text) for text in texts]))
    assert asked(loaded) == texts
    said = [warning for warning in loaded.warnings if "not part of the questions" in warning]
    assert len(said) == (name not in ("nothing", "AutoCoA"))


@pytest.mark.parametrize(
    "questions",
    [
        ["Who wrote Emma?", "Who wrote Emil?"],
        ["In the U.S. Who won?", "In the U.S. Who lost?"],
        ["Dr. Who is on air since when?", "Dr. Who is by whom?"],
        ["Ann has 3 owls. How many eyes?", "Ann has 3 owls. How many legs?"],
        ["Which is older, A or B?", "Which is older, C or B?"],
        ["Is it in New York", "Was it in New York"],
    ],
)
def test_words_that_questions_share_are_asked(tmp_path: Path, questions: list[str]) -> None:
    loaded = task(tmp_path, rows(questions))
    assert asked(loaded) == questions
    assert loaded.warnings == ()


def test_each_dataset_of_a_file_has_an_instruction_of_its_own(tmp_path: Path) -> None:
    content = rows([f"Search first. Question: {text}" for text in QUESTIONS], data_source="a")
    content += rows([f"Answer in one word.\n{text}" for text in LOWER], data_source="b")
    loaded = task(tmp_path, content)
    assert asked(loaded) == QUESTIONS + LOWER
    assert len(loaded.warnings) == 2


def test_prompts_with_different_instructions_are_each_cut_at_their_lead(tmp_path: Path) -> None:
    loaded = task(tmp_path, rows(["Search. Question: Who?", "Think.\nQuestion: Why?"]))
    assert asked(loaded) == ["Who?", "Why?"]


@pytest.mark.parametrize("name", ["a lead", "Search-R1", "a lead and a tail", "a lead in Chinese"])
def test_a_prompt_that_stands_alone_is_cut_at_its_lead(tmp_path: Path, name: str) -> None:
    loaded = task(tmp_path, rows([TEMPLATES[name].format(QUESTIONS[0])]))
    assert asked(loaded) == QUESTIONS[:1]
    assert "not part of the questions" in loaded.warnings[0]


@pytest.mark.parametrize("name", ["a paragraph", "a sentence", "on both sides"])
def test_a_prompt_that_stands_alone_without_a_lead_gets_a_warning(
    tmp_path: Path, name: str
) -> None:
    prompt = TEMPLATES[name].format(QUESTIONS[0])
    loaded = task(tmp_path, rows([prompt]))
    assert asked(loaded) == [prompt]
    assert "the prompts are asked whole" in loaded.warnings[0]


def test_prompts_of_which_some_have_an_instruction_get_a_warning(tmp_path: Path) -> None:
    prompts = ["Search. Question: Who?", "Why is it so?"]
    loaded = task(tmp_path, rows(prompts))
    assert asked(loaded) == prompts
    assert "asked whole" in loaded.warnings[0]


def test_a_question_beside_the_prompt_is_asked_without_a_word(tmp_path: Path) -> None:
    loaded = task(tmp_path, rows(["Answer. Question: x"] * 1, question=QUESTIONS[0]))
    assert asked(loaded) == QUESTIONS[:1]
    assert loaded.warnings == ()
