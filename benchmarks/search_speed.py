"""What BM25 engines cost: building an index, opening it in a new process, one query after another.

Ours (`bm25`, `lucene`) beside Lucene as pyserini drives it (its jar, hits without texts) and
tantivy, each in processes of its own, over the same passages and questions. CPU time counts every
thread of a process; `open` is from the first import to the first answer. An engine whose packages
are missing is left out, with the reason.

    python benchmarks/search_speed.py --corpus my/wiki.jsonl.gz --tasks my/hotpotqa.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENGINES = ("bm25", "lucene", "jar", "tantivy")
COLUMNS = ("build s", "build CPU s", "open s", "open CPU s", "p50 ms", "p95 ms", "CPU ms a query")
TOP_K = 3

Search = Callable[[str], object]


def ours(name: str, corpus: str, _: Path) -> Search:
    """One of our engines; the first call builds the index."""
    from autocoa_bench.search.factory import open_engine

    engine: Any = open_engine(name, corpus, TOP_K)
    return lambda query: engine.search_batch([query], TOP_K)


def jar(_: str, corpus: str, folder: Path) -> Search:
    """Anserini's own classes, as pyserini calls them, with the index options that it documents."""
    from autocoa_bench.search.lucene import jvm

    java = jvm.start_anserini()
    index = folder / "jar"
    if not index.exists():
        texts = folder / "texts"
        texts.mkdir()
        with (texts / "a.jsonl").open("w") as file:
            for number, text in enumerate(_texts(corpus)):
                file.write(json.dumps({"id": str(number), "contents": text}) + "\n")
        what = ["-collection", "JsonCollection", "-generator", "DefaultLuceneDocumentGenerator"]
        where = ["-input", str(texts), "-index", str(index), "-threads", "1", "-quiet"]
        kept = ["-storePositions", "-storeDocvectors", "-storeRaw"]
        java.java_class(jvm.INDEXER).main([*what, *where, *kept])
    searcher = java.java_class(jvm.SEARCHER)(str(index))
    searcher.set_bm25(0.9, 0.4)
    return lambda query: [(hit.docid, hit.score) for hit in searcher.search(query, TOP_K)]


def tantivy(_: str, corpus: str, folder: Path) -> Search:
    """tantivy with its English stemmer."""
    import tantivy as library

    path = folder / "tantivy"
    schema = library.SchemaBuilder().add_text_field("text", True, tokenizer_name="en_stem").build()
    if path.exists():
        index = library.Index.open(str(path))
    else:
        path.mkdir()
        index = library.Index(schema, str(path))
        writer = index.writer(num_threads=1)
        for text in _texts(corpus):
            writer.add_document(library.Document(text=text))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
    searcher = index.searcher()

    def search(query: str) -> object:
        parsed, _ = index.parse_query_lenient(query, ["text"])
        hits = searcher.search(parsed, TOP_K).hits
        return [(score, searcher.doc(address)["text"]) for score, address in hits]

    return search


def _texts(corpus: str) -> Iterator[str]:
    from autocoa_bench.search.corpus import open_corpus

    return (f"{passage.title}\n{passage.text}" for passage in open_corpus(corpus))


OPENERS: dict[str, Callable[[str, str, Path], Search]] = {
    "bm25": ours,
    "lucene": ours,
    "jar": jar,
    "tantivy": tantivy,
}


def child(name: str, corpus: str, folder: Path) -> dict[str, float]:
    """Open an engine and ask every question; in a process of its own."""
    queries: list[str] = json.loads((folder / "queries.json").read_text())
    start, cpu = time.perf_counter(), time.process_time()
    search = OPENERS[name](name, corpus, folder)
    search(queries[0])
    opened = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    took, cpu = [], time.process_time()
    for query in queries:
        start = time.perf_counter()
        search(query)
        took.append((time.perf_counter() - start) * 1000)
    percentiles = statistics.quantiles(took, n=20)
    spent = (time.process_time() - cpu) * 1000 / len(queries)
    return {**opened, "p50": percentiles[9], "p95": percentiles[18], "query": spent}


def measured(name: str, corpus: str, folder: Path) -> list[float] | str:
    """An engine's row: built in one process, opened in another; or why it cannot be."""
    figures = []
    for _ in ("build", "open"):
        command = [sys.executable, __file__, "--child", name, "--corpus", corpus]
        done = subprocess.run([*command, "--folder", str(folder)], capture_output=True, text=True)
        if done.returncode:
            return done.stderr.strip().splitlines()[-1]
        figures.append(json.loads(done.stdout.splitlines()[-1]))
    built, opened = figures
    shown = ("wall", "cpu", "p50", "p95", "query")
    return [built["wall"], built["cpu"], *(opened[each] for each in shown)]


def table(corpus: str, folder: Path) -> str:
    """All engines, with what each costs relative to the jar."""
    rows: dict[str, list[float]] = {}
    notes = []
    for name in ENGINES:
        found = measured(name, corpus, folder)
        if isinstance(found, str):
            notes.append(f"{name} is left out: {found}")
        else:
            rows[name] = found
    from tabulate import tabulate

    shown = [[name, *(f"{each:.3g}" for each in row)] for name, row in rows.items()]
    if "jar" in rows:
        for name in (each for each in rows if each != "jar"):
            ratios = [mine / its for mine, its in zip(rows[name], rows["jar"], strict=True)]
            shown.append([f"{name} / jar", *(f"{each:.2g}" for each in ratios)])
    made = tabulate(shown, ("engine", *COLUMNS), tablefmt="pipe", disable_numparse=True)
    return "\n".join([made, *notes])


@contextmanager
def _prepared(corpus: str, tasks: str, most: int) -> Iterator[tuple[str, Path]]:
    """A corpus that is in a new cache already, and a folder with the questions."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["AUTOCOA_BENCH_CACHE"] = f"{scratch}/cache"
        from search_server_speed import write_corpus

        from autocoa_bench import tasks as task_room
        from autocoa_bench.search.corpus import open_corpus

        if corpus:
            [task] = task_room.resolve(tasks)
            queries = [question.text for question in task.load("test")]
        else:
            corpus, queries = write_corpus(folder, 1000)
        open_corpus(corpus)
        (folder / "queries.json").write_text(json.dumps(queries[:most]))
        yield corpus, folder


def main() -> None:
    """Measure every engine and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="")
    parser.add_argument("--tasks", default="")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--child", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.child, arguments.corpus, arguments.folder)))
        return
    with _prepared(arguments.corpus, arguments.tasks, arguments.queries) as (corpus, folder):
        print(table(corpus, folder))


if __name__ == "__main__":
    main()
