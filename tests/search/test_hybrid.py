"""Reciprocal rank fusion, against figures worked by hand, and several engines as one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.search.hybrid import Hybrid, fuse
from autocoa_bench.types import Passage
from support.search_server import served
from support.towns import write_task


def ranking(ids: str) -> list[Passage]:
    return [Passage(identifier, identifier, identifier) for identifier in ids]


def ids(passages: tuple[Passage, ...]) -> str:
    return "".join(passage.id for passage in passages)


def test_a_passage_scores_the_sum_of_its_reciprocal_ranks() -> None:
    results = fuse([ranking("abc"), ranking("bd")], top_k=4)
    assert ids(results) == "badc"
    # b: second and first; a: first; d: second; c: third.
    expected = [1 / 62 + 1 / 61, 1 / 61, 1 / 62, 1 / 63]
    assert [passage.score for passage in results] == pytest.approx(expected)


def test_two_good_ranks_beat_one_best_rank() -> None:
    assert ids(fuse([ranking("xa"), ranking("ya")], top_k=1)) == "a"


def test_a_small_constant_makes_the_first_rank_weigh_more() -> None:
    # c: 1/62 + 1/62 = 0.03226 beats a: 1/61 + 1/64 = 0.03202; at k = 1, a: 1/2 + 1/5 wins.
    first, second = ranking("acxy"), ranking("ucva")
    assert ids(fuse([first, second], top_k=1, k=60)) == "c"
    assert ids(fuse([first, second], top_k=1, k=1)) == "a"


def test_equals_keep_the_order_in_which_they_are_met() -> None:
    assert ids(fuse([ranking("ab"), ranking("cd")], top_k=4)) == "acbd"


def test_a_passage_that_stands_twice_in_a_ranking_counts_once() -> None:
    results = fuse([ranking("aab")], top_k=3)
    assert [passage.score for passage in results] == pytest.approx([1 / 61, 1 / 62])


def test_nothing_fuses_to_nothing() -> None:
    assert fuse([[], []], top_k=3) == ()


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    return write_task(tmp_path, 10)[1]


def test_engines_here_and_behind_an_address_are_fused(corpus: str) -> None:
    here = BM25(corpus, top_k=10)
    with served(BM25(corpus, k1=1.5)) as server:
        hybrid = Hybrid(corpus, top_k=3, engines=f"bm25+{server.url}")

        async def work() -> tuple[Passage, ...]:
            results = await hybrid.search("mayor of town 3")
            await hybrid.close()
            return results

        results = asyncio.run(work())
    assert len(results) == 3
    assert results[0].id == asyncio.run(here.search("mayor of town 3"))[0].id
    spec = hybrid.spec
    assert (spec.engine, spec.corpus, spec.passages) == ("hybrid", "corpus.jsonl", 10)
    assert spec.corpus_sha256 == here.spec.corpus_sha256
    assert spec.settings["engines"] == "bm25+bm25"
    assert (spec.settings["1.k1"], spec.settings["2.k1"]) == (0.9, 1.5)


def test_engines_over_different_corpora_are_refused(corpus: str, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"id": "1", "contents": "\\"A\\"\\nbird"}\n')
    differ = pytest.raises(UserError, match=r"'corpus.jsonl' and 'other.jsonl'")
    with served(BM25(str(other))) as server, differ:
        Hybrid(corpus, engines=f"bm25+{server.url}")


def test_one_engine_is_no_hybrid(corpus: str) -> None:
    with pytest.raises(UserError, match="two or more"):
        Hybrid(corpus, engines="bm25")
