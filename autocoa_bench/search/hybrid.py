"""Several search engines as one, by reciprocal rank fusion (Cormack, Clarke and Buettcher 2009)."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from autocoa_bench.errors import UserError
from autocoa_bench.search.factory import has_own_corpus, open_engine
from autocoa_bench.types import Passage, SearchSpec

RRF_K = 60
"""The constant of the paper."""


def fuse(rankings: Sequence[Sequence[Passage]], top_k: int, k: int = RRF_K) -> tuple[Passage, ...]:
    """The best passages of several rankings; each scores the sum of 1 / (k + rank), ranks from 1.

    Passages are told apart by their ids. Equal scores keep the order of first occurrence, the
    rankings read in turn.
    """
    scores: defaultdict[str, float] = defaultdict(float)
    passages: dict[str, Passage] = {}
    for ranking in rankings:
        # A passage that a ranking repeats counts once, at its best rank.
        for rank, identifier in enumerate(dict.fromkeys(passage.id for passage in ranking), 1):
            scores[identifier] += 1 / (k + rank)
        for passage in ranking:
            passages.setdefault(passage.id, passage)
    best = sorted(passages.values(), key=lambda passage: -scores[passage.id])[:top_k]
    return tuple(msgspec.structs.replace(passage, score=scores[passage.id]) for passage in best)


class Hybrid:
    """Search engines over one corpus: `engines` joined by `+`, each written as `--search` takes it.

    Every engine returns `depth` passages, or top-k where that is more. A fault of one engine is a
    fault of the hybrid.
    """

    def __init__(
        self, corpus: str, *, top_k: int = 3, engines: str = "", k: int = RRF_K, depth: int = 20
    ) -> None:
        names = [name for name in engines.split("+") if name]
        if len(names) < 2:
            raise UserError(
                f"a hybrid needs two or more search engines joined by +, not '{engines}': "
                "--search hybrid:engines=bm25+http://127.0.0.1:8000"
            )
        if top_k < 1 or k < 1 or depth < 1:
            raise UserError(f"a hybrid needs k, depth and top-k >= 1, not {k}, {depth} and {top_k}")
        depth = max(top_k, depth)
        self._engines = [
            open_engine(name, "" if has_own_corpus(name) else corpus, depth) for name in names
        ]
        self._k = k
        self.spec = _hybrid_spec([engine.spec for engine in self._engines], top_k, k, depth)

    async def search(self, query: str) -> tuple[Passage, ...]:
        rankings = await asyncio.gather(*(engine.search(query) for engine in self._engines))
        return fuse(rankings, self.spec.top_k, self._k)

    async def close(self) -> None:
        """Close every engine; safe to call twice."""
        for engine in self._engines:
            await engine.close()


def _hybrid_spec(specs: Sequence[SearchSpec], top_k: int, k: int, depth: int) -> SearchSpec:
    """The corpus of all engines, and the settings of each under its position: `1.k1`, `2.url`."""
    with_corpus = [spec for spec in specs if spec.corpus_sha256]
    if len({spec.corpus_sha256 for spec in with_corpus}) > 1:
        names = " and ".join(f"'{spec.corpus}'" for spec in with_corpus)
        raise UserError(
            f"a hybrid searches one corpus, but its engines search {names}; "
            "give engines over the same corpus"
        )
    engines = "+".join(spec.engine for spec in specs)
    settings: dict[str, str | int | float] = {"engines": engines, "k": k, "depth": depth}
    for position, spec in enumerate(specs, 1):
        settings |= {f"{position}.{name}": value for name, value in spec.settings.items()}
    corpus = with_corpus[0] if with_corpus else specs[0]
    return SearchSpec(
        "hybrid", corpus.corpus, corpus.corpus_sha256, corpus.passages, settings, top_k
    )
