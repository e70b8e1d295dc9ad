"""The configuration of a run."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from autocoa_bench.tasks import Split
from autocoa_bench.types import (
    Budget,
    Sampling,
)


class RunConfig(Struct, frozen=True, kw_only=True):
    """What a person asked `run` for. `base_url` empty means the embedded engine.

    `adapter` is a LoRA adapter's path, or `none`; empty: the one that the solver ships for the
    model, if any, where the engine is the embedded one. `search` is as `search.opening`
    reads it; `search_cache` keeps its results. `record` and `replay` are cassettes.
    `key_file` holds the server's API key; empty: the environment does. `executor` says what runs
    the episodes; empty: this process.
    """

    solver: str
    tasks: str
    model: str
    engine: str
    base_url: str = ""
    key_file: str = ""
    executor: str = ""
    protocol: str = "auto"
    adapter: str = ""
    split: Split = "test"
    limit: int | None = None
    sample_seed: int = 0
    samples: int = 1
    corpus: str | None = None
    search: str = "bm25"
    search_cache: Path | None = None
    top_k: int = 3
    sampling: Sampling = Sampling()
    budget: Budget = Budget()
    concurrency: int = 8
    scorers: tuple[str, ...] = ("em", "f1", "cover_em")
    record: Path | None = None
    replay: Path | None = None
    out: Path | None = None
    runs_dir: Path = Path("results/runs")
