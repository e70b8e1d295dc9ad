"""A third party's solver, task, model engine, search engine, scorer, judge prompt and command."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from autocoa_bench import (
    Action,
    Completion,
    EngineConfig,
    EngineSpec,
    Generate,
    Message,
    Passage,
    Question,
    Sampling,
    SearchSpec,
    Split,
    Step,
    TaskInfo,
    Trajectory,
    questions_sha256,
)

QUESTIONS = (
    Question("1", "Who built the tower?", ("Anna",), "toy"),
    Question("2", "Who built the mill?", ("Bert",), "toy"),
)


class Shouting:
    """A dialect of a screen: `FIND x` searches, `SAY x` answers."""

    name = "toy-dialect"
    section = "Toys"
    searches = True
    prefill = ""
    stop: tuple[str, ...] = ("\n",)
    nudge: str | None = None
    force = "SAY "
    force_stop: tuple[str, ...] = ("\n",)

    def opening(self, question: Question) -> tuple[Message, ...]:
        return (Message("user", question.text),)

    def parse(self, completion: Completion) -> Action:
        word, _, rest = completion.text.partition(" ")
        kinds = {"FIND": "search", "SAY": "answer"}
        return Action(kinds.get(word, "malformed"), completion.text, rest)  # type: ignore[arg-type]

    def show(self, passages: Sequence[Passage]) -> str:
        return "".join(f"\n{passage.text}\n" for passage in passages)

    def parse_forced(self, text: str) -> str | None:
        return text.strip() or None


class Guess:
    """A solver that is any function from a question to a trajectory."""

    name = "toy-function"
    section = "Toys"

    def solve(self, question: Question) -> Trajectory:
        step = Step("answer", "Anna", "Anna")
        return Trajectory(
            self.name, (Message("user", question.text),), "", (step,), "Anna", "answered"
        )


class Parrot:
    """A model engine that searches once and repeats the first word it was shown."""

    def __init__(self, options: EngineConfig) -> None:
        self.model = options.model

    async def start(self) -> EngineSpec:
        return EngineSpec("toy", self.model, "none")

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        shown = [turn.text for turn in request.prompt.turns if turn.source == "environment"]
        text = (
            f"SAY {shown[-1].split()[0]}" if shown else f"FIND {request.prompt.opening[0].content}"
        )
        return [Completion(text)] * n

    async def close(self) -> None:
        pass


class OneShelf:
    """A search engine over two passages."""

    def __init__(self, corpus: str, *, top_k: int) -> None:
        self.spec = SearchSpec("toy", corpus, "0" * 64, 2, {}, top_k)

    async def search(self, query: str) -> tuple[Passage, ...]:
        builder = "Anna" if "tower" in query else "Bert"
        return (Passage("p", "Builders", f"{builder} built it."),)

    async def close(self) -> None:
        pass


class _Toy:
    info = TaskInfo(
        name="toy",
        title="Toy",
        edition="file",
        shape="single hop",
        source="the test suite",
        licence="MIT",
        count=2,
        sha256=questions_sha256(QUESTIONS),
        corpora={"test": "shelf"},
    )

    def load(self, split: Split = "test") -> Sequence[Question]:
        return QUESTIONS


task = _Toy()


def same_initial(prediction: str, golds: Sequence[str]) -> float:
    """1.0 if the prediction begins with a gold's first letter."""
    return float(any(prediction[:1] == gold[:1] for gold in golds))


class YesNo:
    """A judge that says yes or no."""

    max_tokens = 4

    def opening(self, question: str, golds: Sequence[str], answer: str) -> tuple[Message, ...]:
        return (Message("user", f"Is {answer} {golds[0]}? {question}"),)

    def read(self, reply: str) -> bool | None:
        return {"yes": True, "no": False}.get(reply)


command = typer.Typer()


@command.command()
def greet(name: str) -> None:
    """Greet somebody."""
    typer.echo(f"hello {name}")
