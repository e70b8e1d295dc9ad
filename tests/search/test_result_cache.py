"""Search results kept on disk: found again, told apart, bounded, and never worse than none."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from pathlib import Path

import msgspec
import pytest

from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.search import result_cache
from autocoa_bench.search.result_cache import CachedSearch
from autocoa_bench.types import Passage, SearchSpec

SPEC = SearchSpec("counting", "c", "0" * 64, 3, {"k1": 0.9}, 2)


class Counting:
    """Counts what it is asked."""

    def __init__(self, spec: SearchSpec = SPEC) -> None:
        self.spec = spec
        self.asked: list[str] = []

    async def search(self, query: str) -> tuple[Passage, ...]:
        self.asked.append(query)
        if query == "bad":
            raise SearchFault("broken", "no luck")
        if query == "none":
            return ()
        return (Passage("1", f'"{query}"', f"about {query}\n\u00e9", 0.1),)

    async def close(self) -> None:
        pass


def search_all(
    engine: Counting, folder: Path, *queries: str, max_queries: int = 1_000
) -> list[object]:
    """What a session over the folder finds for each query."""

    async def work() -> list[object]:
        search = CachedSearch(engine, folder, max_queries)
        try:
            return [await search.search(query) for query in queries]
        finally:
            await search.close()
            await search.close()

    return asyncio.run(work())


def change(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "results.sqlite") as store:
        store.execute(statement)
    store.close()


def test_a_query_is_searched_for_once_over_sessions(tmp_path: Path) -> None:
    engine = Counting()
    first = search_all(engine, tmp_path / "kept", "a", "none", "a")
    assert search_all(engine, tmp_path / "kept", "a", "none") == first[:2]
    assert engine.asked == ["a", "none"]


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(SPEC, corpus_sha256="1" * 64),
        msgspec.structs.replace(SPEC, engine="other"),
        msgspec.structs.replace(SPEC, settings={"k1": 1.2}),
        msgspec.structs.replace(SPEC, top_k=3),
    ],
)
def test_another_corpus_engine_setting_or_top_k_is_another_result(
    tmp_path: Path, other: SearchSpec
) -> None:
    search_all(Counting(), tmp_path, "a")
    engine = Counting(other)
    search_all(engine, tmp_path, "a")
    assert engine.asked == ["a"]


def test_the_spec_is_the_engines_own(tmp_path: Path) -> None:
    assert CachedSearch(Counting(), tmp_path).spec is SPEC


def test_faults_are_not_kept(tmp_path: Path) -> None:
    engine = Counting()
    for _ in range(2):
        with pytest.raises(SearchFault):
            search_all(engine, tmp_path, "bad")
    assert engine.asked == ["bad", "bad"]


DAMAGE = [
    "update results set passages = x'00'",
    "update results set passages = null",
    "update results set crc = 0",
    "update results set passages = substr(passages, 1, 9)",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_searched_for_anew_and_written_over(tmp_path: Path, damage: str) -> None:
    engine = Counting()
    whole = search_all(engine, tmp_path, "a")
    change(tmp_path, damage)
    assert search_all(engine, tmp_path, "a") == whole
    assert search_all(engine, tmp_path, "a") == whole
    assert engine.asked == ["a", "a"]


@pytest.mark.parametrize("start", [0, 100])
def test_a_damaged_file_gives_way_to_a_new_one(tmp_path: Path, start: int) -> None:
    engine = Counting()
    whole = search_all(engine, tmp_path, "a", *map(str, range(200)))[:1]
    file = tmp_path / "results.sqlite"
    data = file.read_bytes()
    file.write_bytes(data[:start] + b"\x55" * (len(data) - start))
    assert search_all(engine, tmp_path, "a") == whole
    search_all(engine, tmp_path, "a")
    assert engine.asked.count("a") == 2


def test_the_longest_kept_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_cache, "_TRIM_EVERY", 1)
    engine = Counting()
    search_all(engine, tmp_path, *map(str, range(9)), max_queries=3)
    engine.asked.clear()
    search_all(engine, tmp_path, "8", "7", "6", "0", max_queries=3)
    assert engine.asked == ["0"]


def _fill(folder: Path) -> None:
    search_all(Counting(), folder, *map(str, range(100)))


def test_several_processes_share_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    engine = Counting()
    search_all(engine, tmp_path, *map(str, range(100)))
    assert engine.asked == []


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="give --search-cache another folder"):
        CachedSearch(Counting(), tmp_path / "file" / "kept")
