"""Function calling: the model calls `search` as a tool, in the format that it was trained with.

One dialect, two transports, which the protocol of the model server decides:

- *raw* (`template`): the opening offers the functions, and the model's own chat template renders
  them. The model's text is read here, whatever its format (`episode.tool_calls`), and the results
  are written as its template writes them (`ModelTraits.tool_turns`). The turn is one text that only
  grows, so every token that was sampled goes back as it was sampled, and masks are those of any
  other dialect.
- *native* (`chat`): requests carry `tools`, and the server reads the calls. The client writes them
  into the completion's text in Hermes' form and makes `tool_calls` of it again when it sends the
  turn back (`engines.openai.native_calls`), so that this dialect reads one text in both cases.

What the episode needs for it is small. A first message of the role `tools` in the opening holds the
functions. A completion may hold several calls: each becomes a step with its own observation, of
which only the first has the text. Thus actions, evidence and records count as elsewhere.
"""

import json
from collections.abc import Sequence

from agent_model.dialects.tags import read_prompt
from autocoa_bench.episode import Action, Call
from autocoa_bench.episode.answer_text import forced_boxed, last_boxed, plain_query
from autocoa_bench.episode.thoughts import CLOSE, outside_thoughts
from autocoa_bench.episode.tool_calls import ToolCall, tool_calls
from autocoa_bench.types import Completion, Message, Passage, Question

_SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Look a fact up. Returns the passages that match the query best.",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What to look up, in a few words."}
            },
            "required": ["query"],
        },
    },
}
_OFFER = Message("tools", json.dumps([_SEARCH]))
_RESULT = "<tool_response>"


class Tools:
    """Calls of `search` as a function, then a boxed answer.

    Calls inside a thought do not count. Several calls in one message are answered in order. A call
    that cannot be read is malformed, and is corrected once. Text after the calls is cut. `prompt`
    names a text file with `{question}` in it that replaces the instruction.
    """

    name = "tools"
    section = "Agent model"
    searches = True
    prefill = ""
    # A server may leave the closing tag out; results are not the model's to write.
    query_tags = ("<tool_call>", "</tool_call>")
    stop: tuple[str, ...] = (_RESULT,)
    instruction = """\
Answer the question. Whenever a fact is missing or uncertain, call the function search, for one \
fact at a time and as often as you need. When nothing is missing, give the answer alone, as few \
words as possible, inside \\boxed{}.

Question: {question}"""
    nudge: str | None = (
        "That was neither a call nor an answer. Call the function search, with its arguments as "
        "JSON, or give the answer in \\boxed{}."
    )
    force = "The answer is \\boxed{"
    force_stop: tuple[str, ...] = ()

    def __init__(self, prompt: str | None = None) -> None:
        self._template = self.instruction if prompt is None else read_prompt(prompt)

    def opening(self, question: Question) -> tuple[Message, ...]:
        text = self._template.replace("{question}", question.text)
        return (_OFFER, Message("user", text))

    def parse(self, completion: Completion) -> Action:
        text = completion.text.partition(_RESULT)[0]
        cut = completion.stop_reason == "length"
        outside = outside_thoughts(text, CLOSE if completion.thinking else "").text
        calls = tool_calls(text, outside)
        if cut and calls and (calls[-1].missing or calls[-1].arguments is None):
            calls.pop()
            if not calls:
                return Action("malformed", text, problem="the call ran out of step tokens")
        if calls:
            return _searches(text, calls)
        answer = last_boxed(outside, cut=cut)
        if answer:
            return Action("answer", text, answer)
        problem = "no call, no answer"
        if outside != text and (tool_calls(text, text) or last_boxed(text, cut=cut)):
            problem = "a call or an answer inside a thought"
        return Action("malformed", text, problem=problem)

    def show(self, passages: Sequence[Passage]) -> str:
        results = (f'result {i}: "{p.title}"\n{p.text}' for i, p in enumerate(passages, 1))
        return "\n".join(results) or "No passage was found."

    def parse_forced(self, text: str) -> str | None:
        return forced_boxed(text)


def _searches(text: str, calls: Sequence[ToolCall]) -> Action:
    """The calls of a text as searches; malformed if one of them cannot be read."""
    searches = []
    for call in calls:
        arguments = call.arguments
        if arguments is None:
            return Action("malformed", text, problem="a call whose arguments are no JSON object")
        if call.name != "search":
            return Action("malformed", text, problem="a call of a function that is not offered")
        query = arguments.get("query")
        # JSON can spell half a character, which no file takes.
        query = query.encode("utf-8", "replace").decode() if isinstance(query, str) else ""
        query = plain_query(query)
        if not query:
            return Action("malformed", text, problem="a search without a query")
        searches.append(Call(query, text[: call.end] + call.missing))
    if not text[calls[-1].end :].strip():  # white space stays, so that the sampled ids do
        searches[-1] = searches[-1]._replace(text=text + calls[-1].missing)
    several = tuple(searches) if len(searches) > 1 else ()
    return Action("search", searches[-1].text, searches[0].query, calls=several)
