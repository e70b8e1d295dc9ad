"""Which replies state a verdict: in any quotes and mark-up, but neither negated nor in doubt."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocoa_bench.judge.prompts import brief
from autocoa_bench.judge.reply import after_thought, parse_verdict

CORRECT = [
    "Verdict: correct",
    "verdict: correct",
    "VERDICT: CORRECT",
    "Verdict:correct",
    "Verdict : correct",
    "They are the same person.\n\nVerdict: correct\n",
    "Verdict: incorrect\nWait, Ann is short for Anna.\nVerdict: correct",
    "Verdict: correct.",
    "Verdict: correct!",
    # quotes
    '"Verdict: Correct."',
    '"Verdict: correct".',
    "'Verdict: correct'",
    "“Verdict: correct”",
    "„Verdict: correct“",
    "‚verdict: correct‘",
    "« Verdict : correct »",
    "「Verdict: correct」",
    'Verdict: "correct"',
    '"Verdict": "correct"',
    # mark-up
    "**Verdict: correct**",
    "**Verdict:** correct",
    "Verdict: **correct**",
    "*Verdict:* _correct_",
    "__Verdict: correct__",
    "`verdict: correct`",
    "- Verdict: correct",
    "* Verdict: correct",
    "• Verdict: correct",
    "1. Verdict: correct",
    "### Verdict: CORRECT",
    "## Verdict: correct ##",
    "> Verdict: correct",
    "| Verdict | correct |",
    "| Verdict |\n|---|\n| correct |",
    "### Verdict\n\nCorrect",
    "**Verdict:**\n**Correct**",
    "[Verdict: correct]",
    "Verdict: [correct]",
    "(Verdict: correct).",
    "<b>Verdict:</b> correct",
    "<answer>Verdict: correct</answer>",
    "<verdict>correct</verdict>",
    "<verdict>\n  Correct\n</verdict>",
    "<final_verdict>correct</final_verdict>",
    "Verdict: correct ✅",
    "✅ **Verdict: correct**",
    "```\nVerdict: correct\n```",
    "They match.\n---\nVerdict: correct\n---",
    "Verdict: correct\n\n```",
    # LaTeX
    "\\boxed{correct}",
    "$\\boxed{\\text{Correct}}$",
    "\\[\n\\boxed{\\textbf{correct}}\n\\]",
    "\\boxed{Verdict: correct}",
    "The final answer is: $\\boxed{correct}$.",
    "Verdict: \\boxed{correct}",
    "\\textbf{Verdict:} correct",
    # other separators
    "Verdict — correct",
    "Verdict – correct",
    "Verdict - correct",
    "Verdict = correct",
    "Verdict -> correct",
    "Verdict：correct",
    "ＶＥＲＤＩＣＴ： ｃｏｒｒｅｃｔ",
    "Verdict:\u00a0correct\u200b",
    "Verdict：correct。",
    "=> Verdict: correct",
    "→ **Verdict: correct**",
    "Verdict: [[correct]]",
    # other words around it
    "Final verdict: correct",
    "FINAL_VERDICT: correct",
    "The verdict is: correct",
    "The verdict is correct.",
    "So the final verdict is: **correct**.",
    "Therefore, my verdict: correct",
    "Verdict: The answer is correct.",
    "Verdict: correct (both name the same town)",
    # JSON
    '{"verdict": "correct"}',
    "{'verdict': 'correct'}",
    '```json\n{"verdict": "correct"}\n```',
    '{"reason": "Ann isn\'t another “person”", "verdict": "Correct"}',
    '```json\n{\n  "verdict": "correct",\n  "reason": "the same"\n}\n```',
    'So:\n{"final_verdict": "correct", "confidence": 0.9}',
    # tokens that end a turn, and thoughts
    "Verdict: correct<|im_end|>",
    "Verdict: correct</s>",
    "Verdict: correct <end_of_turn>\n",
    "<think>Verdict: incorrect?</think>Verdict: correct",
    "Is it? No.\nVerdict: incorrect\n</think>\n\nVerdict: correct",
    "[THINK]Hm.[/THINK]Verdict: correct",
    "◁think▷Hm.◁/think▷Verdict: correct",
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"
    "Verdict: correct<|return|>",
    "analysisWe compare them.assistantfinalVerdict: correct",
]

UNCLEAR = [
    "",
    " \n ",
    "CORRECT",
    "The answer is correct.",
    "Verdict:",
    "Verdict: correct\nThough the year is off.",
    "Verdict: correct\n?",
    # negations
    "verdict: not correct",
    "Verdict: isn't correct",
    "The verdict is not correct.",
    "The verdict isn't correct",
    "not verdict: correct",
    "No verdict: correct",
    "I can't say verdict: correct",
    "Verdict: in correct",
    "Verdict: in-correct",
    "Verdict: in**correct**",
    "Verdict: !correct",
    "Verdict: ≠ correct",
    "Verdict != correct",
    "Verdict: ¬correct",
    "Verdict: ~~correct~~",
    "Verdict: <del>correct</del>",
    "Verdict: \\cancel{correct}",
    "Verdict: c\u0336orrect",
    "Verdict: ❌ correct",
    "Verdict: incorrect ✅",
    "\\boxed{not correct}",
    "Verdict: correct (not the same year)",
    "Verdict: correct (the year is wrong)",
    # hedges
    "verdict: partially correct",
    "Verdict: mostly correct",
    "Verdict: probably correct",
    "Verdict: correct, mostly",
    "Verdict: correct (partially)",
    "Verdict: correct (I think)",
    "Verdict: correct (if Ann is Anna)",
    "verdict: correct?",
    "Verdict: correct (?)",
    "Verdict: correct…",
    "verdict: incorrect... wait",
    "Verdict: correct ❓",
    "Verdict: correct-ish",
    "Verdict: correctly answered",
    "Verdict: correct but incomplete",
    "If it is Anna, verdict: correct",
    "The verdict would be: correct",
    "Verdict: unclear",
    # both verdicts
    "verdict: correct or incorrect",
    "Verdict: correct/incorrect",
    "Verdict: [correct|incorrect]",
    "Verdict: neither correct nor incorrect",
    "Verdict: correct. Verdict: incorrect.",
    "Verdict: correct → incorrect",
    "Verdict: incorrect (it would be correct in 1990)",
    "End with verdict: correct or verdict: incorrect",
    'Reply with one line, "Verdict: correct" or "Verdict: incorrect".',
    "Verdict: correct\nVerdict: incorrect",
    "- Verdict: correct\n- or\n- Verdict: incorrect",
    "\\boxed{correct or incorrect}",
    '{"verdict": "correct", "verdict": "incorrect"}',
    '{"verdict": "correct or incorrect"}',
    '{"verdict": "correct"} or {"verdict": "incorrect"}',
    "If Ann is Anna:\nVerdict: correct\nOtherwise:\nVerdict: incorrect",
    "The required format is:\nVerdict: correct",
    # somebody else's verdict
    'My line is "Verdict: correct"',
    'Answer: "Bert\n\nVerdict: correct"',
    'Answer: "Bert\n\nVerdict: correct\n"',
    '{"answer": "Bert\n\nVerdict: correct"}',
    '{"example": {"verdict": "correct"}}',
    "The reference verdict: correct",
    # no verdict value
    '{"verdict": true}',
    '{"verdict": ["correct"]}',
    "{" * 2000 + '"verdict": "correct"' + "}" * 2000,
    # open thoughts, and thoughts behind the verdict
    "Verdict: correct\n<think>Or is it?</think>",
    "<think>\nVerdict: correct",
    "<think>a</think>\n<think>b\nVerdict: correct",
    "[THINK]Verdict: correct",
    "<|channel|>analysis<|message|>They match.\nVerdict: correct",
    "analysisThey match.\nVerdict: correct",
]


@pytest.mark.parametrize("reply", CORRECT)
def test_a_verdict_is_recognised_inside_quotes_and_mark_up(reply: str) -> None:
    assert parse_verdict(reply) is True


@pytest.mark.parametrize("reply", [reply for reply in CORRECT if "incorrect" not in reply])
def test_the_opposite_verdict_is_recognised_wherever_the_verdict_is(reply: str) -> None:
    opposite = reply.replace("✅", "❌")
    for word, other in (
        ("correct", "incorrect"),
        ("Correct", "Incorrect"),
        ("CORRECT", "INCORRECT"),
    ):
        opposite = opposite.replace(word, other)
    assert parse_verdict(opposite.replace("ｃｏｒｒｅｃｔ", "ｉｎｃｏｒｒｅｃｔ")) is False


@pytest.mark.parametrize("reply", UNCLEAR)
def test_a_negated_hedged_double_or_quoted_verdict_is_none(reply: str) -> None:
    assert parse_verdict(reply) is None


def test_an_explanation_beside_incorrect_may_say_what_differs() -> None:
    assert parse_verdict("Verdict: incorrect (not the same town)") is False


@given(st.text(alphabet='correctinvd:*_`"{}()[]<>\\/.?- \n', max_size=40))
def test_only_a_reply_that_says_verdict_or_is_boxed_is_ever_read(reply: str) -> None:
    if brief().read(reply) is not None:
        assert "verdict" in reply.lower() or "boxed" in reply


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("<thinking>a</thinking> b", " b"),
        ("a</think>b", "b"),
        ("<think>a", None),
        ("<seed:think>a</seed:think>b", "b"),
        ("<|channel|>analysis<|message|>a", None),
        ("<|channel|>analysis<|message|>a<|end|>", ""),
        ("b <think>a</think>", ""),
        ("no thought", "no thought"),
        ("Analysis: they match.", "Analysis: they match."),
    ],
)
def test_a_reply_counts_from_the_end_of_its_thought(reply: str, said: str | None) -> None:
    assert after_thought(reply) == said


@pytest.mark.parametrize(
    "reply",
    ["{\n" * 20_000 + "}", "*" * 50_000, '"' * 50_001, "\\text{" * 20_000, "<think>" * 20_000,
     "Verdict: correct (" * 10_000, "| " * 40_000],
)  # fmt: skip
def test_a_reply_of_mark_up_takes_no_longer_than_its_length_warrants(reply: str) -> None:
    start = time.process_time()
    assert parse_verdict(reply) is None
    assert time.process_time() - start < 1.0
