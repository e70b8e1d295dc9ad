"""The forms in which published checkpoints were trained, by solver and name: `presets.toml`."""

import tomllib
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench import registry


class Preset(Struct, frozen=True, forbid_unknown_fields=True):
    """What a checkpoint was trained with. `models` and `source` say which, and how that is known.

    `results` is the observation, with {results} in it, and `result` one passage of it, with {rank},
    {title} and {text}; where they are empty, the solver's own holds. With `system` the instruction
    is the system message and the question alone the user's.
    """

    solver: str
    names: tuple[str, ...]
    models: str
    source: str
    instruction: str
    results: str = ""
    result: str = ""
    system: bool = False


@cache
def presets(solver: str) -> dict[str, Preset]:
    """The presets of a solver by name."""
    text = Path(__file__).with_name("presets.toml").read_text(encoding="utf-8")
    every = msgspec.convert(tomllib.loads(text)["preset"], list[Preset])
    return {name: one for one in every if one.solver == solver for name in one.names}


def load_preset(solver: str, name: str) -> Preset:
    """The preset of a solver that has this name. Raises UserError."""
    known = presets(solver)
    if name not in known:
        raise registry.unknown(f"preset of solver '{solver}'", name, sorted(known))
    return known[name]
