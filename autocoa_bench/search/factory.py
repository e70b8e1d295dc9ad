"""Search engines by the text of `--search`: `NAME`, `NAME:option=value,...` or a server's URL."""

import re
from collections.abc import Mapping
from pathlib import Path

from autocoa_bench import registry
from autocoa_bench.search.engine import SearchEngine

EARLIER_TOKENS = r"\b\w\w+\b"
"""The rules of BM25's terms in the settings of earlier runs (`bm25:tokens=1`)."""

_URL = re.compile(r"https?://", re.IGNORECASE)


def open_engine(
    search: str, corpus: str, top_k: int, cache_folder: Path | None = None
) -> SearchEngine:
    """Open a search engine over a corpus, its results cached in `cache_folder` where one is given.

    Raises UserError for an unknown engine or option and for a corpus that cannot be opened.
    """
    factory, options = _factory(search)
    engine: SearchEngine = factory(corpus, top_k=top_k, **options)
    if cache_folder is None:
        return engine
    from autocoa_bench.search.result_cache import CachedSearch

    return CachedSearch(engine, cache_folder)


def has_own_corpus(search: str) -> bool:
    """Tell whether an engine needs no corpus of ours. Raises UserError for an unknown engine."""
    factory, options = _factory(search)
    # True, or the name of the option with which the engine searches an index of its own.
    own_corpus: bool | str = getattr(factory, "brings_corpus", False)
    return own_corpus in options if isinstance(own_corpus, str) else own_corpus


def with_earlier_tokens(search: str, settings: Mapping[str, object]) -> str:
    """The text of `--search` that resumes a run with these settings, whose BM25 may be an earlier
    one, alone or in a hybrid."""
    if EARLIER_TOKENS not in settings.values() or "tokens=" in search:
        return search
    return re.sub(
        r"\bbm25\b(:?)", lambda match: "bm25:tokens=1" + ("," if match[1] else ""), search
    )


def _factory(search: str) -> tuple[registry.Factory, dict[str, object]]:
    if _URL.match(search):
        return registry.load("search", "http"), {"url": search}
    _, factory, options = registry.configured("search", search, reserved=("corpus", "top_k"))
    return factory, options
