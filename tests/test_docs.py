"""What the documents show works."""

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent_model.dialects.presets import presets
from support.declared import SOLVERS
from support.play import play

ROOT = Path(__file__).parent.parent


def test_the_dialect_in_the_guide_plays_an_episode() -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/extending.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    trajectory, events = play(names["MyAgent"](), ["<ask> tower </ask>", "<answer>Anna</answer>"])
    assert trajectory.answer == "Anna"
    assert "1. The Tower: Anna built the tower." in events[-1].prompt.continuation  # type: ignore[union-attr]


def test_every_row_of_the_fault_table_is_the_name_of_a_test() -> None:
    text = (ROOT / "docs/faults.md").read_text()
    text = re.sub(
        "<!-- make faults: begin -->.*<!-- make faults: end -->", "", text, flags=re.DOTALL
    )
    rows = re.findall(r"^\| (.+?) \|", text, re.MULTILINE)
    files = [*(ROOT / "tests").glob("*/test_*.py"), *(ROOT / "tests").glob("test_*.py")]
    tests = set(re.findall(r"^def test_(\w+)", "\n".join(map(Path.read_text, files)), re.MULTILINE))
    faults = [row for row in rows if row not in ("what the server does", "---")]
    assert len(faults) > 20
    for fault in faults:
        words = re.findall(r"[a-z0-9]+", fault.lower().replace("'", ""))
        assert "_".join(words) in tests, fault


GROUPS = ("judge", "models", "reproduce", "synth", "tasks", "train")
"""Commands that have commands."""


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        *(
            f"docs/{name}.md"
            for name in ("judging", "options", "reproducing", "solvers", "training")
        ),
    ],
)
def test_every_command_of_a_document_names_real_options(document: str) -> None:
    text = (ROOT / document).read_text().replace("\\\n", " ")
    for line in re.findall(r"^\$ autocoa-bench (.+)$", text, re.MULTILINE):
        command = line.partition("#")[0].split()
        path = command[: 2 if command[0] in GROUPS else 1]
        known = help_of(*path)
        for option in (word for word in command if word.startswith("--")):
            assert option in known, line


def test_every_key_of_the_configuration_in_the_guide_is_an_option() -> None:
    [text] = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/options.md").read_text(), re.DOTALL)
    assert {f"--{key}" for key in tomllib.loads(text)} <= help_of("run")


@cache
def help_of(*command: str) -> set[str]:
    """The words of a command's `--help`."""
    done = subprocess.run(
        [sys.executable, "-m", "autocoa_bench", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(re.split(r"[\s,]+", done.stdout))


@pytest.mark.parametrize("solver", ["agent", "r1-searcher", "research", "search-r1"])
def test_the_docs_list_every_preset_with_its_source(solver: str) -> None:
    text = (ROOT / "docs/solvers.md").read_text(encoding="utf-8")
    for name, preset in presets(solver).items():
        assert f"`{solver}:preset={name}`" in text
        assert preset.source


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_docs_list_every_solver(solver: str) -> None:
    assert f"`{solver}`" in (ROOT / "docs/solvers.md").read_text(encoding="utf-8")
