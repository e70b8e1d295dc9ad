"""The architecture diagram: which package may import which. docs/architecture.md explains it."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASE = {"types", "errors", "stats", "registry", "util"}
LAYERS: dict[str, set[str]] = {  # from the bottom up; each may import what its set names
    "types": set(),
    "errors": set(),
    "stats": set(),
    "registry": {"errors"},
    "util": {"errors"},
    "episode": {"types", "errors"},
    "scoring": {"types", "errors", "registry"},
    "engines": BASE,
    "search": BASE,
    "tasks": BASE,
    "judge": BASE | {"episode", "engines", "scoring", "tasks"},
    "runs": BASE | {"episode", "scoring", "engines", "search", "tasks", "judge"},
    "report": BASE | {"episode", "scoring", "engines", "tasks", "judge", "runs"},
    "frames": BASE | {"episode", "scoring", "engines", "runs"},
    "cli": BASE
    | {"episode", "scoring", "engines", "search", "tasks", "judge", "runs", "report"}
    | {"frames"},
}
PACKAGES = {
    "autocoa_bench": {"autocoa_bench"},
    "baselines": {"autocoa_bench", "baselines"},
    "agent_model": {"autocoa_bench", "agent_model"},
    "tasks": {"autocoa_bench", "tasks"},
}


def name_of(file: Path) -> str:
    """The dotted name of a module's file."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(file): file for package in PACKAGES for file in (ROOT / package).rglob("*.py")}


def imports(module: str) -> set[str]:
    """The modules of this project that a module imports, anywhere in its text."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (parts & set(MODULES)) or {node.module}
    return names & set(MODULES) - {module}


def top(module: str) -> str:
    """The package or base module of autocoa_bench that a module belongs to."""
    return [*module.split("."), ""][1]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    for module in MODULES:
        if module.startswith("autocoa_bench.") and top(module) == layer:
            used = {top(name) for name in imports(module) if name.startswith("autocoa_bench.")}
            assert used <= LAYERS[layer] | {layer}, module


def test_every_part_of_the_harness_is_in_the_diagram() -> None:
    parts = {top(module) for module in MODULES if module.startswith("autocoa_bench.")}
    assert parts - {"__main__"} == set(LAYERS)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_itself_and_the_harness(package: str) -> None:
    for module in MODULES:
        if module.split(".")[0] == package:
            assert {name.split(".")[0] for name in imports(module)} <= PACKAGES[package], module


def test_no_modules_import_one_another_in_a_circle() -> None:
    faces = {name for name, file in MODULES.items() if file.name == "__init__.py"}
    graph = {name: imports(name) - faces for name in set(MODULES) - faces}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None
