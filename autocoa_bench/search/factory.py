"""Search engines by what a person writes: `NAME`, `NAME:option=value,...` or a server's address."""

from __future__ import annotations

import re
from pathlib import Path

from autocoa_bench import registry
from autocoa_bench.search.engine import SearchEngine

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def open_engine(spec: str, corpus: str, top_k: int, kept: Path | None = None) -> SearchEngine:
    """The search engine over a corpus. `kept`: the folder in which its results are kept.

    Raises UserError.
    """
    factory, options = _configured(spec)
    engine: SearchEngine = factory(corpus, top_k=top_k, **options)
    if kept is None:
        return engine
    from autocoa_bench.search.result_cache import CachedSearch

    return CachedSearch(engine, kept)


def has_own_corpus(spec: str) -> bool:
    """Whether a search engine needs no corpus from here. Raises UserError for an unknown one."""
    factory, options = _configured(spec)
    brings: bool | str = getattr(factory, "brings_corpus", False)
    return brings in options if isinstance(brings, str) else brings


def _configured(spec: str) -> tuple[registry.Factory, dict[str, object]]:
    if _ADDRESS.match(spec):
        return registry.load("search", "http"), {"url": spec}
    _, factory, options = registry.configured("search", spec, reserved=("corpus", "top_k"))
    return factory, options
