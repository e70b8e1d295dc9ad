"""Completions as IRCoT, self-ask and RAG parse them, and what is shown to their models."""

import pytest

from autocoa_bench.episode import Dialect
from autocoa_bench.errors import UserError
from autocoa_bench.types import Completion, Generate, Passage
from baselines.ircot import IRCoT
from baselines.rag import RAG
from baselines.self_ask import SelfAsk
from support.play import PASSAGES, play

J, Q, G, B = IRCoT(), SelfAsk(), RAG(), RAG(thinking=False)


@pytest.mark.parametrize(
    ("dialect", "text", "kind", "argument", "stays"),
    [
        (J, " It is by Anna. She is old.", "search", "It by Anna.", " It is by Anna."),
        (
            J,
            " Mr. J. Doe of St. Ives built it. Yes.",
            "search",
            "Mr. J. Doe of St. Ives built it.",
            33,
        ),
        (J, " Thus it is old. Anna built it.", "search", "Anna built it.", None),
        (J, " Thus it is old.", "search", "Thus it old.", None),
        (J, "Thought: Anna built it", "search", "Anna built it", None),
        (J, " Anna built it. So the answer is: Anna.", "search", "Anna built it.", 15),
        (J, " So the answer is: St. Anna.\nMore", "answer", "St. Anna", 28),
        (J, " Hence the answer is: **Anna**.", "answer", "Anna", None),
        (J, " The answer is not known yet.", "search", "The answer not known yet.", None),
        (J, " So the answer is:", "malformed", "", None),
        (J, " So the answer is: the.", "malformed", "", None),
        (J, "  \n ", "malformed", "", None),
        (Q, " Yes.\nFollow up: Who built it?\nHm", "search", "Who built it?", 30),
        (Q, " Yes.\n**Follow-up 1:** Who built it?", "search", "Who built it?", None),
        (Q, "\nFollow up:\nFollow up: Who?", "search", "Who?", None),
        (Q, " No.\nSo the final answer is: Anna.\n\nQuestion", "answer", "Anna", 34),
        (Q, "So the final answer is Anna", "answer", "Anna", None),
        (Q, " Anna.\nFollow up: When?\nSo the final answer is: 3", "search", "When?", 23),
        (Q, " Yes. I ask a follow up: who?", "malformed", "", None),
        (Q, " Yes.", "malformed", "", None),
        (G, "It says \\boxed{Anna}.", "answer", "Anna", None),
        (G, "It says Anna.", "malformed", "", None),
        (B, " Anna\nbecause Bert", "answer", "Anna", None),
        (B, "Answer: **Anna**", "answer", "Anna", None),
        (B, "\\boxed{Anna}", "answer", "Anna", None),
        (B, "<think>Bert\n</think>\nAnna", "answer", "Anna", None),
        (B, "<think>Anna\n", "malformed", "", None),
        (B, "", "malformed", "", None),
    ],
)
def test_a_completion_is_read_as(
    dialect: Dialect, text: str, kind: str, argument: str, stays: str | int | None
) -> None:
    action = dialect.parse(Completion(text))
    assert (action.kind, action.argument) == (kind, argument)
    expected = text[:stays] if isinstance(stays, int) else stays or text
    assert action.text == expected


@pytest.mark.parametrize(
    ("dialect", "text", "answer"),
    [
        (J, " Anna.\nQuestion", "Anna"),
        (J, "<think>Bert</think> Anna", "Anna"),
        (Q, " Anna.", "Anna"),
        (Q, "\nSo the final answer is: Anna", "Anna"),
        (Q, " ", None),
        (G, "Anna}", "Anna"),
        (B, " Anna\nor Bert", "Anna"),
    ],
)
def test_a_forced_answer_is_read_as(dialect: Dialect, text: str, answer: str | None) -> None:
    assert dialect.parse_forced(text) == answer


@pytest.mark.parametrize(
    ("dialect", "replies", "turn"),
    [
        (
            J,
            [" It is by Anna. She", " So the answer is: Anna."],
            "Thought: It is by Anna.\nPassage (The Tower): Anna built the tower.\n"
            "Passage (The Mill): Bert built the mill.\nThought:",
        ),
        (
            Q,
            [" Yes.\nFollow up: Who?", " Anna.\nSo the final answer is: Anna"],
            "Are follow up questions needed here: Yes.\nFollow up: Who?\nContext1: The Tower: Anna "
            "built the tower.\nContext2: The Mill: Bert built the mill.\nIntermediate answer:",
        ),
    ],
)
def test_the_turn_goes_on_after_the_passages(
    dialect: Dialect, replies: list[str], turn: str
) -> None:
    trajectory, events = play(dialect, replies, PASSAGES)
    last = events[-1]
    assert isinstance(last, Generate)
    assert last.prompt.continuation == turn
    assert (trajectory.answer, trajectory.ending) == ("Anna", "answered")


@pytest.mark.parametrize("dialect", [J, Q, G, B])
def test_nothing_found_is_said(dialect: Dialect) -> None:
    assert "found" in dialect.show([])
    assert "T: x" in RAG().show([Passage("1", "T", "x")])


@pytest.mark.parametrize("top_k", [0, 101])
def test_rag_takes_a_sensible_number_of_passages(top_k: int) -> None:
    with pytest.raises(UserError, match=rf"rag takes 1 to 100 passages .top_k., not {top_k}"):
        RAG(top_k=top_k)
