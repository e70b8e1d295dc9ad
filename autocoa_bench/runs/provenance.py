"""The part of run.json that may differ between sessions: time, server, code and packages."""

import platform
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autocoa_bench.types import Environment

VERSIONED = ("autocoa-bench", "aiohttp", "bm25s", "msgspec", "numpy", "PyStemmer", "xllamacpp")
"""The packages whose versions a run records, where they are installed."""


def current_session(
    base_url: str, concurrency: int, search: str = "", engine: str = ""
) -> Environment:
    """Describe this session: the time, this checkout and the installed packages."""
    return Environment(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        base_url=base_url,
        concurrency=concurrency,
        git_revision=_git_revision(),
        versions=_versions(),
        search=search,
        engine=engine,
    )


def changes(before: Environment, now: Environment) -> Iterator[str]:
    """The differences from the session before, to warn that one run holds numbers of both."""
    if before.search and now.search and before.search != now.search:
        yield f"the search engine was {before.search} and is {now.search}"
    if before.engine and now.engine and before.engine != now.engine:
        yield f"the model engine was {before.engine} and is {now.engine}"
    if before.base_url != now.base_url:
        yield f"the server was {before.base_url} and is {now.base_url}"
    for package, current in now.versions.items():
        earlier = before.versions.get(package, "absent")
        if earlier != current:
            yield f"{package} was {earlier} and is {current}"
    if before.git_revision != now.git_revision:
        earlier, current = before.git_revision or "unknown", now.git_revision or "unknown"
        yield f"the code was {earlier} and is {current}"


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in VERSIONED:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def _git_revision() -> str:
    """The revision of this checkout, `-dirty` if it has changes; empty for an installed wheel."""
    # A virtual environment may lie in somebody else's checkout, which does not track this file.
    if not _git("ls-files", "--error-unmatch", Path(__file__).name):
        return ""
    revision = _git("describe", "--always", "--abbrev=12")
    # Not by `describe --dirty`, which locks the index: a run killed then leaves the lock behind.
    changed = _git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    return f"{revision}-dirty" if changed else revision


def _git(*arguments: str) -> str:
    """The output of git in this file's folder; empty where it fails."""
    try:
        process = subprocess.run(  # noqa: S603 - our own arguments
            ["git", *arguments],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""
