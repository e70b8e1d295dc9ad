"""Solver names with options."""

from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.runs.solvers import load_solver
from baselines.react import ReAct


def test_options_reach_the_solver() -> None:
    plugin = load_solver("react:shots=1").plugin
    assert isinstance(plugin, ReAct)
    assert plugin.shots == 1


def test_the_spec_is_the_name_with_its_options() -> None:
    assert [load_solver(name).spec for name in ("react", "react:shots=0")] == [
        "react",
        "react:shots=0",
    ]


def test_a_solver_says_which_adapters_it_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load_solver("react").adapters
    monkeypatch.setattr(ReAct, "adapters", {"tiny": Path("tiny.gguf")}, raising=False)
    assert load_solver("react").adapters == {"tiny": Path("tiny.gguf")}


def test_options_change_the_prompt_hash() -> None:
    assert load_solver("react").prompt_sha256 != load_solver("react:shots=0").prompt_sha256


def test_an_unknown_solver_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"unknown solver 'raect'; did you mean 'react'\?"):
        load_solver("raect")


def test_an_unknown_option_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"unknown option of solver 'react' 'shot'; did you mean"):
        load_solver("react:shot=0")


def test_an_option_without_a_value_is_refused() -> None:
    with pytest.raises(UserError, match="options are written name=value, not 'shots'"):
        load_solver("react:shots")


def test_an_option_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(UserError, match="option 'shots' takes int, not 'many'"):
        load_solver("react:shots=many")


def test_only_solvers_that_search_need_a_search_engine() -> None:
    assert [load_solver(name).searches for name in ("model-only", "react", "agent")] == [
        False,
        True,
        True,
    ]
