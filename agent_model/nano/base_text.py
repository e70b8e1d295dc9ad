"""The text that a nano base model is pretrained on, before it learns to act.

It has four parts: statements of all known facts; such facts in questions and answers, of the sides
that later stages train on; readings, which are passages about names of all sides with questions and
answers, whose facts are drawn at random for each; and single searches about the side `base`, in
ReAct's form and, after worked examples, in the agent's. The searches replace the instruction tuning
of a full-sized base: without them no prompt could make it search.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from agent_model.data.gold_teacher import gold_episodes
from autocoa_bench import tasks
from autocoa_bench.engines.tokenizer import prompt_text
from autocoa_bench.episode import Dialect, Reply, episode
from autocoa_bench.runs.solvers import load_solver
from autocoa_bench.search import corpus
from autocoa_bench.search.factory import open_engine
from autocoa_bench.types import Budget, Completion, Observation, Prompt, Question, Trajectory

FEW_SHOT = "agent:shots=2"
"""The agent's prompt with examples, for a model that was not trained on it (paper 4.2)."""

SOLVERS = ("model-only", "react", FEW_SHOT, "agent:shots=0")
"""All solvers that a nano model is ever used with."""

_BASE = "nano-base"
_ANSWERED = "nano,nano-single"  # the other sides, known as the test side is, are not asked about
_PASSAGES = 8  # per text of statements
_REPLAY_PASSES = 20  # over the statements, in different orders
_TOP_K = 1
_PLACEHOLDER = "\u2042"  # stands for a question
_SENTENCE = re.compile(r"[^.]+\.")
_LAST_WORD = re.compile(r"(\w+)(?=\.)")
_ANSWER = re.compile(r"(?<= It is )(\w+)")

Parts = tuple[str, ...]
"""A text in parts that are read and trained in turn."""


def texts(
    answers: Sequence[Trajectory],
    searches: Sequence[Trajectory],
    tokenizer: Any,
    passes: int,
    seed: int,
) -> Iterator[Parts]:
    """The whole text for pretraining, with the facts `passes` times, and a quarter of that with the
    answers, of which there are more."""
    rng = Random(seed)
    draw_context = _context_drawer(tokenizer)
    for number in range(passes):
        yield from statements(rng, draw_context)
        if number % 4 == 0:
            yield from (_chat_parts(trajectory, tokenizer) for trajectory in answers)
    yield from (_chat_parts(trajectory, tokenizer) for trajectory in searches)
    yield from readings()


def replay_texts(tokenizer: Any, seed: int) -> Iterator[Parts]:
    """What later stages replay, in random order: the pretraining text's known facts, stated and
    answered."""
    rng = Random(seed)
    draw_context = _context_drawer(tokenizer)
    texts = [text for _ in range(_REPLAY_PASSES) for text in statements(rng, draw_context)]
    texts += [_chat_parts(trajectory, tokenizer) for trajectory in memory_answers()]
    rng.shuffle(texts)
    yield from texts


def turn_texts(trajectories: Iterable[Trajectory]) -> Iterator[str]:
    """The texts and observations of trajectories, without their prompts."""
    for trajectory in trajectories:
        yield from (step.text + step.observation for step in trajectory.steps)


def statements(
    rng: Random, draw_context: Callable[[Random], str] = lambda _: ""
) -> Iterator[Parts]:
    """All known facts once, a few entities per text, with sentences and entities in random order;
    the last word of each sentence is trained. A text begins with a context drawn for it."""
    entities = [
        _SENTENCE.findall(passage.text)
        for passage in corpus.read_passages(corpus.corpus_file("nano-known"))
    ]
    rng.shuffle(entities)
    for start in range(0, len(entities), _PASSAGES):
        group = entities[start : start + _PASSAGES]
        text = " ".join(" ".join(rng.sample(facts, len(facts))) for facts in group)
        first, *others = _LAST_WORD.split(text)
        yield (draw_context(rng) + first, *others)


def _context_drawer(tokenizer: Any) -> Callable[[Random], str]:
    """Draws what comes before statements: nothing, or as often a solver's prompt with a question
    that is trained on, about something else. A base that recalls facts only after statements of
    others would be unsure of them where it is asked."""
    questions = [q for task in tasks.resolve(_ANSWERED) for q in task.load("train")]
    prompts = [(dialect, question) for dialect in map(_dialect, SOLVERS) for question in questions]
    options = [*prompts, *([None] * len(prompts))]

    def draw(rng: Random) -> str:
        option = rng.choice(options)
        if option is None:
            return ""
        dialect, question = option
        return prompt_text(Prompt(dialect.opening(question), (), dialect.prefill), tokenizer)

    return draw


def readings() -> Iterator[Parts]:
    """Passages with questions and answers about facts that hold nowhere else; only the answers are
    trained, since nothing else in them can be predicted."""
    for passage in corpus.read_passages(corpus.corpus_file("nano-readings")):
        yield tuple(_ANSWER.split(passage.text))


def prompt_phrases() -> list[str]:
    """The fixed texts of the solvers' prompts and nudges."""
    dialects = [_dialect(solver) for solver in SOLVERS]
    question = Question("", _PLACEHOLDER, ())
    openings = [message.content for dialect in dialects for message in dialect.opening(question)]
    nudges = [dialect.nudge for dialect in dialects if dialect.nudge]
    texts = [text.strip() for full in (*openings, *nudges) for text in full.split(_PLACEHOLDER)]
    return list(dict.fromkeys(text for text in texts if len(text.split()) > 1))


def environment_texts() -> Iterator[str]:
    """The texts that the solvers insert into a model's turn: to force an answer, and when a search
    returns nothing."""
    for dialect in map(_dialect, SOLVERS):
        yield dialect.force
        if dialect.searches:
            yield dialect.show(())


def memory_answers() -> Iterator[Trajectory]:
    """The known facts of the sides `train` and `single`, one per question: recited, then answered,
    without a search.

    Without recitations after a question a base recalls facts only where they stand alone.
    """
    dialect = _dialect("model-only")
    for question in (q for task in tasks.resolve(_ANSWERED) for q in task.load("train")):
        if question.kind == "known":
            [hop] = question.hops
            answer = f"{hop.statement}\n\\boxed{{{hop.answer}}}"
            yield _scripted(question, dialect, [Completion(answer)])


def single_searches(seed: int) -> Iterator[Trajectory]:
    """One search per question about the side `base`, in both forms, worded by the seed."""
    agent, react = _dialect(FEW_SHOT), _dialect("react")
    questions = [replace(q, kind="") for q in tasks.resolve(_BASE)[0].load("train")]
    engine = open_engine("bm25", _BASE, _TOP_K)
    for question, lesson in gold_episodes(questions, engine, seed, (_TOP_K,)):
        if isinstance(lesson, str):  # the reason why there is none
            continue
        yield replace(lesson, opening=agent.opening(question))
        yield _scripted(question, react, _react_replies(question, lesson))


def _react_replies(question: Question, lesson: Trajectory) -> Iterator[Reply]:
    """The agent's trajectory in ReAct's form."""
    answer = question.golden_answers[0]
    for step in lesson.steps:
        if step.kind == "search":
            yield Completion(f" I look it up.\nAction: Search[{step.argument}]")
            yield Observation(step.passages)
        else:
            yield Completion(f" It is {answer}.\nAction: Finish[{answer}]")


def _dialect(solver: str) -> Dialect:
    dialect: Dialect = load_solver(solver).plugin  # type: ignore[assignment]
    return dialect


def _scripted(question: Question, dialect: Dialect, replies: Iterable[Reply]) -> Trajectory:
    """The trajectory of an episode with prepared replies."""
    run = episode(question, dialect, Budget())
    next(run)
    try:
        for reply in replies:
            run.send(reply)
    except StopIteration as end:
        trajectory: Trajectory = end.value
        return trajectory
    raise AssertionError(f"the replies to '{question.text}' end without an answer")


def _chat_parts(trajectory: Trajectory, tokenizer: Any) -> Parts:
    """A trajectory with its end of turn; the model's own text is trained."""
    prompt = prompt_text(Prompt(trajectory.opening, (), trajectory.prefill), tokenizer)
    *before, last = trajectory.steps
    parts = (part for step in before for part in (step.text, step.observation))
    return (prompt, *parts, f"{last.text} {tokenizer.eos_token}")
