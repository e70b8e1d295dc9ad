"""A cache folder of a test's own, where indexes are kept."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(folder))
    return folder
