"""Judges for tests: what run.json says of one, and a model that plays one by exact match."""

from __future__ import annotations

import json
import re

from msgspec.structs import replace

from autocoa_bench.types import EngineSpec, JudgeSpec, Sampling
from support.mock_server import Body


def judge_spec(model: str = "mock", **fields: object) -> JudgeSpec:
    """A greedy judge on a server, but for what `fields` say."""
    spec = JudgeSpec(EngineSpec("openai", model, "chat"), "brief", "0" * 64, 1, Sampling())
    return replace(spec, **fields)


def asked_about(body: Body) -> tuple[str, list[str], str]:
    """The question, golds and answer that a request shows the judge."""
    text = body["messages"][0]["content"]
    lines = (re.search(rf"^{name}: (.+)$", text, re.M) for name in _LINES)
    question, golds, answer = (json.loads(line[1]) for line in lines if line)
    return question, golds, answer


_LINES = ("Question", "References", "Answer")


def exact(body: Body) -> str:
    """A judge that wants a gold word for word."""
    _, golds, answer = asked_about(body)
    return f"Verdict: {'correct' if answer in golds else 'incorrect'}"
