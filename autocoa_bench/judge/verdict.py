"""The LLM judge: a model says whether an answer is right (paper 4.1), for a reader to check.

`asking` asks and counts votes, `kept` keeps verdicts by content, `probes` tries to mislead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from autocoa_bench import registry
from autocoa_bench.engines import ModelConfig, model_name
from autocoa_bench.option import Option
from autocoa_bench.types import JudgeSpec, Message, Sampling

SCORER = "judge"
"""What a judge's verdicts are called among scorers."""

DEFAULT_PROMPT = "brief"

_ONE_VOTE = Sampling()
_SEVERAL_VOTES = Sampling(temperature=0.7)


class JudgePrompt(Protocol):
    """How a judge is asked: a plug-in of the group `autocoa_bench.judges` makes one.

    It may have an attribute `adapters` besides: by model name of the embedded engine, the file of
    the LoRA adapter that it ships for judging (as a solver's, see `solvers`); and `audits`: files
    that `judge audit --save` wrote, whose figures stand under the tables of the judges they are of.
    """

    max_tokens: int
    """Bounds the reply."""

    def opening(self, question: str, golds: Sequence[str], answer: str) -> tuple[Message, ...]:
        """What the judge is shown."""
        ...

    def read(self, reply: str) -> bool | None:
        """The verdict of a whole reply; None where it has none."""
        ...


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
        str, Option(help="The judge's prompt: brief, reasoned, or that of a plug-in.")
    ] = DEFAULT_PROMPT
    votes: Annotated[
        int, Option(help="The judge's votes per answer; several are sampled, one is greedy.", min=1)
    ] = 1

    @property
    def sampling(self) -> Sampling:
        """One vote is greedy; several differ."""
        return _ONE_VOTE if self.votes == 1 else _SEVERAL_VOTES


class Case(Struct, frozen=True):
    """What a judge is to decide on."""

    question: str
    golds: tuple[str, ...]
    answer: str


class Verdict(Struct, frozen=True, omit_defaults=True, tag="verdict"):
    """What a judge said of a case: a line of verdicts.jsonl.

    `key` is `key_of` the case. `right` None: there is no verdict, and `reason` says why; `faulted`
    where the engine failed, so that the case is asked again.
    """

    key: str
    right: bool | None
    reason: str = ""
    replies: tuple[str, ...] = ()
    faulted: bool = False


def load_prompt(spec: str) -> LoadedPrompt:
    """Make the prompt that `name` or `name:option=value,...` names. Raises UserError."""
    name, factory, options = registry.configured("judges", spec)
    plugin: JudgePrompt = factory(**options)
    canonical = ",".join(f"{key}={value}" for key, value in sorted(options.items()))
    shown = plugin.opening("{question}", ("{gold}", "{another}"), "{answer}")
    adapters: Mapping[str, Path] = getattr(plugin, "adapters", MappingProxyType({}))
    return LoadedPrompt(
        f"{name}:{canonical}" if canonical else name,
        _sha256(shown, plugin.max_tokens),
        plugin,
        adapters,
        getattr(plugin, "audits", ()),
    )


def verdict_key(spec: JudgeSpec, case: Case) -> str:
    """What a verdict is kept by: judge, question, golds and answer."""
    return _sha256(spec, case)


def judge_description(spec: JudgeSpec) -> str:
    """A judge in a line: model, prompt and votes, then how it is served."""
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
