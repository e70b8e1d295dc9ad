"""The shape of the code in figures: sizes, packages, imports, and names that say nothing.

    python benchmarks/house.py [ROOT]

The figures are those of issue reviews: entries at the top of `autocoa_bench`; packages and modules
seen from the top, their levels and the imports between them; the longest function and the most
parameters; variables that are bare participles or metaphors; and lines of the packages.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGES = ("autocoa_bench", "baselines", "agent_model", "judges", "tasks")
VAGUE = {"found", "each", "dice", "made", "said", "given", "asked"}
NOT_COUNTED = {"__init__.py", "__main__.py", "py.typed", "__pycache__"}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The number of parameters, `self` and `cls` left out."""
    names = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    return sum(name.arg not in ("self", "cls") for name in names)


def assigned(tree: ast.AST) -> Iterator[str]:
    """Every name that is assigned, bound by a loop, or a parameter."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def comment_lines(source: str) -> int:
    """The number of lines that hold a comment alone."""
    return sum(line.lstrip().startswith("#") for line in source.splitlines())


def seen_from_the_top(root: Path) -> dict[str, set[str]]:
    """What each package or module at the top of `autocoa_bench` imports of the others."""
    top = root / "autocoa_bench"
    graph: dict[str, set[str]] = {}
    for file in top.rglob("*.py"):
        here = file.relative_to(top).parts[0].removesuffix(".py")
        if here in ("__init__", "__main__"):
            continue
        used = graph.setdefault(here, set())
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            package, _, rest = node.module.partition(".")
            if package == "autocoa_bench":
                used |= {rest.split(".")[0]} if rest else {alias.name for alias in node.names}
    parts = set(graph)
    return {name: (used & parts) - {name} for name, used in graph.items()}


def levels(graph: dict[str, set[str]]) -> int:
    """The length of the longest chain of imports."""
    height: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        height[name] = 1 + max((height[used] for used in graph[name]), default=0)
    return max(height.values())


def main(root: Path) -> None:
    """Print the figures."""
    files = [file for package in PACKAGES for file in sorted((root / package).rglob("*.py"))]
    sources = {file: file.read_text(encoding="utf-8") for file in files}
    trees = {file: ast.parse(source) for file, source in sources.items()}
    lines = sum(len(source.splitlines()) for source in sources.values())
    every = [(function, file) for file, tree in trees.items() for function in functions(tree)]
    longest = max(every, key=lambda pair: pair[0].end_lineno - pair[0].lineno)  # type: ignore[operator]
    widest = max(every, key=lambda pair: parameters(pair[0]))
    names = Counter(name for tree in trees.values() for name in assigned(tree))
    vague = {name: names[name] for name in sorted(VAGUE) if names[name]}
    graph = seen_from_the_top(root)
    entries = {path.name for path in (root / "autocoa_bench").iterdir()} - NOT_COUNTED
    comments = sum(comment_lines(source) for source in sources.values())
    length = longest[0].end_lineno - longest[0].lineno + 1  # type: ignore[operator]
    print(f"entries at the top of autocoa_bench: {len(entries)}")
    print(
        f"packages and modules seen from the top: {len(graph)}, levels: {levels(graph)}, ", end=""
    )
    print(f"imports: {sum(map(len, graph.values()))}")
    print(f"longest function: {length} lines ({longest[0].name} in {longest[1].relative_to(root)})")
    print(f"most parameters: {parameters(widest[0])} ({widest[0].name} in ", end="")
    print(f"{widest[1].relative_to(root)})")
    print(f"vague names per 10,000 lines: {1e4 * sum(vague.values()) / lines:.1f} {vague}")
    print(f"comment lines per 100 lines: {100 * comments / lines:.2f}")
    print(f"lines in the packages: {lines:,} in {len(files)} files")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
