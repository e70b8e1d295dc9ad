"""A model for GRPO's tests, taught once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.towers import teach_either


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that answers Anna or Bert, equally often."""
    folder = tmp_path_factory.mktemp("taught")
    teach_either(folder)
    return folder


@pytest.fixture(scope="module")
def place(taught: Path) -> Iterator[Path]:
    """The same folder, as the cache too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(taught / "cache"))
        yield taught
