"""What a nano base model reads before it learns to act.

Four things: sentences that state the known facts of the worlds that questions are asked about;
such facts asked and answered, of the train world alone; passages about names of all worlds, with
questions and answers, whose facts are drawn by lot for each; and single searches about a third
world, in ReAct's form and, after the worked examples, in the agent's. These searches stand for the
instruction tuning of a full-sized base: without them no prompt could make it search.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, NamedTuple

from msgspec.structs import replace

from agent_model.data.gold_teacher import gold_episodes
from autocoa_bench import tasks
from autocoa_bench.episode import Dialect, Reply, episode
from autocoa_bench.runs.solvers import load_solver
from autocoa_bench.search import corpus
from autocoa_bench.search.factory import open_engine
from autocoa_bench.types import Budget, Completion, Observation, Question, Trajectory

SHOWN = "agent:shots=2"
"""The agent as an untrained model is asked to play it (paper 4.2, RL-stage2)."""

SOLVERS = ("model-only", "react", SHOWN, "agent:shots=0")
"""All that a nano model is ever asked to be."""

_BASE = "nano-base"
_PASSAGES = 8  # of a text that states facts
_TOP_K = 1
_MARK = "\u2042"  # stands for a question
_SENTENCE = re.compile(r"[^.]+\.")
_LAST_WORD = re.compile(r"(\w+)(?=\.)")
_ANSWER = re.compile(r"(?<= It is )(\w+)")

Parts = tuple[str, ...]
"""A text in parts that are read and learned in turn."""


class ShownText(NamedTuple):
    """What is played for a base model to read: answers from memory, and searches."""

    answers: tuple[Trajectory, ...]
    searches: tuple[Trajectory, ...]


def shown(seed: int) -> ShownText:
    """All of it, the wordings of searches by the seed."""
    return ShownText(tuple(_answers()), tuple(_searches(seed)))


def texts(shown: ShownText, tokenizer: Any, passes: int, seed: int) -> Iterator[Parts]:
    """Everything that is to be read, the facts and the answers `passes` times."""
    rng = Random(seed)
    for _ in range(passes):
        yield from statements(rng)
        yield from (_turns(each, tokenizer) for each in shown.answers)
    yield from (_turns(each, tokenizer) for each in shown.searches)
    yield from reading_parts()


def spoken(trajectories: Iterable[Trajectory]) -> Iterator[str]:
    """What stands in trajectories beside their prompts."""
    for trajectory in trajectories:
        yield from (step.text + step.observation for step in trajectory.steps)


def statements(rng: Random) -> Iterator[Parts]:
    """All known facts once, a few entities a text, sentences and entities in random order: of each
    sentence its last word is learned."""
    found = [
        _SENTENCE.findall(passage.text)
        for passage in corpus.read_passages(corpus.corpus_file("nano-known"))
    ]
    rng.shuffle(found)
    for start in range(0, len(found), _PASSAGES):
        some = found[start : start + _PASSAGES]
        text = " ".join(" ".join(rng.sample(each, len(each))) for each in some)
        yield tuple(_LAST_WORD.split(text))


def reading_parts() -> Iterator[Parts]:
    """Passages with questions and answers, about facts that hold nowhere else: the answers are
    learned, since nothing else in them can be foreseen."""
    for passage in corpus.read_passages(corpus.corpus_file("nano-readings")):
        yield tuple(_ANSWER.split(passage.text))


def _answers() -> Iterator[Trajectory]:
    """The train world's known facts, asked one at a time, answered without a search."""
    dialect = _dialect("model-only")
    for question in _singles("nano", "known"):
        answer = f"\\boxed{{{question.golden_answers[0]}}}"
        yield _played(question, dialect, [Completion(answer)])


def _searches(seed: int) -> Iterator[Trajectory]:
    """One search a question about the third world: in either form."""
    agent, react = _dialect(SHOWN), _dialect("react")
    asked = [replace(each, kind="") for each in tasks.resolve(_BASE)[0].load("train")]
    engine = open_engine("bm25", _BASE, _TOP_K)
    for question, lesson in gold_episodes(asked, engine, seed, (_TOP_K,)):
        if isinstance(lesson, str):
            continue
        yield replace(lesson, opening=agent.opening(question))
        yield _played(question, react, _as_react(question, lesson))


def _as_react(question: Question, lesson: Trajectory) -> Iterator[Reply]:
    """The agent's lesson in ReAct's form."""
    answer = question.golden_answers[0]
    for step in lesson.steps:
        if step.kind == "search":
            yield Completion(f" I look it up.\nAction: Search[{step.argument}]")
            yield Observation(step.passages)
        else:
            yield Completion(f" It is {answer}.\nAction: Finish[{answer}]")


def _singles(group: str, kind: str) -> list[Question]:
    found = [question for task in tasks.resolve(group) for question in task.load("train")]
    return [question for question in found if question.kind == kind]


def _dialect(solver: str) -> Dialect:
    dialect: Dialect = load_solver(solver).plugin  # type: ignore[assignment]
    return dialect


def _played(question: Question, dialect: Dialect, replies: Iterable[Reply]) -> Trajectory:
    """An episode over what was said beforehand."""
    run = episode(question, dialect, Budget())
    next(run)
    for reply in replies:
        try:
            run.send(reply)
        except StopIteration as end:
            trajectory: Trajectory = end.value
            return trajectory
    raise AssertionError(f"the text of '{question.text}' ends in no answer")


def _turns(trajectory: Trajectory, tokenizer: Any) -> Parts:
    """All of a trajectory, with its end of turn: what the model says is learned."""
    messages = [{"role": each.role, "content": each.content} for each in trajectory.opening]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    *before, last = trajectory.steps
    said = (part for step in before for part in (step.text, step.observation))
    return (prompt + trajectory.prefill, *said, f"{last.text} {tokenizer.eos_token}")


def phrases() -> list[str]:
    """What the solvers' prompts say beside the question, and a nudge: texts that repeat."""
    openings = [
        message.content
        for solver in SOLVERS
        for message in _dialect(solver).opening(Question("", _MARK, ()))
    ]
    nudges = [text for solver in SOLVERS for text in (_dialect(solver).nudge,) if text]
    pieces = [piece.strip() for text in (*openings, *nudges) for piece in text.split(_MARK)]
    return list(dict.fromkeys(piece for piece in pieces if len(piece.split()) > 1))


def between() -> Iterator[str]:
    """What the solvers put between a model's words: where nothing is found, and before an answer
    that must be given."""
    for dialect in map(_dialect, SOLVERS):
        yield dialect.force
        if dialect.searches:
            yield dialect.show(())
