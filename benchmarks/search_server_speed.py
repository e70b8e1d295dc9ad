"""What the http engine and serve-search add to a search, in CPU time.

Server and client are in one process, each with its own thread and event loop, so that the process's
CPU time is all that both cost; what the same engine costs without them is taken off. Also beside
each other: searches handed over one by one to the engine's thread, and in batches.

    python benchmarks/search_server_speed.py --queries 2000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from autocoa_bench.search.batching import QueryBatcher
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.search.remote.client import HTTPSearch
from autocoa_bench.search.remote.server import application, listen

ROUNDS = 3


def write_corpus(folder: Path, passages: int) -> tuple[str, list[str]]:
    """A corpus whose words are spread as in text, and some of its titles as queries."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdeilmnorstuy", k=draw.randint(3, 10))) for _ in range(20_000)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    titles = []
    path = folder / "corpus.jsonl"
    with path.open("w") as file:
        for number in range(passages):
            title = " ".join(draw.choices(words, weights, k=4))
            text = " ".join(draw.choices(words, weights, k=80))
            titles.append(title)
            file.write(json.dumps({"id": str(number), "contents": f'"{title}"\n{text}'}) + "\n")
    return str(path), draw.sample(titles, min(2000, passages))


def serve(engine: BM25, ready: Callable[[str], None]) -> None:
    """Serve for as long as the process lives."""

    async def work() -> None:
        _, url = await listen(application(engine, 3), "127.0.0.1", 0)
        ready(url)
        await asyncio.Event().wait()

    asyncio.run(work())


def cpu(work: Callable[[], Coroutine[Any, Any, None]], queries: int) -> float:
    """Milliseconds of CPU a query, the median of some rounds."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        asyncio.run(work())
        found.append((time.process_time() - start) * 1000 / queries)
    return statistics.median(found)


async def spread(search: Callable[[str], Any], queries: list[str], in_flight: int) -> None:
    """Search for every query, some at a time."""
    waiting = iter(queries)

    async def one() -> None:
        for query in waiting:
            await search(query)

    await asyncio.gather(*(one() for _ in range(in_flight)))


def measure(corpus: str, queries: list[str]) -> None:
    """Print CPU a query: the engine alone, through its thread, and over HTTP."""
    engine = BM25(corpus)
    asyncio.run(spread(engine.search, queries, 1))  # the index's pages are in memory

    async def alone() -> None:
        await spread(engine.search, queries, 1)

    bare = cpu(alone, len(queries))
    print(f"bm25 alone                     {bare:6.3f} ms of CPU a query")

    async def handed_over(in_flight: int) -> None:
        batches = QueryBatcher(engine)
        await spread(lambda query: batches.search([query], 3), queries, in_flight)
        batches.close()

    address: list[str] = []
    ready = threading.Event()

    def tell(url: str) -> None:
        address.append(url)
        ready.set()

    threading.Thread(target=serve, args=(BM25(corpus), tell), daemon=True).start()
    assert ready.wait(60)
    remote = HTTPSearch(url=address[0])

    async def over_http(in_flight: int) -> None:
        await spread(remote.search, queries, in_flight)
        await remote.close()

    for in_flight in (1, 16, 64):
        thread = cpu(lambda: handed_over(in_flight), len(queries))  # noqa: B023
        both = cpu(lambda: over_http(in_flight), len(queries))  # noqa: B023
        print(
            f"{in_flight:2} in flight: its own thread +{thread - bare:6.3f} ms; "
            f"http engine and serve-search +{both - bare:6.3f} ms"
        )


def main() -> None:
    """Make the corpus, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=47_571)
    parser.add_argument("--queries", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AUTOCOA_BENCH_CACHE"] = f"{folder}/cache"
        corpus, queries = write_corpus(Path(folder), arguments.passages)
        measure(corpus, queries[: arguments.queries])


if __name__ == "__main__":
    main()
