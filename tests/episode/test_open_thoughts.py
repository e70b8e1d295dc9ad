"""Thoughts: what stands in one is neither an answer nor, in most dialects, an action."""

import pytest

from agent_model.dialects import Agent, CoT, R1Searcher, SearchO1, SearchR1
from autocoa_bench.episode import Dialect, n_cut, turns_of
from autocoa_bench.episode.answer_text import after_reasoning
from autocoa_bench.episode.thoughts import outside_thoughts
from autocoa_bench.types import Completion, Generate, ModelTraits
from baselines.ircot import IRCoT
from baselines.model_only import ModelOnly
from baselines.rag import RAG
from baselines.react import ReAct
from baselines.self_ask import SelfAsk
from support.play import play

A, C, S, R, M, X = Agent(), CoT(), SearchR1(), R1Searcher(), ModelOnly(), ReAct()
W, G, J, Q = SearchO1(), RAG(), IRCoT(), SelfAsk()
OPENED = ModelTraits(opens_thought=True)
CHAT = ModelTraits(new_turns=True)

MARKS = [
    ("<think>", "</think>"),
    ("<THINK>\n", "\n</THINK>\n"),
    ("< think >", "</ think >"),
    ("<thinking>", "</thinking>"),
    ("<Thought>", "</Thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<think><think>", "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<|channel|>commentary<|message|>", "<|end|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<unused94>thought\n", "<unused95>"),
    ("analysisWe look. ", "assistantfinal"),
]
HIDDEN: list[tuple[Dialect, str, str]] = [
    (A, "\\boxed{Bert}", "\\boxed{Anna}"),
    (C, "\\boxed{Bert}", "\\boxed{Anna}"),
    (S, "<answer>Bert</answer>", "<answer>Anna</answer>"),
    (R, "<answer>Bert</answer>", "<answer>Anna</answer>"),
    (M, "\\boxed{Bert}", "\\boxed{Anna}"),
    (X, "\nAction: Finish[Bert]\n", "\nAction: Finish[Anna]"),
    (W, "\\boxed{Bert}", "\\boxed{Anna}"),
    (G, "\\boxed{Bert}", "\\boxed{Anna}"),
    (J, "So the answer is: Bert.\n", "So the answer is: Anna."),
    (Q, "\nSo the final answer is: Bert\n", "\nSo the final answer is: Anna"),
]
IDS = [dialect.name for dialect, _, _ in HIDDEN]
SPEAKING = [A, S, R, M, X, W, G, J, Q]
CLOSING = [A, C, S, R, M, X, W, G]
"""Dialects whose forced answer ends with a bracket or a tag."""


@pytest.mark.parametrize(("dialect", "hidden", "said"), HIDDEN, ids=IDS)
@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_an_answer_counts_only_outside_of_a_thought_however_that_is_marked(
    dialect: Dialect, hidden: str, said: str, opening: str, closing: str
) -> None:
    for reason in ("stop", "length"):
        open_thought = dialect.parse(Completion(f"{opening}Perhaps {hidden}", reason))
        assert (open_thought.kind, open_thought.argument) == ("malformed", "")
    action = dialect.parse(Completion(f"{opening}Perhaps {hidden}{closing}{said}"))
    assert (action.kind, action.argument) == ("answer", "Anna")


@pytest.mark.parametrize(("dialect", "hidden", "said"), HIDDEN, ids=IDS)
def test_a_text_that_begins_in_a_thought_holds_an_answer_only_after_it(
    dialect: Dialect, hidden: str, said: str
) -> None:
    assert dialect.parse(Completion(hidden, thinking=True)).kind == "malformed"
    for between in ("</think>", "</think>\n\n", "</think> ok, <think> hm </think>"):
        if dialect is J and "ok" in between:
            continue  # a sentence, and thus a search
        action = dialect.parse(Completion(hidden + between + said, thinking=True))
        assert (action.kind, action.argument) == ("answer", "Anna")
    again = dialect.parse(Completion(f"</think>{said}\n<think> or {hidden}", thinking=True))
    assert (again.kind, again.argument) == ("answer", "Anna")


@pytest.mark.parametrize(
    ("dialect", "text", "kind"),
    [
        (A, "<think>Hm. <begin_search> mill </end_search>", "search"),
        (R, "<think>Hm. <|begin_of_query|> mill <|end_of_query|>", "search"),
        (S, "<think>Hm. <search> mill </search>", "malformed"),
        (S, "<think>Hm.</think> <search> mill </search>", "search"),
        (S, "<think>Hm. <search> tower </search></think> <search> mill </search>", "search"),
        (C, "<think>Hm. <begin_search> mill </end_search>", "malformed"),
        (X, "<think>Hm.\nAction: Search[mill]\n", "malformed"),
        (X, "<think>Hm.\nAction: Search[tower]\n</think>Action: Search[mill]", "search"),
        (X, "[THINK]Hm.\nAction: Search[tower]\n[/THINK]\nAction: Search[mill]", "search"),
    ],
)
def test_a_search_inside_a_thought_counts_only_where_the_dialect_puts_it_there(
    dialect: Dialect, text: str, kind: str
) -> None:
    action = dialect.parse(Completion(text))
    assert (action.kind, action.argument) == (kind, "mill" if kind == "search" else "")
    if kind == "malformed" and dialect is not C:
        assert "inside a thought" in action.problem


@pytest.mark.parametrize(
    "quoted",
    ["`</think>`", '"</think>"', "“</think>”", "'<think>'", "the </think> tag", "a <think> block"],
)
def test_a_quoted_mark_neither_opens_nor_closes_a_thought(quoted: str) -> None:
    text = f"I close with {quoted}, not yet. \\boxed{{Bert}}"
    assert M.parse(Completion(text, thinking=True)).kind == "malformed"
    assert M.parse(Completion(text)).argument == "Bert"


def test_the_text_outside_of_thoughts_is_what_is_said() -> None:
    assert after_reasoning("<think>a</think> b <think>c</think> d") == " b  d"
    assert after_reasoning("a <think>b") == "a "


@pytest.mark.parametrize("dialect", SPEAKING, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("opening", ["", *dict(MARKS)])
def test_a_nudge_and_a_forced_answer_stand_outside_of_an_open_thought(
    dialect: Dialect, opening: str
) -> None:
    traits = ModelTraits() if opening else OPENED
    wonder = "" if dialect is J else "I wonder"  # which is a query of IRCoT's
    wondering = [opening + wonder] + [wonder] * (dialect.nudge is not None)
    trajectory, events = play(dialect, [*wondering, "Anna"], traits=traits)
    requests = [event.prompt.continuation for event in events if isinstance(event, Generate)]
    # R1-Searcher's nudge names the tag.
    shown = [turn.replace(", after </think>,", "") for turn in requests]
    opened = "" if opening else "</think>"
    assert outside_thoughts(shown[-1], opened).closing == ""
    assert requests[-1].endswith(dialect.force.split("\n")[-1])
    acts_in_thoughts = dialect in (A, R, W)
    if dialect.nudge is not None:
        assert bool(outside_thoughts(shown[1], opened).closing) == acts_in_thoughts
    assert trajectory.answer == "Anna"
    assert "".join(turn.text for turn in turns_of(trajectory)) == requests[-1] + "Anna"


@pytest.mark.parametrize("dialect", SPEAKING, ids=lambda dialect: dialect.name)
def test_a_forced_answer_closes_no_thought_twice(dialect: Dialect) -> None:
    _, events = play(dialect, ["<think>I wonder", "" if dialect is J else "and wonder", "Anna"])
    forced = events[-1]
    assert isinstance(forced, Generate)
    assert forced.prompt.continuation.replace(", after </think>,", "").count("</think>") == 1


@pytest.mark.parametrize("dialect", SPEAKING, ids=lambda dialect: dialect.name)
def test_in_chat_turns_no_thought_goes_on_and_none_is_closed(dialect: Dialect) -> None:
    replies = ["<think>I wonder", "" if dialect is J else "and wonder", "<think>hm</think>Anna"]
    replies = replies if dialect.nudge else replies[1:]
    trajectory, events = play(dialect, replies, traits=CHAT)
    forced = events[-1]
    assert isinstance(forced, Generate)
    assert forced.prompt.turns[-1].text == dialect.force
    assert trajectory.answer == "Anna"


def test_a_model_that_never_learned_the_prefilled_thought_may_answer_in_it() -> None:
    said = "I know it. \\boxed{Anna}"
    assert play(A, [said])[0].answer == "Anna"
    assert play(A, [said], traits=CHAT)[0].answer == "Anna"
    cut, template = Completion(said, "length"), [said, said, "Bert"]
    assert play(A, [cut, cut, "Bert"])[0].ending == "forced-malformed"
    assert play(A, template, traits=OPENED)[0].ending == "forced-malformed"
    assert play(A, ["<think>" + said, said, "Bert"])[0].ending == "forced-malformed"


@pytest.mark.parametrize("dialect", CLOSING, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    ("text", "reason", "answer", "cut"),
    [
        ("<think>\nOkay, Lyon, Marseille, Paris", "length", None, True),
        ("<think>\nOkay, Lyon, Marseille, Paris", "stop", None, True),
        ("<think>\nOkay, Lyon.\n</think>\n\nParis", "stop", "Paris", False),
        ("<think>\nOkay, Lyon.\n</think>\n\nParis", "length", None, True),
        ("the capital city of", "length", None, True),
        ("the capital city of", "stop", "the capital city of", False),
        ("Paris\nThe city of light is", "length", "Paris", False),
        ("\n\nParis", "stop", "Paris", False),
        ("", "length", None, True),
        ("", "stop", None, False),
        ("Paris{end} and much more", "length", "Paris", False),
        ("The answer is {lead}Paris{end}.", "length", "Paris", False),
        ("The answer is {lead}Par", "length", None, True),
        ("The answer is:\n\n{lead}Paris{end}", "stop", "Paris", False),
    ],
)
def test_a_forced_answer_that_was_cut_is_none_and_is_counted(
    dialect: Dialect, text: str, reason: str, answer: str | None, *, cut: bool
) -> None:
    lead = dialect.force.split()[-1]
    end = {"{": "}", "[": "]"}.get(lead[-1], "</answer>")
    if dialect is X:
        lead = "Finish["
        text = text.replace("The answer is:\n\n", "Thought: I know.\nAction: ")
        text = text.replace("The answer is ", "I know.\nAction: ")
    text = text.replace("{lead}", lead).replace("{end}", end)
    replies = [Completion("hm")] * (1 if dialect.nudge is None else 2)
    for traits in (ModelTraits(), CHAT):
        if traits is CHAT and text.startswith("Paris\n"):
            continue  # a line of a reply is not its answer
        trajectory, _ = play(dialect, [*replies, Completion(text, reason)], traits=traits)
        assert (trajectory.answer, n_cut(trajectory)) == (answer, int(cut))


@pytest.mark.parametrize("dialect", CLOSING, ids=lambda dialect: dialect.name)
def test_what_follows_a_forced_answer_is_cut(dialect: Dialect) -> None:
    end = {"{": "}", "[": "]"}.get(dialect.force[-1], "</answer>")
    replies = ["hm"] * (1 if dialect.nudge is None else 2)
    for text, stays in (
        (f"Anna{end} Next question:", f"Anna{end}"),
        (f"Anna{end}\n", f"Anna{end}\n"),
        ("Anna\nNext question:", "Anna"),
        ("Anna", "Anna"),
    ):
        trajectory, _ = play(dialect, [*replies, Completion(text, token_ids=(1, 2))])
        assert (trajectory.answer, trajectory.steps[-1].text) == ("Anna", stays)
        assert (trajectory.steps[-1].token_ids is None) == (text != stays)


@pytest.mark.parametrize("dialect", CLOSING, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("answer", ["Love [Is]", "\\text{Paris}", "the set {1, 2}", "\nParis"])
def test_no_stop_string_of_a_forced_answer_occurs_in_an_answer(
    dialect: Dialect, answer: str
) -> None:
    assert not any(stop in answer + "\n" for stop in dialect.force_stop)
