"""The arrows of the house: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {
    "types": set(),
    "errors": set(),
    "paths": {"errors"},
    "registry": {"errors"},
    "episode": {"types", "errors", "markup"},
    "markup": set(),
    "net": {"errors"},
    "engines": {"types", "errors", "paths", "registry", "net"},
    "search": {"types", "errors", "paths", "registry", "rows", "latebar", "net"},
    "scoring": {"types", "errors", "registry"},
    "store": {"types", "errors"},
    "cassette": {"types", "errors", "engines", "search", "store"},
    "stats": {"types"},
    "audit": {"types", "errors", "rows", "scoring", "stats", "store"},
    "published": set(),
    "rows": {"errors", "latebar"},
    "questions": {"types", "rows"},
    "draws": {"errors"},
    "parts": {"types"},
    "hub": {"errors", "paths"},
    "tasks": {"types", "errors", "paths", "registry", "rows", "questions", "draws", "parts"},
    "crew": set(),
    "judge": {"types", "errors", "paths", "registry", "engines", "scoring", "store", "crew"},
    "runner": {"types", "errors", "episode", "engines", "search", "crew"},
    "solvers": {"types", "errors", "episode", "registry", "runner"},
}


def imports(file: Path) -> set[str]:
    """Dotted names of this project's modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    packages = ("autocoa_bench", "baselines", "agent_model", "judges", "tasks")
    return {name for name in found if name.split(".")[0] in packages}


@pytest.mark.parametrize("package", ["baselines", "agent_model", "judges", "tasks"])
def test_solvers_and_tasks_import_only_the_harness(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        assert {name.split(".")[0] for name in imports(file)} <= {"autocoa_bench", package}, file


def test_the_harness_imports_no_solver_and_no_dataset() -> None:
    for file in (ROOT / "autocoa_bench").rglob("*.py"):
        assert {name.split(".")[0] for name in imports(file)} <= {"autocoa_bench"}, file


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    place = ROOT / "autocoa_bench" / room
    files = list(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    allowed = ROOMS[room] | {room}
    for file in files:
        used = {name.split(".")[1] for name in imports(file) if name.count(".")}
        assert used <= allowed, file
