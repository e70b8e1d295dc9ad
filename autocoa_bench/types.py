"""The records that every room shares: frozen, typed, serialisable with msgspec.

Nothing here does I/O or knows a solver, a dataset or a server. Text is str, times are seconds,
counts of tokens are the server's where it reports them and estimates otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from autocoa_bench.option import Option

Split = Literal["test", "train"]


class Passage(Struct, frozen=True, omit_defaults=True):
    """One unit of a corpus; `score` is the search engine's own (higher is better)."""

    id: str
    title: str
    text: str
    score: float | None = None


class Hop(Struct, frozen=True, omit_defaults=True):
    """One link of a gold chain: a sub-question, its answer, and the passage that states it.

    `passage_id` is empty where a dataset has sub-questions but no passages. `phrase` is the stretch
    of the question's text that stands for the answer ("the director of ..."), where there is one.
    `aliases` are other names of the answer.
    """

    question: str
    answer: str
    passage_id: str
    phrase: str = ""
    aliases: tuple[str, ...] = ()


class Question(Struct, frozen=True, omit_defaults=True):
    """A question with its golds. `kind` is the dataset's own type (bridge, comparison, ...).

    `wording` says, for generated questions, whether the training split words any question the
    same way (`shared`) or none (`held-out`). `gold_titles` are the titles of the pages that
    answer it, where a dataset names those and no passages of the corpus.
    """

    id: str
    text: str
    golden_answers: tuple[str, ...]
    task: str = ""
    kind: str = ""
    wording: str = ""
    hops: tuple[Hop, ...] = ()
    gold_titles: tuple[str, ...] = ()


class Message(Struct, frozen=True):
    """A chat message of the opening: what stands before the model's own turn."""

    role: Literal["system", "user", "assistant"]
    content: str


class Turn(Struct, frozen=True):
    """A piece of the episode after the opening, by who wrote it.

    The pieces joined in order are the assistant's one continued turn. `environment` is all that
    the model did not sample: a prefilled tag, an observation, a nudge, a forced answer's opening.
    `token_ids` of a model's turn are the sampled ids that spell `text`, where they are known; of an
    environment's those that spell the part of it that the model wrote itself (a simulated
    observation), and None where there is none.
    """

    source: Literal["model", "environment"]
    text: str
    token_ids: tuple[int, ...] | None = None


class Prompt(Struct, frozen=True):
    """All that a model is shown; an engine renders it as its server can (continued, chat, text)."""

    opening: tuple[Message, ...]
    turns: tuple[Turn, ...] = ()
    prefill: str = ""
    """Opens the assistant's turn where the server lets the turn be continued."""

    @property
    def continuation(self) -> str:
        """The assistant's turn so far."""
        return self.prefill + "".join(turn.text for turn in self.turns)


class Generate(Struct, frozen=True):
    """An episode asks for model text: at most `max_tokens`, ending before or with a stop string."""

    prompt: Prompt
    stop: tuple[str, ...]
    max_tokens: int
    forced: bool = False


class Search(Struct, frozen=True):
    """An episode asks for passages; `before` is the turn up to the search, itself included."""

    query: str
    before: Prompt


class Completion(Struct, frozen=True, omit_defaults=True):
    """What a model server gave.

    `text` may or may not end with the stop string: servers differ, so dialects read both.
    `stop_reason` is `stop` (end of turn or a stop string), `length`, or the server's own word.
    `stop_string` is the stop string where the server names it. `token_ids` are the sampled ids,
    those of a stop string included, where the server offers them. None: not reported.
    """

    text: str
    stop_reason: str = "stop"
    stop_string: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    token_ids: tuple[int, ...] | None = None
    seconds: float = 0.0


class Observation(Struct, frozen=True):
    """What a search engine gave, best first.

    Where a model played it, `text` may be the observation as it stands in the turn, and `token_ids`
    the ids that the model sampled for its own part of that.
    """

    passages: tuple[Passage, ...]
    seconds: float = 0.0
    text: str = ""
    token_ids: tuple[int, ...] | None = None


class Refused(Struct, frozen=True):
    """A server's answer to a prompt that is too long for it, with the sizes that it names.

    `context_tokens` is its whole context, prompt and completion together.
    """

    message: str
    context_tokens: int | None = None
    prompt_tokens: int | None = None


class Sampling(Struct, frozen=True):
    """How a model server samples. Temperature 0 is greedy."""

    temperature: Annotated[float, Option(help="0 is greedy.", min=0.0, max=100.0)] = 0.0
    top_p: Annotated[
        float, Option(help="Probability mass that is sampled from; 1 is all.", min=0.01, max=1.0)
    ] = 1.0
    repetition_penalty: Annotated[float, Option(help="1 is none.", min=0.1, max=10.0)] = 1.0
    seed: Annotated[int, Option(help="Seed of the model's sampling.")] = 0


class Budget(Struct, frozen=True):
    """An episode's limits (Algorithm 1: `max_actions` is T, `context_tokens` is N).

    Algorithm 1 has no limit to a single completion; `step_tokens` is one against endless text,
    2,048 as in the released code's training. A completion that it cuts before an action or an
    answer is malformed.
    """

    max_actions: Annotated[int, Option(help="Searches per episode (T).", min=0)] = 10
    context_tokens: Annotated[int, Option(help="Tokens per episode (N).", min=1024)] = 8192
    step_tokens: Annotated[int, Option(help="Tokens per completion.", min=1)] = 2048
    answer_tokens: Annotated[int, Option(help="Tokens of a forced answer.", min=1)] = 64


StepKind = Literal["search", "answer", "malformed"]

Ending = Literal["answered", "forced-actions", "forced-context", "forced-malformed"]


class Step(Struct, frozen=True, omit_defaults=True):
    """One completion, what it was read as, and what the environment replied.

    `text` is what the model sampled, with a stripped stop string put back and what follows the
    action cut; `token_ids` are the sampled ids where all that they spell is `text`, else None: an
    answer's may end with the token that ends the turn, no other step's. `observation` is all the
    environment's text that follows it in the turn, and `observation_ids` the ids of what the model
    wrote of that itself, playing the search engine. `argument` is the query or the answer.
    `problem` says why a step is malformed. `dropped_passages` counts passages that the context
    budget had no room for.
    """

    kind: StepKind
    text: str
    argument: str = ""
    problem: str = ""
    forced: bool = False
    observation: str = ""
    passages: tuple[Passage, ...] = ()
    dropped_passages: int = 0
    stop_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    observation_tokens: int = 0
    observation_ids: tuple[int, ...] | None = None
    token_ids: tuple[int, ...] | None = None
    generate_seconds: float = 0.0
    search_seconds: float = 0.0


class Trajectory(Struct, frozen=True, omit_defaults=True):
    """A finished episode. `answer` None: the model gave none, even when forced.

    `refusals` counts prompts that the server refused for their length: the episode was then
    shortened to what the server has room for.
    """

    solver: str
    opening: tuple[Message, ...]
    prefill: str
    steps: tuple[Step, ...]
    answer: str | None
    ending: Ending
    refusals: int = 0


class FaultNote(Struct, frozen=True):
    """Why a question has no trajectory: the harness's failure, not the model's."""

    kind: str
    message: str


class Record(Struct, frozen=True, omit_defaults=True):
    """One line of records.jsonl: a question, a sample number, and a trajectory or a fault."""

    question: Question
    sample: int
    trajectory: Trajectory | None = None
    fault: FaultNote | None = None
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str, int]:
        """(task, question id, sample): unique in a run."""
        return (self.question.task, self.question.id, self.sample)


class Scored(Struct, frozen=True):
    """One line of scores.jsonl: the scores of one record, by scorer."""

    task: str
    question_id: str
    sample: int
    scores: dict[str, Score]


class Score(Struct, frozen=True, omit_defaults=True):
    """A number in [0, 1], or None with a reason (the harness's failure, never the model's).

    A model that gave no answer scores 0.0, and `reason` says so.
    """

    value: float | None
    reason: str = ""


class TaskInfo(Struct, frozen=True):
    """What is known of a dataset before it is loaded.

    `sha256` is of the questions' canonical form (`autocoa_bench.tasks.questions_sha256`); None
    for a user's own file. `corpora` names, by split, the corpus that its questions are asked over.
    """

    name: str
    title: str
    edition: Literal["embedded", "real", "file"]
    shape: str
    source: str
    licence: str
    count: int | None
    sha256: str | None
    groups: tuple[str, ...] = ()
    corpora: dict[str, str] = {}


class TaskSample(Struct, frozen=True):
    """Which questions of a task a run asks: their ids in order."""

    task: str
    edition: str
    sha256: str
    question_ids: tuple[str, ...]


class SearchSpec(Struct, frozen=True):
    """Which passages a run sees. `settings` are the engine's own (k1, b, stemmer, ...)."""

    engine: str
    corpus: str
    corpus_sha256: str
    passages: int
    settings: dict[str, str | int | float]
    top_k: int


class EngineSpec(Struct, frozen=True):
    """Which model answers, and how prompts reach it (`protocol`: see engines.wire)."""

    engine: str
    model: str
    protocol: str
    settings: dict[str, str | int | float] = {}


class RunSpec(Struct, frozen=True):
    """Everything that makes a run's numbers comparable; equal specs may share a folder."""

    solver: str
    prompt_sha256: str
    tasks: tuple[TaskSample, ...]
    search: SearchSpec | None
    engine: EngineSpec
    sampling: Sampling
    samples: int
    budget: Budget


class JudgeSpec(Struct, frozen=True):
    """Which model says whether answers are right, and how it is asked; equal specs are one judge.

    `prompt` names a plug-in, `prompt_sha256` is of all that it shows a judge. `votes` are the
    replies an answer, each sampled as `sampling` says with a seed of its own.
    """

    engine: EngineSpec
    prompt: str
    prompt_sha256: str
    votes: int
    sampling: Sampling


class Environment(Struct, frozen=True):
    """Where and with what a run was made: recorded, but not part of what must be equal."""

    started: str
    base_url: str
    concurrency: int
    git_revision: str
    versions: dict[str, str]
    search: str = ""
    """The search engine as `--search` named it: where a server's passages came from."""
    engine: str = ""
    """The model engine as `--engine` named it, options included."""


class RunInfo(Struct, frozen=True):
    """The content of run.json. `sessions`: where it was run, one for the start and each resume.

    `section` is the heading under which reports list the solver. `judge` is who judged its answers
    last, if anybody did.
    """

    format: int
    spec: RunSpec
    section: str
    sessions: tuple[Environment, ...]
    scorers: tuple[str, ...]
    judge: JudgeSpec | None = None
