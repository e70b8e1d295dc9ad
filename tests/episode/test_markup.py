"""Actions and answers inside mark-up, LaTeX, quotation marks and tags that are only mentioned."""

import pytest

from agent_model.dialects import Agent, CoT, R1Searcher, SearchR1
from autocoa_bench.episode import Dialect
from autocoa_bench.types import Completion
from baselines.model_only import ModelOnly
from baselines.react import ReAct

A, C, S, R, M, X = Agent(), CoT(), SearchR1(), R1Searcher(), ModelOnly(), ReAct()

# ReAct: an action in mark-up, what it does, with what, and the text that stays in the turn if that
# is not the whole text.
ACTIONS = [
    ("**Action:** Search[tower]", "search", "tower", None),
    ("**Action**: Search[tower]", "search", "tower", None),
    ("**Action: Search[tower]**", "search", "tower", "**Action: Search[tower]"),
    ("*Action:* *Finish[Anna]*", "answer", "Anna", "*Action:* *Finish[Anna]"),
    ("Action: **Finish[Anna]**", "answer", "Anna", "Action: **Finish[Anna]"),
    ("Action: **Finish**[Anna]", "answer", "Anna", None),
    ("Action: `Search[tower]`", "search", "tower", "Action: `Search[tower]"),
    ("`Action: Search[tower]`", "search", "tower", "`Action: Search[tower]"),
    ('Action: "Search[tower]"', "search", "tower", 'Action: "Search[tower]'),
    ("- Action: Search[tower]", "search", "tower", None),
    ("* Action: Search[tower]", "search", "tower", None),
    ("• Action: Search[tower]", "search", "tower", None),
    ("> Action: Search[tower]", "search", "tower", None),
    ("1. Action: Search[tower]", "search", "tower", None),
    ("2) **Action:** Search[tower]", "search", "tower", None),
    ("### Action: Search[tower]", "search", "tower", None),
    ("### Action\nSearch[tower]", "search", "tower", None),
    ("**Action**\n`Finish[Anna]`", "answer", "Anna", "**Action**\n`Finish[Anna]"),
    ("Action:\nSearch[tower]", "search", "tower", None),
    ("Action 1: Search[tower]", "search", "tower", None),
    ("**Action 12:** Search[tower]", "search", "tower", None),
    ("```\nAction: Search[tower]\n```", "search", "tower", "```\nAction: Search[tower]"),
    ("```\nSearch[tower]\n```", "search", "tower", "```\nSearch[tower]"),
    ("ACTION: SEARCH[tower]", "search", "tower", None),
    ("action: finish[Anna]", "answer", "Anna", None),
    ("Action: Finish [Anna]", "answer", "Anna", None),
    ("Action: Finish[Anna].", "answer", "Anna", "Action: Finish[Anna]"),
    ("Action: Finish(Anna)", "answer", "Anna", None),
    ("Action: Finish(Anna (Berg))", "answer", "Anna (Berg)", None),
    ('Action: Search("tower")', "search", "tower", None),
    ('Action: Search(query="tower")', "search", "tower", None),
    ("Action: Search('tower builder')", "search", "tower builder", None),
    ("Action：Search［tower］", "search", "tower", None),
    ("Action: Finish【Anna】", "answer", "Anna", None),
    ("Action: search: tower", "search", "tower", None),
    ("Action: Finish: Anna", "answer", "Anna", None),
    ("Action: Search\nAction Input: tower", "search", "tower", None),
    ("search: tower", "search", "tower", None),
    ("Finish: Anna", "answer", "Anna", None),
    ("Search[tower]", "search", "tower", None),
    ("- Finish[Anna]", "answer", "Anna", None),
    ("<b>Action:</b> Finish[Anna]", "answer", "Anna", None),
    ("<action>Search[tower]</action>", "search", "tower", "<action>Search[tower]"),
    ("🔍 Action: Search[tower]", "search", "tower", None),
    ("Final action: Finish[Anna]", "answer", "Anna", None),
    ("Action = Finish{Anna}", "answer", "Anna", None),
    ("I know. Action: Finish[Anna]", "answer", "Anna", None),
    (
        "Thought: Hm. **Action: Search[tower]**",
        "search",
        "tower",
        "Thought: Hm. **Action: Search[tower]",
    ),
    ("I know. Action: Finish[Anna] is what I say", "malformed", "", None),
    ("Such as an action: Finish[Anna]", "malformed", "", None),
    ("Something, e.g. Action: Finish[Anna]", "malformed", "", None),
    ("Action: Finish[\nAnna\n]", "answer", "Anna", None),
    ("Action: Finish[Anna\n]", "answer", "Anna", None),
    ("Action: Finish[Anna", "answer", "Anna", "Action: Finish[Anna]"),
    ("Action: Finish[Love [Is", "answer", "Love [Is]", "Action: Finish[Love [Is]]"),
    ("Action: Finish[Love [Is]]", "answer", "Love [Is]", None),
    ("Action: Finish[Anna\nor so]", "answer", "Anna", "Action: Finish[Anna]"),
    ("Action: Finish[Anna]\nThought: [1]", "answer", "Anna", "Action: Finish[Anna]"),
    ("Action: Finish[\\text{Anna}]", "answer", "Anna", None),
    ("Action: Finish[**Anna**]", "answer", "Anna", None),
    ("Action: Finish[<answer>Anna</answer>]", "answer", "Anna", None),
    ("Action: Search[]\nAction: Search[tower]", "search", "tower", None),
    ("Action: Search[query]", "malformed", "", None),
    ("Action: Finish[answer]", "malformed", "", None),
    ("Action: Finish[...]", "malformed", "", None),
    ("Action: Finish[The]", "malformed", "", None),
    ("Action: Searching[tower]", "malformed", "", None),
    ("Then I Search[tower] for it.", "malformed", "", None),
    ("Search[tower] is what I need.", "malformed", "", None),
    ("- Search: the tower\n- Finish: its builder\nThat is my plan.", "malformed", "", None),
]


@pytest.mark.parametrize(("text", "kind", "argument", "stays"), ACTIONS)
def test_an_action_of_react_is_read_in_any_mark_up(
    text: str, kind: str, argument: str, stays: str | None
) -> None:
    for before in ("", " I look.\n"):
        action = X.parse(Completion(before + text))
        assert (action.kind, action.argument) == (kind, argument)
        if kind != "malformed":
            assert action.text == before + (stays or text)


@pytest.mark.parametrize(
    "text",
    [
        *("Action: Search[who built", "**Action:** Finish(Anna", "Action: Finish[Love [Is]"),
        *("Action: search: who bu", "Action: Search\nAction Input: who b", "Action: Finish[\nAn"),
    ],
)
def test_an_action_in_mark_up_that_was_cut_is_malformed(text: str) -> None:
    assert X.parse(Completion(text, "length")).kind == "malformed"


# What stands in a box, between tags or in brackets, and the answer.
ANSWERS = [
    *((rf"\{command}{{Hamlet}}", "Hamlet") for command in ("textit", "emph", "textrm", "mbox")),
    *((rf"\{command}{{Hamlet}}", "Hamlet") for command in ("mathit", "texttt", "textsc", "text")),
    *((rf"\{command}{{Hamlet}}", "Hamlet") for command in ("underline", "operatorname", "textbf")),
    *((rf"\{command}{{Hamlet}}", "Hamlet") for command in ("mathrm", "mathbf", "mathsf", "fbox")),
    *((rf"\{command} Hamlet", "Hamlet") for command in ("displaystyle", "bf", "itshape", "large")),
    (r"\text {Hamlet}", "Hamlet"),
    (r"\textbf{\textit{Hamlet}}", "Hamlet"),
    (r"\textcolor{red}{Hamlet}", "Hamlet"),
    (r"\color{red} Hamlet", "Hamlet"),
    (r"{\it Hamlet}", "Hamlet"),
    (r"\text{New} \text{York}", "New York"),
    (r"\text{Hamlet, {Prince} of Denmark}", "Hamlet, {Prince} of Denmark"),
    ("New~York", "New York"),
    (r"New\,York", "New York"),
    (r"New\;York", "New York"),
    (r"New\ York", "New York"),
    (r"New\quad York", "New York"),
    (r"New\, \text{York}", "New York"),
    (r"\textbf{New}~\textbf{York}", "New York"),
    ("25~December,~2020", "25 December, 2020"),
    *((f"{low}~{high}", f"{low}~{high}") for low, high in (("100", "200"), ("1914", "1918"))),
    *((rf"\{command}{{Hamlet}}", "Hamlet") for command in ("operatorname*", "large", "bf")),
    *((rf"\{command}{{Hamlet}}", "Hamlet") for command in ("centerline", "mathop", "uppercase")),
    (r"na\"\i ve", "naïve"),
    (r"Th\acute{e}r\grave{e}se", "Thérèse"),
    (r"3\frac{1}{2}", "3 1/2"),
    *((f"Hamlet{end}", "Hamlet") for end in ("<end_of_turn>", "<eos>", "</s>", "<br>")),
    *((f"Hamlet{end}", "Hamlet") for end in ("</final_answer>", "<｜end▁of▁sentence｜>")),
    ("[Hamlet](https://en.wikipedia.org/wiki/Hamlet_(play))", "Hamlet"),
    *((text, text) for text in ("f(x)", "The Answer", "vector<int>", "A$AP Rocky", "*NSYNC")),
    *((text, text) for text in ("[1] (2)", "M*A*S*H", "a/b", "C_4", "10^2", "$5", "AT&T")),
    (r"New\\York", "New York"),
    ("J.~K. Rowling", "J. K. Rowling"),
    ("~500", "~500"),
    (r"AT\&T", "AT&T"),
    (r"50\%", "50%"),
    (r"\$5 million", "$5 million"),
    ("$5 million", "$5 million"),
    (r"\#1", "#1"),
    (r"a\_b", "a_b"),
    ("$Anna$", "Anna"),
    (r"\(Anna\)", "Anna"),
    (r"$x^{2}$", "x^2"),
    (r"San Jos\'e", "San José"),
    (r"San Jos\'{e}", "San José"),
    (r"San Jos{\'e}", "San José"),
    (r"Kurt G\"odel", "Kurt Gödel"),
    (r"Espa\~na", "España"),
    (r"Fran\c{c}ois", "François"),
    (r"Dvo\v{r}\'ak", "Dvořák"),
    (r"Erd\H{o}s", "Erdős"),
    (r"r\^{o}le", "rôle"),
    (r"na\"{\i}ve", "naïve"),
    (r"Stra\ss{}e", "Straße"),
    (r"Stra\ss e", "Straße"),
    (r"\O rsted", "Ørsted"),
    (r"\L\'od\'z", "Łódź"),
    (r"\AA lesund", "Ålesund"),
    ("1{,}000", "1,000"),
    (r"1\,000\,000", "1,000,000"),
    (r"\frac{1}{2}", "1/2"),
    (r"\sqrt{2}", r"\sqrt{2}"),
    (r"90^\circ", "90°"),
    (r"90^{\circ}\text{C}", "90°C"),
    (r"H_{2}O", "H_2O"),
    (r"\left(1, 2\right)", "(1, 2)"),
    (r"\{1, 2\}", "{1, 2}"),
    ("the set {1, 2}", "the set {1, 2}"),
    (r"1914\textendash 1918", "1914–1918"),
    (r"to be\dots", "to be..."),
    ("\text{Hamlet}", "Hamlet"),  # JSON's tab
    (r"\"Hamlet\"", "Hamlet"),  # JSON's quotation marks
    ("**Hamlet**", "Hamlet"),
    ("*Hamlet*", "Hamlet"),
    ("__Hamlet__", "Hamlet"),
    ("`Hamlet`", "Hamlet"),
    ('"Hamlet"', "Hamlet"),
    ("“Hamlet”", "Hamlet"),
    ("「Hamlet」", "Hamlet"),
    ("**“Hamlet”**", "Hamlet"),
    ('"Hamlet" and "Macbeth"', '"Hamlet" and "Macbeth"'),
    ("Answer: Hamlet", "Hamlet"),
    ("**Answer:** Hamlet", "Hamlet"),
    ("The final answer is: Hamlet", "Hamlet"),
    ("<answer>Hamlet</answer>", "Hamlet"),
    ("H<sub>2</sub>O", "H2O"),
    ("<b>Hamlet</b>", "Hamlet"),
    ("Hamlet<|im_end|>", "Hamlet"),
    ("  Hamlet \n", "Hamlet"),
    ("-5", "-5"),
    ("O'Brien's", "O'Brien's"),
    ("C:\\Users", "C:\\Users"),
    ("7 < 8", "7 < 8"),
    *((nothing, None) for nothing in ("", " ", "...", "…", "The", "the", "an", "a.", "**", '""')),
    *(
        (nothing, None)
        for nothing in (
            r"\text{}",
            r"\text{ }",
            "$$",
            "{}",
            "your answer",
            "answer",
            "(Your answer here)",
        )
    ),
]
ENCLOSED: list[tuple[Dialect, str, str]] = [
    (A, "ok</think>\n\\boxed{", "}"),
    (C, "</think>\\boxed {", "}."),
    (M, "It is **\\boxed{", "}**."),
    (M, "boxed{", "}"),
    (M, "\\fbox{", "}"),
    (M, "\\boxed{\\boxed{", "}}"),
    (M, "\x08oxed{", "}"),
    (S, "<answer>", "</answer>"),
    (S, "< Answer >", "</ANSWER>"),
    (S, "**<answer>", "</answer>**"),
    (R, "</think><answer>\\boxed{", "}</answer>"),
    (R, "</think><answer>The capital is \\boxed{", "}.</answer>"),
    (X, "Action: Finish[", "]"),
    (X, "Action: Finish[\\boxed{", "}]"),
]


@pytest.mark.parametrize(("content", "answer"), ANSWERS)
def test_an_answer_is_read_as_one_would_say_it(content: str, answer: str | None) -> None:
    for dialect, before, after in ENCLOSED:
        action = dialect.parse(Completion(before + content + after))
        assert action.argument == (answer or "")
        assert action.kind == ("answer" if answer else "malformed")


@pytest.mark.parametrize(("content", "answer"), ANSWERS)
def test_a_forced_answer_is_read_as_one_would_say_it(content: str, answer: str | None) -> None:
    for dialect in (A, C, S, R, M, X):
        lead = dialect.force.split()[-1]
        end = {"{": "}", "[": "]"}.get(lead[-1], "</answer>")
        whole = "Action: Finish[" if dialect is X else lead
        for text in (content + end, f"{content}{end} and more", whole + content + end):
            assert dialect.parse_forced(text) == answer


@pytest.mark.parametrize(
    ("dialect", "text", "answer"),
    [
        (A, r"\text{Paris", "Paris"),
        (A, r"\text{\textit{Paris", "Paris"),
        (M, "Paris} (the city {of} light", "Paris"),
        (M, "The answer is:\n\n**Paris**", "Paris"),
        (M, "\n\nParis\n\nQuestion: next", "Paris"),
        (M, "Paris}\n\nSo \\boxed{Lyon}", "Paris"),
        (M, "Sure!\n\nHere it is.\n\n\\boxed{Paris}", "Paris"),
        (M, "\\boxed{Paris}\n\nQuestion: next\n\\boxed{Lyon}", "Paris"),
        (A, "<answer>Paris</answer>", "Paris"),
        (X, "Love [Is", "Love [Is]"),
        (X, "Paris]\nQuestion: next\nAction: Finish[Lyon]", "Paris"),
        (X, "Thought: I know.\nAction: Finish[Paris]", "Paris"),
        (X, "finish[Paris", "Paris"),
        (X, "\\boxed{Paris}", "Paris"),
        *((S, f"Paris{cut}", "Paris") for cut in ("</", "</ans", "</answer", "<\\answer>")),
        *((A, f"```{name}\nParis\n```", "Paris") for name in ("", "text")),
        *((S, f"```{name}\nParis\n```</answer>", "Paris") for name in ("", "text")),
        (S, "The answer is <answer>Paris</answer>", "Paris"),
        (S, "Paris</answer> or <answer>Lyon</answer>", "Paris"),
        (S, "\\boxed{Paris", "Paris"),
        (S, "\n\nParis\nIt lies", "Paris"),
        (R, "<think>Lyon?</think>\n\nParis", "Paris"),
        (R, "<think>Lyon", None),
        (X, "<think>\nAction: Finish[Lyon]", None),
        (A, "<think>\\boxed{Lyon}", None),
    ],
)
def test_a_forced_answer_is_read_whatever_stands_around_it(
    dialect: Dialect, text: str, answer: str | None
) -> None:
    assert dialect.parse_forced(text) == answer


@pytest.mark.parametrize(
    ("dialect", "text", "kind", "argument"),
    [
        (
            S,
            "I will write it inside <answer> and </answer>. <answer>Anna</answer>",
            "answer",
            "Anna",
        ),
        (S, "I will write it inside <answer> and ", "malformed", ""),
        (S, "`<answer>` and `</answer>` hold it.", "malformed", ""),
        (S, "<answer>Anna</answer>, as I was told to use <answer> and </answer>", "answer", "Anna"),
        (S, "The form is <answer>your answer here</answer>", "malformed", ""),
        (S, "The form is <answer>...</answer>. <search> mill </search>", "search", "mill"),
        (S, "I can use <search> and </search>. <search> mill </search>", "search", "mill"),
        (S, "I can use <search> and ", "malformed", ""),
        (S, "In the <answer> tag I will say it.", "malformed", ""),
        (S, "I open <answer> and then close it with </answer>.", "malformed", ""),
        (S, "<answer>Anna<answer>", "answer", "Anna"),
        (S, "<answer>Anna<\\answer>", "answer", "Anna"),
        (S, '<answer lang="en">Anna</answer>', "answer", "Anna"),
        (S, "<search> mills < 9, vector<int> </search>", "search", "mills < 9, vector<int>"),
        (A, "<begin_search> <b>mill</b> </end_search>", "search", "mill"),
        (M, "I used the <think> tag. \\boxed{Anna}", "answer", "Anna"),
        (S, "I can use `<search>` and `</search>`. <answer>Anna</answer>", "answer", "Anna"),
        (S, "<search> query </search>", "malformed", ""),
        (S, "<search>...</search>", "malformed", ""),
        (A, "I may write <begin_search> your query </end_search>.", "malformed", ""),
        (A, "I use <begin_search> and </end_search>. <begin_search> mill ", "search", "mill"),
        (A, "</think>I use \\boxed{} to answer: \\boxed{Anna}", "answer", "Anna"),
        (A, "</think>\\boxed{Anna}, in the form \\boxed{}", "answer", "Anna"),
        (R, "<|begin_of_query|> keywords <|end_of_query|>", "malformed", ""),
        (M, "I have to use \\boxed{} for it.", "malformed", ""),
        (M, "\\boxed{Anna}. I used \\boxed{...} as told.", "answer", "Anna"),
        (M, "\\boxed{answer}, that is \\boxed{Anna}", "answer", "Anna"),
        (M, "\\boxed{Bert}, no, \\boxed{Anna} and \\boxed{ }", "answer", "Anna"),
        (M, "\\boxed{ \\boxed{Anna} and Bert}", "answer", "Anna and Bert"),
        (M, "\\boxed{Bert is wrong, so \\boxed{Anna}", "answer", "Anna"),
        (M, "\\boxed{Anna\n\nThat is it.", "answer", "Anna"),
    ],
)
def test_tags_that_are_mentioned_are_not_used(
    dialect: Dialect, text: str, kind: str, argument: str
) -> None:
    action = dialect.parse(Completion(text))
    assert (action.kind, action.argument) == (kind, argument)


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (M, "\\boxed{Bert} no wait, \\boxed{the capital"),
        (M, "\\boxed{\\text{Paris"),
        (M, "\\boxed{\\text{Paris}"),
        (A, "</think>\\boxed{\\boxed{Paris}"),
        (S, "<answer>Bert</answer> no wait, <answer>the cap"),
        (S, "<answer>\\boxed{Paris}"),
    ],
)
def test_an_answer_in_mark_up_that_was_cut_is_malformed(dialect: Dialect, text: str) -> None:
    assert dialect.parse(Completion(text, "length")).kind == "malformed"
