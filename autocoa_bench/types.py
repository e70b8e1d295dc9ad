"""The records that all packages share: frozen, typed, serialisable with msgspec.

Nothing here does I/O or knows a solver, a dataset or a server. Times are in seconds; counts of
tokens are the server's where it reports them, and estimates otherwise. The names of fields are keys
in the files of run folders.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct
from msgspec.structs import replace

Split = Literal["test", "train"]

Count = Annotated[int, Meta(ge=0, le=1 << 53)]
"""A number of things; no file can have one that arithmetic with floats does not take."""

Seconds = Annotated[float, Meta(ge=0.0, le=1e12)]


class Option(NamedTuple):
    """The command-line option that fills a field of a record.

    A field carries it as `Annotated[int, Option(help="Passages per search.", min=1)] = 3`, and
    `cli.options_from_config` makes the options of a command from the record. The field's name, type
    and default are also the option's. `flags` replace the flag that the field's name gives. A
    number lies between `min` and `max`; a default below `min` stands for a value that the record
    works out, and help does not show it. `needs` names a field of the outer record without which
    the option has no effect.

    A tuple is filled by a repeatable option, or with `commas` by one list separated by commas. A
    string with `repeat` is filled by a repeatable option, whose values are joined by commas.
    `metavar` is what help calls the value.
    """

    help: str
    flags: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    needs: str = ""
    commas: bool = False
    repeat: bool = False
    metavar: str | None = None


class Passage(Struct, frozen=True, omit_defaults=True):
    """A unit of a corpus; `score` is the search engine's (higher is better)."""

    id: str
    title: str
    text: str
    score: float | None = None


class Hop(Struct, frozen=True, omit_defaults=True):
    """A link of a gold chain: a sub-question, its answer, and the passage that states it.

    `passage_id` is empty where a dataset has sub-questions but no passages. `phrase` is the part of
    the question's text that stands for the answer ("the director of ..."), where there is one, and
    `statement` a sentence that ends in the answer ("The mayor of Ulm is Ann.").
    `aliases` are other names of the answer.
    """

    question: str
    answer: str
    passage_id: str
    phrase: str = ""
    aliases: tuple[str, ...] = ()
    statement: str = ""


class Question(Struct, frozen=True, omit_defaults=True):
    """A question with its gold answers. `kind` is the dataset's type (bridge, comparison, ...).

    `wording`, of a generated question, is `shared` if the training split words some question the
    same way, and `held-out` if none. `gold_titles` are the titles of the pages that answer the
    question, where a dataset names pages instead of passages of the corpus.
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
    """A chat message of the opening, which precedes the model's own turn.

    The content of the role `tools`, which comes first, is the JSON of the functions that the model
    may call, as chat templates and servers take them.
    """

    role: Literal["tools", "system", "user", "assistant"]
    content: str


class Turn(Struct, frozen=True):
    """A piece of the episode after the opening, with its source.

    The pieces joined in order are the assistant's one continued turn. `environment` is all text
    that the model did not sample: a prefilled tag, an observation, a nudge, the opening of a forced
    answer. `token_ids` of a model's piece are the sampled ids that spell `text`, where known; those
    of an environment's piece spell the part that the model wrote itself (a simulated observation),
    and are None where there is none.
    """

    source: Literal["model", "environment"]
    text: str
    token_ids: tuple[int, ...] | None = None


class Prompt(Struct, frozen=True):
    """The whole input of a model; an engine renders it as its server accepts it."""

    opening: tuple[Message, ...]
    turns: tuple[Turn, ...] = ()
    prefill: str = ""
    """The start of the assistant's turn, on servers that can continue a turn."""

    @property
    def offers_tools(self) -> bool:
        """True if the model may call functions."""
        return bool(self.opening) and self.opening[0].role == "tools"

    @property
    def continuation(self) -> str:
        """The assistant's turn so far."""
        return self.prefill + "".join(turn.text for turn in self.turns)


class Generate(Struct, frozen=True):
    """An episode's request for model text of at most `max_tokens`, up to a stop string."""

    prompt: Prompt
    stop: tuple[str, ...]
    max_tokens: int
    forced: bool = False
    thinking_tokens: int = 0
    """Further tokens for a thought before the text, on servers where the model opens a new turn."""


class Search(Struct, frozen=True):
    """An episode's request for passages; `before` is the turn up to and including the search."""

    query: str
    before: Prompt


class Completion(Struct, frozen=True, omit_defaults=True):
    """The reply of a model server; None in a field means that the server did not report it.

    `text` may or may not end with the stop string: servers differ, so dialects parse both.
    `stop_reason` is `stop` (end of turn or a stop string), `length`, `filtered` or `tool-call`.
    `stop_string` is the stop string where the server names it. `token_ids` are the sampled ids,
    including those of a stop string; the last one may be replaced so that they spell `text`.
    `sampled_ids` are all ids exactly as they were sampled, and `logps` (natural) the
    log-probability with which each of them was; only the samplers of training report these two.
    `thinking` tells that the text begins inside an open thought. `end` is the text of the token
    that ended the turn, where it is known; it is among the ids, and not in `text`.
    """

    text: str
    stop_reason: str = "stop"
    stop_string: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    token_ids: tuple[int, ...] | None = None
    sampled_ids: tuple[int, ...] | None = None
    logps: tuple[float, ...] | None = None
    seconds: float = 0.0
    thinking: bool = False
    end: str = ""

    @property
    def sampled_text(self) -> str:
        """The text with its stop string, even where the server took that away."""
        stop = self.stop_string or ""
        return self.text if self.text.endswith(stop) else self.text + stop

    @property
    def ends_turn(self) -> bool:
        """True if the model ended its turn, without a stop string."""
        return self.stop_reason == "stop" and not self.stop_string


class Observation(Struct, frozen=True):
    """The reply of a search engine: passages, best first.

    If a model simulates the search engine, `text` may be the observation as it appears in the turn,
    and `token_ids` the ids that the model sampled for its part of it.
    """

    passages: tuple[Passage, ...]
    seconds: float = 0.0
    text: str = ""
    token_ids: tuple[int, ...] | None = None


class ToolTurns(Struct, frozen=True):
    """How a chat template continues after a message of the model.

    The results of n calls are written as `before`, the results with `between` from one to the next,
    then `after`, which ends in the head of the model's next message. They follow the token `end`;
    its text is "" for a model whose turn simply goes on. A message of the user, after `text_end`,
    is written between the two texts of `user`. `quoted` tells that results are JSON strings.
    """

    end: str
    before: str
    between: str
    after: str
    text_end: str
    user: tuple[str, str]
    quoted: bool = False


class ModelTraits(Struct, frozen=True, omit_defaults=True):
    """What an episode must know of its model, besides its text.

    `opens_thought` tells that the chat template itself opens a thought (`<think>`) at the start of
    the model's turn. `special_tokens` are the texts that the model's tokenizer reads as special
    tokens; no question and no passage may contain them. `new_turns` tells that the server cannot
    continue a turn (the protocol `chat`): each completion begins a turn, without the prefill.
    `tool_turns` are known if the solver offers tools and the model's template writes their results.
    """

    opens_thought: bool = False
    special_tokens: tuple[str, ...] = ()
    new_turns: bool = False
    tool_turns: ToolTurns | None = None


class Refused(Struct, frozen=True):
    """A server's reply to a prompt that is too long for it, with the sizes that it names.

    `context_tokens` is its context size, for prompt and completion together.
    """

    message: str
    context_tokens: int | None = None
    prompt_tokens: int | None = None


class Sampling(Struct, frozen=True):
    """The sampling parameters of a model server. Temperature 0 is greedy."""

    temperature: Annotated[float, Option(help="0 is greedy.", min=0.0, max=100.0)] = 0.0
    top_p: Annotated[
        float, Option(help="Probability mass that is sampled from; 1 is all.", min=0.01, max=1.0)
    ] = 1.0
    repetition_penalty: Annotated[float, Option(help="1 is none.", min=0.1, max=10.0)] = 1.0
    seed: Annotated[int, Option(help="Seed of the model's sampling; in synth, of every draw.")] = 0

    def with_seed(self, seed: int) -> Sampling:
        """These parameters with another seed, cut to the 31 bits that servers accept."""
        return replace(self, seed=seed & 0x7FFFFFFF)


class Budget(Struct, frozen=True):
    """An episode's limits (Algorithm 1: `max_actions` is T, `context_tokens` is N).

    Algorithm 1 does not limit a single completion; `step_tokens` does, against endless text, at
    2,048 as in the released code's training. A completion that it cuts before an action or an
    answer is malformed.
    """

    max_actions: Annotated[int, Option(help="Maximum searches per episode (T).", min=0)] = 10
    context_tokens: Annotated[int, Option(help="Maximum tokens per episode (N).", min=1024)] = 8192
    step_tokens: Annotated[int, Option(help="Maximum tokens per completion.", min=1)] = 2048
    answer_tokens: Annotated[int, Option(help="Maximum tokens in a forced answer.", min=1)] = 64
    thinking_tokens: Annotated[
        int,
        Option(help="Further tokens for a thought before a forced answer, in chat turns.", min=0),
    ] = 2048


StepKind = Literal["search", "reading", "answer", "malformed"]

Ending = Literal["answered", "forced-actions", "forced-context", "forced-malformed"]


class Step(Struct, frozen=True, omit_defaults=True):
    """One completion, the action that it was parsed as, and the environment's reply.

    `text` is the sampled text, with a stripped stop string put back and anything after the action
    cut. `token_ids` are the sampled ids if they spell exactly `text`, else None; only an answer's
    may end with the token that ends the turn. `sampled_ids` are all ids that were sampled for the
    step, where the sampler reports them and the episode goes on with other ones than these (a cut
    text, an end of turn that is dropped); `logps` are the log-probabilities of all sampled ids,
    which are not stored in files. `argument` is the query or the answer, and `problem`
    says why a step is malformed. `observation` is all the environment's text that follows in the
    turn; `observation_ids` are the ids of the part that the model wrote, simulating the search
    engine. `dropped_passages` counts passages for which the context had no room. `call` counts the
    calls of one completion before this one; only the step of the first has its text and its costs.

    Two kinds of steps have no text in the turn. A search without `text` was made with the question
    itself, before the model spoke; its passages stand in the opening. A reading follows a search:
    the model wrote `argument` to a prompt of its own, which held the passages.
    """

    kind: StepKind
    text: str
    argument: str = ""
    problem: str = ""
    forced: bool = False
    observation: str = ""
    passages: tuple[Passage, ...] = ()
    dropped_passages: Count = 0
    stop_reason: str = "stop"
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    observation_tokens: Count = 0
    observation_ids: tuple[int, ...] | None = None
    token_ids: tuple[int, ...] | None = None
    sampled_ids: tuple[int, ...] | None = None
    logps: tuple[float, ...] | None = None
    generate_seconds: Seconds = 0.0
    search_seconds: Seconds = 0.0
    call: Count = 0

    @property
    def is_retrieval(self) -> bool:
        """True for a search that was made before the model spoke."""
        return self.kind == "search" and not (self.text or self.call)


class Trajectory(Struct, frozen=True, omit_defaults=True):
    """A finished episode. `answer` is None where the model gave none, even when forced.

    `refusals` counts the prompts that the server refused for their length, after which the episode
    was shortened to the server's context.
    """

    solver: str
    opening: tuple[Message, ...]
    prefill: str
    steps: tuple[Step, ...]
    answer: str | None
    ending: Ending
    refusals: Count = 0


class FaultNote(Struct, frozen=True):
    """The reason for a missing trajectory: a failure of the harness, not of the model."""

    kind: str
    message: str


class Record(Struct, frozen=True, omit_defaults=True):
    """A line of records.jsonl: a question, the number of a sample, and a trajectory or a fault."""

    question: Question
    sample: Count
    trajectory: Trajectory | None = None
    fault: FaultNote | None = None
    seconds: Seconds = 0.0

    @property
    def key(self) -> tuple[str, str, int]:
        """(task, question id, sample), which is unique in a run."""
        return (self.question.task, self.question.id, self.sample)


class Scored(Struct, frozen=True):
    """A line of scores.jsonl: the scores of one record, by scorer."""

    task: str
    question_id: str
    sample: Count
    scores: dict[str, Score]


class Score(Struct, frozen=True, omit_defaults=True):
    """A number in [0, 1], or None with a reason (a failure of the harness, never of the model).

    A missing answer scores 0.0, and `reason` says so.
    """

    value: Annotated[float, Meta(ge=-1e12, le=1e12)] | None
    reason: str = ""


class TaskInfo(Struct, frozen=True):
    """The description of a dataset, known before it is loaded.

    `sha256` is the hash of the questions (`autocoa_bench.tasks.questions_sha256`), and None for a
    user's own file. `corpora` names, by split, the corpus that answers its questions.
    """

    name: str
    title: str
    edition: Literal["embedded", "real", "file", "hub"]
    shape: str
    source: str
    licence: str
    count: int | None
    sha256: str | None
    groups: tuple[str, ...] = ()
    corpora: dict[str, str] = {}


class TaskSample(Struct, frozen=True, omit_defaults=True):
    """The questions of a task that a run asks: their ids in order.

    `revision` is what was read of a dataset that may change: `hf:` with a commit of the Hugging
    Face Hub, or `sha256:` of the files of a local folder.
    """

    task: str
    edition: str
    sha256: str
    question_ids: tuple[str, ...]
    revision: str = ""


class SearchSpec(Struct, frozen=True):
    """The search of a run: engine, corpus and top-k. `settings` are the engine's (k1, b, ...)."""

    engine: str
    corpus: str
    corpus_sha256: str
    passages: Count
    settings: dict[str, str | int | float]
    top_k: Count


class EngineSpec(Struct, frozen=True):
    """The model of a run and the protocol of its server (see `engines.openai.protocol`)."""

    engine: str
    model: str
    protocol: str
    settings: dict[str, str | int | float] = {}


class RunSpec(Struct, frozen=True):
    """All that makes a run's numbers comparable; runs of equal specs can share a folder."""

    solver: str
    prompt_sha256: str
    tasks: tuple[TaskSample, ...]
    search: SearchSpec | None
    engine: EngineSpec
    sampling: Sampling
    samples: Annotated[int, Meta(ge=1, le=1_000_000)]
    budget: Budget

    @property
    def can_search(self) -> bool:
        """False for a solver that does not search, and where its budget allows no search."""
        return self.search is not None and self.budget.max_actions > 0


class JudgeSpec(Struct, frozen=True):
    """The judge of a run: model, prompt and votes; equal specs are the same judge.

    `prompt` names a plug-in, and `prompt_sha256` is the hash of its text. `votes` is the number of
    replies per answer, each sampled with a seed of its own.
    """

    engine: EngineSpec
    prompt: str
    prompt_sha256: str
    votes: Count
    sampling: Sampling


class Environment(Struct, frozen=True):
    """The circumstances of a session of a run, which may differ between comparable runs."""

    started: str
    base_url: str
    concurrency: Count
    git_revision: str
    versions: dict[str, str]
    search: str = ""
    """The search engine as `--search` named it, which tells where a server's passages came from."""
    engine: str = ""
    """The model engine as `--engine` named it, options included."""
    late_settings: dict[str, str | int | float] = {}
    """Settings of the engine that refusals have changed in the middle of the session."""


class RunInfo(Struct, frozen=True):
    """The content of run.json. `sessions` has an entry for the start and for each resume.

    `section` is the heading of the solver in reports. `judge` is the last judge of the answers, if
    there was one.
    """

    format: int
    spec: RunSpec
    section: str
    sessions: tuple[Environment, ...]
    scorers: tuple[str, ...]
    judge: JudgeSpec | None = None
