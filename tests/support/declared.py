"""The solvers as pyproject.toml declares them, also where an older installation lacks some."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from autocoa_bench import registry

GROUP = "autocoa_bench.solvers"
_PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
SOLVERS: dict[str, str] = _PROJECT["project"]["entry-points"][GROUP]


def declare_solvers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the registry know all declared solvers."""
    installed = registry._entries
    declared = {name: EntryPoint(name, value, GROUP) for name, value in SOLVERS.items()}
    monkeypatch.setattr(
        registry,
        "_entries",
        lambda kind: installed(kind) | (declared if kind == "solvers" else {}),
    )
