"""Several search engines as one, by reciprocal rank fusion (Cormack, Clarke and Buettcher 2009)."""

from __future__ import annotations

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
    """The best of several rankings: a passage scores the sum of 1 / (k + rank), ranks from 1.

    Passages are known by their ids. Equal scores keep the order in which they are first met, the
    rankings read in turn.
    """
    scores: defaultdict[str, float] = defaultdict(float)
    met: dict[str, Passage] = {}
    for ranking in rankings:
        for rank, identity in enumerate(dict.fromkeys(passage.id for passage in ranking), 1):
            scores[identity] += 1 / (k + rank)
        for passage in ranking:
            met.setdefault(passage.id, passage)
    best = sorted(met, key=lambda each: -scores[each])[:top_k]
    return tuple(msgspec.structs.replace(met[each], score=scores[each]) for each in best)


class Hybrid:
    """`engines` joined by `+`, each as `--search` takes it, over one corpus.

    Each is asked for `depth` passages, or top-k where that is more. A fault of one is the hybrid's.
    """

    def __init__(
        self, corpus: str, *, top_k: int = 3, engines: str = "", k: int = RRF_K, depth: int = 20
    ) -> None:
        names = [name for name in engines.split("+") if name]
        if len(names) < 2:
            raise UserError(
                f"a hybrid needs two or more search engines, not '{engines}': "
                "--search hybrid:engines=bm25+http://127.0.0.1:8000"
            )
        if top_k < 1 or k < 1 or depth < 1:
            raise UserError(f"a hybrid needs k, depth and top-k >= 1, not {k}, {depth} and {top_k}")
        each_k = max(top_k, depth)
        self._parts = [
            open_engine(name, "" if has_own_corpus(name) else corpus, each_k) for name in names
        ]
        self._k = k
        self._spec = _joined([part.spec for part in self._parts], top_k, k, each_k)

    @property
    def spec(self) -> SearchSpec:
        """The corpus of all, and the settings of each by its place: `1.k1`, `2.url`."""
        return self._spec

    async def search(self, query: str) -> tuple[Passage, ...]:
        """At most top-k passages, best first. Raises SearchFault."""
        rankings = await asyncio.gather(*(part.search(query) for part in self._parts))
        return fuse(rankings, self._spec.top_k, self._k)

    async def close(self) -> None:
        """Close each engine; safe to call twice."""
        for part in self._parts:
            await part.close()


def _joined(specs: Sequence[SearchSpec], top_k: int, k: int, depth: int) -> SearchSpec:
    known = [spec for spec in specs if spec.corpus_sha256]
    if len({spec.corpus_sha256 for spec in known}) > 1:
        named = " and ".join(f"'{spec.corpus}'" for spec in known)
        raise UserError(f"a hybrid searches one corpus, and its engines have {named}")
    settings: dict[str, str | int | float] = {
        "engines": "+".join(spec.engine for spec in specs),
        "k": k,
        "depth": depth,
    }
    for place, spec in enumerate(specs, 1):
        settings |= {f"{place}.{name}": value for name, value in spec.settings.items()}
    first = next(iter(known), specs[0])
    return SearchSpec("hybrid", first.corpus, first.corpus_sha256, first.passages, settings, top_k)
