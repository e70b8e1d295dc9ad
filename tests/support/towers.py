"""A question with one answer, and a tiny model taught to play with it: where GRPO is watched."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from agent_model.dialects.agent import Agent
from agent_model.training import metrics, sft
from agent_model.training.config import GRPOConfig, SFTConfig, Stage
from agent_model.training.grpo import train as rl
from agent_model.training.grpo.metrics import GRPOStep
from autocoa_bench.types import Passage, Question, Record
from support.play import play
from support.tiny_llm import make_model

Episode = tuple[Sequence[str], Sequence[Passage]]
"""What the model says, and what each of its searches finds."""


def teach(
    folder: Path, stage: Stage, episodes: Sequence[Episode], builder: str, steps: int
) -> None:
    """Write a model that plays each of the episodes as often as the others, in `taught/model`;
    questions whose answer is Anna; and a corpus that names a builder of its own."""
    make_model(folder / "model")
    (folder / "prompt.txt").write_text("Question: {question}")
    dialect = Agent(prompt=str(folder / "prompt.txt"))
    questions = [Question(f"q{i}", f"Who built tower {i}?", ("Anna",)) for i in range(16)]
    lines = []
    for question in questions:
        for number, (texts, passages) in enumerate(episodes):
            made, _ = play(dialect, texts, passages)
            made = msgspec.structs.replace(made, opening=dialect.opening(question))
            lines.append(msgspec.json.encode(Record(question, number, made)))
    (folder / "records.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    rows = [
        {"id": each.id, "question": each.text, "golden_answers": ["Anna"]} for each in questions
    ]
    (folder / "towers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    passage = {"id": "p1", "contents": f'"Tower"\n{builder} built it.'}
    (folder / "corpus.jsonl").write_text(json.dumps(passage) + "\n")
    taught = SFTConfig(
        stage=stage,
        model=str(folder / "model"),
        data=(str(folder / "records.jsonl"),),
        dtype="fp32",
        lora=None,
        lr=1e-2,
        batch=8,
        max_steps=steps,
        held_out=0.0,
    )
    sft.train(taught, folder / "taught", Console(file=io.StringIO()))


def teach_either(folder: Path) -> None:
    """Teach a model that answers Anna or Bert, as often one as the other."""
    answers = [f"I know it.\n</think>\n\n\\boxed{{{name}}}" for name in ("Anna", "Bert")]
    teach(folder, "sft2", [([answer], ()) for answer in answers], "Anna", steps=120)


def recipe(place: Path, **changes: Any) -> GRPOConfig:
    """A short run from what was taught."""
    basic = GRPOConfig(
        stage="grpo",
        model=str(place / "taught" / "model"),
        tasks=str(place / "towers.jsonl"),
        corpus=str(place / "corpus.jsonl"),
        solver=f"agent:prompt={place / 'prompt.txt'}",
        dtype="fp32",
        lora=None,
        lr=5e-4,
        temperature=0.6,
        batch=4,
        group=4,
        max_steps=6,
        checkpoint_every=2,
        step_tokens=24,
        context_tokens=2048,
        seats=8,
    )
    return msgspec.structs.replace(basic, **changes)


def train(config: GRPOConfig, out: Path) -> list[GRPOStep]:
    """Run it; the rows of its metrics."""
    rl.train(config, out, Console(file=io.StringIO()))
    return metrics.read_metrics(out / "metrics.csv", GRPOStep)
