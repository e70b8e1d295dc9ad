"""The records of judging: the judge's configuration, prompt, cases and verdicts."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autocoa_bench import registry
from autocoa_bench.engines import ModelConfig, model_name
from autocoa_bench.types import JudgeSpec, Message, Option, Sampling

SCORER = "judge"
"""The name of a judge's verdicts among scorers."""

DEFAULT_PROMPT = "brief"

_TURNS = ("turns", "tokenizer", "prompts")
"""The settings of an engine that say how a turn of several pieces is sent."""

NO_VERDICT = "unreadable"
"""The start of a verdict's reason where no reply states a verdict."""


class JudgePrompt(Protocol):
    """The prompt of a judge: a plug-in of the group `autocoa_bench.judges` makes one.

    Two attributes are optional: `adapters` maps model names of the embedded engine to the LoRA
    adapters that the prompt ships for them, and `audits` are files of `judge audit --save`, whose
    figures are printed under the tables of the judges that they audit.
    """

    max_tokens: int
    """Limits the reply, without the thought of a model that reasons."""

    def opening(self, question: str, golds: Sequence[str], answer: str) -> tuple[Message, ...]:
        """The messages that the judge receives."""

    def read(self, reply: str) -> bool | None:
        """The verdict of a reply, from which thoughts are removed; None where it has none."""


class LoadedPrompt(NamedTuple):
    """A prompt ready to use. `name` is its canonical one, options included."""

    name: str
    sha256: str
    plugin: JudgePrompt
    adapters: Mapping[str, Path]
    audits: Sequence[Path]


class JudgeConfig(ModelConfig, frozen=True, kw_only=True):
    """A judge: its model, prompt and number of votes."""

    model: Annotated[
        str,
        Option(
            help="Let this model judge answers as well, as the scorer `judge`; none: no judge. "
            "`run` on the embedded engine uses the judge that ships by default.",
            flags=("--judge",),
        ),
    ] = ""
    prompt: Annotated[
        str,
        Option(
            help="The judge's prompt: brief, reasoned, or that of a plug-in; with options as "
            "reasoned:max_tokens=4096."
        ),
    ] = DEFAULT_PROMPT
    votes: Annotated[
        int, Option(help="The judge's votes per answer; several are sampled, one is greedy.", min=1)
    ] = 1

    @property
    def sampling(self) -> Sampling:
        """Greedy for one vote; with a temperature for several, so that they can differ."""
        return Sampling(temperature=0.0 if self.votes == 1 else 0.7)


class Case(Struct, frozen=True):
    """An answer to judge, with its question and gold answers."""

    question: str
    golds: tuple[str, ...]
    answer: str


class Verdict(Struct, frozen=True, omit_defaults=True, tag="verdict"):
    """A judge's verdict on a case: a line of verdicts.jsonl, under the case's `verdict_key`.

    `right` is None where there is no verdict, and `reason` says why. `faulted` marks a failure of
    the engine.
    """

    key: str
    right: bool | None
    reason: str = ""
    replies: tuple[str, ...] = ()
    faulted: bool = False

    @property
    def unreadable(self) -> bool:
        """True where the judge replied, but stated no verdict."""
        return self.right is None and self.reason.startswith(NO_VERDICT)


def load_prompt(spec: str) -> LoadedPrompt:
    """Make the prompt that `name` or `name:option=value,...` names. Raises UserError."""
    name, plugin = registry.make("judges", spec)
    prompt: JudgePrompt = plugin
    opening = prompt.opening("{question}", ("{gold}", "{another}"), "{answer}")
    return LoadedPrompt(
        name,
        _sha256(opening, prompt.max_tokens),
        prompt,
        adapters=getattr(prompt, "adapters", MappingProxyType({})),
        audits=getattr(prompt, "audits", ()),
    )


def verdict_key(spec: JudgeSpec, case: Case) -> str:
    """The key of a verdict: a hash of judge, question, golds and answer."""
    return _sha256(spec, case)


def without_turns(spec: JudgeSpec) -> JudgeSpec:
    """A judge without how its server takes turns: its prompt is one message, whatever that is."""
    engine = spec.engine
    if engine.protocol not in ("chat", "continue", "template"):
        return spec
    settings = {name: engine.settings[name] for name in engine.settings if name not in _TURNS}
    return replace(spec, engine=replace(engine, protocol="", settings=settings))


def judge_description(spec: JudgeSpec) -> str:
    """A judge in one line: model, prompt and votes, then how it is served."""
    votes = f"{spec.votes} votes at temperature {spec.sampling.temperature:g}"
    settings = [
        f"{key} {str(value)[:10] if key.endswith('sha256') else value}"
        for key, value in spec.engine.settings.items()
        if key != "adapter"
    ]
    parts = (
        f"prompt {spec.prompt} #{spec.prompt_sha256[:6]}",
        "1 greedy vote" if spec.votes == 1 else votes,
        f"engine {spec.engine.engine}",
        f"protocol {spec.engine.protocol}",
        *settings,
    )
    return f"{model_name(spec.engine)} ({', '.join(parts)})"


def _sha256(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
