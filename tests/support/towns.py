"""A little search task for whole runs: questions, a corpus, and a model that plays along."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from support.mock_server import Body

_NUMBER = re.compile(r"town (\d+)\?")


def write_task(folder: Path, questions: int) -> tuple[str, str]:
    """Write towns.jsonl and corpus.jsonl; returns their paths. Odd towns' mayors are Bert."""
    rows: list[dict[str, Any]] = []
    passages = []
    for number in range(questions):
        mayor = "Bert" if number % 2 else "Anna"
        rows.append(
            {
                "id": f"q{number}",
                "question": f"Who is the mayor of town {number}?",
                "golden_answers": [mayor],
            }
        )
        text = f"The mayor of town {number} is {mayor}."
        passages.append({"id": f"p{number}", "contents": f'"Town {number}"\n{text}'})
    for name, lines in (("towns", rows), ("corpus", passages)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / "towns.jsonl"), str(folder / "corpus.jsonl")


def town_of(body: Body) -> int:
    """Which town a chat request is about."""
    match = _NUMBER.search(body["messages"][0]["content"])
    assert match is not None
    return int(match[1])


def reply(body: Body) -> str:
    """Search twice, then answer Anna: right for the even towns."""
    searches = sum(message["role"] == "assistant" for message in body["messages"])
    if searches < 2:
        return f"I look.\n<begin_search> mayor of town {town_of(body)} </end_search>"
    return "</think>\n\\boxed{Anna}"


def reply_continued(body: Body) -> str:
    """The same where the assistant's one turn is continued."""
    done = body["messages"][-1]["content"].count("</search_result>")
    if done < 2:
        return f"I look.\n<begin_search> mayor of town {town_of(body)} </end_search>"
    return "</think>\n\\boxed{Anna}"
