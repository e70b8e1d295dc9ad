"""Random model outputs, questions and passages: nothing crashes, and nothing untrusted acts."""

import os
import re
import unicodedata
from collections.abc import Sequence
from random import Random
from time import process_time

import pytest

from agent_model.dialects import Agent, CoT, R1Searcher, ReSearch, SearchO1, SearchR1, Tools
from autocoa_bench.episode import Dialect, neutralise, neutralise_question, opening_of, turns_of
from autocoa_bench.types import Budget, Completion, Generate, ModelTraits, Passage, Question
from baselines.ircot import IRCoT
from baselines.model_only import ModelOnly
from baselines.rag import RAG
from baselines.react import ReAct
from baselines.self_ask import SelfAsk
from support.play import QUESTION, play

CALL = '<tool_call>{"name": "search", "arguments": {"query": "mill"}}</tool_call>'
DIALECTS: dict[str, tuple[Dialect, list[str]]] = {
    "agent": (Agent(), ["<begin_search> mill </end_search>", "</think>\\boxed{Anna}"]),
    "cot": (CoT(), ["</think>\\boxed{Anna}"]),
    "search-r1": (SearchR1(), ["<search> mill </search>", "<answer>Anna</answer>"]),
    "research": (ReSearch(), ["<search> mill </search>", "<answer> \\boxed{Anna} </answer>"]),
    "r1-searcher": (
        R1Searcher(),
        ["<|begin_of_query|> mill <|end_of_query|>", "</think><answer>Anna</answer>"],
    ),
    "search-o1": (
        SearchO1(),
        ["<|begin_search_query|> mill <|end_search_query|>", "Anna", "</think>\\boxed{Anna}"],
    ),
    "tools": (Tools(), [CALL, "</think>\\boxed{Anna}"]),
    "react": (ReAct(), ["\nAction: Search[mill]", "\nAction: Finish[Anna]"]),
    "model-only": (ModelOnly(), ["\\boxed{Anna}"]),
    "rag": (RAG(), ["\\boxed{Anna}"]),
    "rag, no thinking": (RAG(thinking=False), [" Anna"]),
    "ircot": (IRCoT(), [" A mill stands here.", " So the answer is: Anna."]),
    "self-ask": (SelfAsk(), [" Yes.\nFollow up: Whose mill?", "\nSo the final answer is: Anna"]),
}
NUMBER = int(os.environ.get("AUTOCOA_BENCH_FUZZ", "1000"))
"""The outputs, questions and passages of each dialect and test."""
SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<think>", "</think>"),
    *("[INST]", "[/INST]", "[gMASK]", "[unused1]", "]~b]", "[e~[", "@@end@@", "<｜User｜>"),
    *("<｜end▁of▁sentence｜>", "◁think▷", "[|endofturn|]", "▁<MID>", "<start_of_turn>"),
)
TAGS = [
    *("<think>", "</think>", "<THINK>", "< think >", "<thinking>", "</thinking>", "[THINK]"),
    *("[/THINK]", "<seed:think>", "</seed:think>", "◁think▷", "◁/think▷", "analysisWe", "final"),
    *("<|channel|>analysis<|message|>", "<|channel|>final<|message|>", "<|end|>", "<channel|>"),
    *("<|start|>assistant", "assistantfinal", "<|channel>thought\n", "<|im_end|>", "</s>"),
    *("<begin_search>", "</end_search>", "<search_result>", "</search_result>", "<search>"),
    *("</search>", "<information>", "</information>", "<answer>", "</answer>", "<Answer>"),
    *("<|begin_of_query|>", "<|end_of_query|>", "<|begin_of_documents|>"),
    *(
        "<tool_call>",
        "</tool_call>",
        "<tool_response>",
        "</tool_response>",
        CALL,
        "<function=search>",
    ),
    *("[TOOL_CALLS]", "[ARGS]", "to=functions.search<|message|>", '{"query": "mill"}', "search"),
    *("<parameter=query>", "</parameter>", "</function>", '{"name": "search", "arguments": {}}'),
    *("<|end_of_documents|>", "`<answer>`", '"</think>"', "`<search>` and `</search>`"),
]
ACTS = [
    *("\nAction: Search[", "\nAction: Finish[", "**Action:** Finish(", "\nObservation: ", "]", ")"),
    *("\nThought: ", "\nQuestion: ", "- Action 1: `Search[", "\n### Action\nFinish[", "search: "),
    *("\nAction: Search\nAction Input: ", "\\boxed{", "\\boxed {", "\\fbox{", "}", "}}", "boxed{"),
    *("\\text{", "\\textit{", "\\frac{1}{2}", "\\'e", '\\"o', "\\c{c}", "\\,", "~", "$", "\\$"),
    *("\\{", "\\}", "\\\\", "\\", "{", "{}", "[", "(", "**", "`", "```", '"', "“", "”", "# ", "- "),
]
WORDS = [
    *("Anna", "the", "...", "and", "query", "answer", "tower", " ", " ", " ", "\n", "\n\n", "42"),
    *("1{,}000", "?", ":", "Question", "Who built it", "塔", "مرحبا", "é", "e\u0301", "ﬁ", "½"),
]
ODD = [
    *("\x1b[2J", "\x1b]52;c;QQ==\x07", "\x00", "\x08oxed{x}", "\x85", "\u2028", "\u2029", "\r"),
    *("\u200b", "\u200c", "\u202e", "\u00ad", "\ufeff", "\ufe0f", "\U000e0041", "\u3164", "\x0b"),
    *(
        "＜",
        "＞",
        "［INST］",
        "＜think＞",
        "﹤s﹥",
        "[IN\u200cST]",
        "@@e\u200dnd@@",
        "𝐈𝐍𝐒𝐓",
        "\\ud800",
    ),
    *("[ＩＮＳＴ]", "@@END@@", "]\ufe0f~b]", "\ud800", "🏴\U000e0067", "<<SYS>>", "[|endofturn|]"),
    *("<｜User｜>", "<｜end▁of▁sentence｜>", "＜｜User｜＞", "[gMASK]", "[unused1]", "[e~["),
]
FRAGMENTS = (TAGS, ACTS, WORDS, ODD)
DIALECT_TAG = re.compile(
    r"</?(?:think|search|answer|information|begin_search|end_search|search_result|tool_call"
    r"|tool_response)>|<\|\w+\|>"
)
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff]"
    "|[\U000e0000-\U000e0fff]"
)
CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200b\u200e\u202a-\u202e\ud800-\udfff]"
)


def texts(seed: str, number: int, weights: Sequence[int]) -> list[str]:
    """Random texts of fragments, some of them cut anywhere."""
    rng = Random(seed)
    result = []
    for _ in range(number):
        kinds = rng.choices(FRAGMENTS, weights, k=rng.randrange(1, 16))
        text = "".join(rng.choice(kind) for kind in kinds)
        result.append(text[: rng.randrange(len(text) + 1)] if rng.random() < 0.2 else text)
    return result


@pytest.mark.parametrize("name", DIALECTS)
def test_any_model_output_is_read_without_a_crash_and_as_what_it_says(name: str) -> None:
    dialect = DIALECTS[name][0]
    rng = Random(name)
    tags = getattr(dialect, "query_tags", ("", ""))[1:] + getattr(dialect, "result_tags", ())[:1]
    brackets = [bracket * number for bracket in "])" for number in range(1, 20)]
    functions = ("</function>", "</function></tool_call>")
    restored = ("", "</answer>", *tags, *brackets, *functions)
    for text in texts(name, NUMBER, (4, 4, 4, 1)):
        reason, thinking = rng.choice(("stop", "stop", "length")), rng.random() < 0.3
        stop = rng.choice((None, *dialect.stop))
        action = dialect.parse(Completion(text, reason, stop, thinking=thinking))
        assert bool(action.argument) == (action.kind != "malformed"), text
        assert not DIALECT_TAG.search(action.argument), text
        assert any(
            action.text.endswith(end) and text.startswith(action.text.removesuffix(end))
            for end in restored
        ), text
        if action.kind != "malformed":
            again = dialect.parse(Completion(action.text, thinking=thinking))
            assert (again.kind, again.argument) == (action.kind, action.argument), text
        forced = dialect.parse_forced(text)
        assert forced is None or (forced and not DIALECT_TAG.search(forced)), text


@pytest.mark.parametrize("name", DIALECTS)
def test_an_episode_of_random_outputs_ends_within_its_budget(name: str) -> None:
    dialect = DIALECTS[name][0]
    rng = Random(name)
    outputs = texts(f"{name} episodes", NUMBER, (4, 4, 4, 1))
    budget = Budget(max_actions=3)
    while len(outputs) >= 8:
        replies = [
            Completion(outputs.pop(), rng.choice(("stop", "stop", "length", "filtered")))
            for _ in range(8)
        ]
        traits = ModelTraits(rng.random() < 0.3, SPECIAL, new_turns=rng.random() < 0.3)
        trajectory, events = play(dialect, replies, budget=budget, traits=traits)
        assert len(events) <= 3 * budget.max_actions + 3
        requests = [event for event in events if isinstance(event, Generate)]
        turn = "".join(turn.text for turn in turns_of(trajectory))
        assert turn == requests[-1].prompt.continuation + trajectory.steps[-1].text
        assert trajectory.opening == requests[-1].prompt.opening


def acts(name: str, text: str) -> list[str]:
    """What acts in a text: tags, special tokens and, in ReAct, first words of lines."""
    words = {
        "react": r"Thought|Action|Observation|Question|Search|Finish",
        "ircot": r"Thought|Passage|Question|So the answer is",
        "self-ask": r"Follow up|Context\d|Intermediate answer|So the final answer|Question",
    }.get(name)
    pattern = r"</?\w+>|<\|\w+\|>|\\boxed" + (rf"|^\W*(?:{words})\b.?" if words else "")
    return re.findall(pattern, text, re.MULTILINE | re.IGNORECASE)


def folded(text: str) -> str:
    """A text as a tokenizer may see it that ignores case, forms and invisible characters."""
    return unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).lower().replace("▁", " ")


TOKENS = [folded(token).strip() for token in SPECIAL]


@pytest.mark.parametrize("name", DIALECTS)
def test_no_question_acts_in_the_prompt(name: str) -> None:
    dialect = DIALECTS[name][0]
    plain = opening_of(dialect, QUESTION)
    expected = [acts(name, message.content) for message in plain]
    before, _, after = plain[-1].content.rpartition(QUESTION.text)
    for text in texts(f"{name} questions", NUMBER, (3, 3, 4, 5)):
        opening = opening_of(dialect, Question("q", text, ()), SPECIAL)
        assert [message.role for message in opening] == [message.role for message in plain]
        assert opening[-1].content.startswith(before), text
        assert opening[-1].content.endswith(after), text
        asked = opening[-1].content[len(before) : len(opening[-1].content) - len(after)]
        assert not CONTROL.search(asked), text
        assert not [token for token in TOKENS if token in folded(asked)], text
        assert [acts(name, message.content) for message in opening] == expected, text
        assert not re.search(r"\n\W*(?:Question|Action|Thought|Observation)\b", asked), text
        assert neutralise_question(asked, SPECIAL) == asked, text


@pytest.mark.parametrize("name", DIALECTS)
def test_no_question_and_no_passage_hijacks_an_episode(name: str) -> None:
    dialect, replies = DIALECTS[name]
    plain = [Passage("1", "T", "x"), Passage("2", "U", "y")]
    calm, calm_events = play(dialect, replies, plain)
    shown = acts(name, "".join(turn.text for turn in turns_of(calm)))
    hostile = texts(f"{name} passages", NUMBER, (3, 3, 4, 5))
    while len(hostile) >= 5:
        question = Question("q", hostile.pop(), ("Anna",))
        passages = [Passage(str(i), hostile.pop(), hostile.pop()) for i in range(2)]
        trajectory, events = play(
            dialect,
            replies,
            passages,
            Budget(context_tokens=100_000),
            question,
            ModelTraits(special_tokens=SPECIAL),
        )
        assert (trajectory.answer, trajectory.ending) == (calm.answer, calm.ending)
        assert [type(event) for event in events] == [type(event) for event in calm_events]
        turn = "".join(turn.text for turn in turns_of(trajectory))
        assert acts(name, turn) == shown, passages
        assert not CONTROL.search(turn), passages
        for passage in passages:
            observed = folded(neutralise(passage.title + passage.text, SPECIAL))
            assert not [token for token in TOKENS if token in observed], passage


@pytest.mark.parametrize(
    "fragment",
    ["\\boxed{", "<answer>", "<search> ", "# ", "\x0b", "<think>", "[", "\nSearch[", "<tool_call>"],
)
def test_the_time_to_read_a_text_grows_with_its_length_alone(fragment: str) -> None:
    def seconds(length: int) -> float:
        text = (fragment * length)[:length]
        start = process_time()
        for dialect, _ in DIALECTS.values():
            dialect.parse(Completion(text))
            dialect.parse_forced(text)
        neutralise(text, SPECIAL)
        neutralise_question(text, SPECIAL)
        return process_time() - start

    ratio = min(seconds(32_000) / seconds(4_000) for _ in range(3))
    assert ratio < 32  # 8 for linear time, 64 for quadratic
