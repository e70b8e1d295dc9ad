"""How well search engines find what questions need, the question itself being the query.

Two measures at several depths: the share of questions with a gold answer's words in a passage
(questions answered by yes or no are left out), and the share of a question's gold titles that are
found (questions that name them only). Both are traced as in reports, by `scoring.evidence`.

    python benchmarks/search_quality.py --corpus my/wiki.jsonl.gz --tasks my/hotpotqa.jsonl \
        --search bm25 --search dense --search hybrid:engines=bm25+dense --out quality.md
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from autocoa_bench import stats, tasks
from autocoa_bench.errors import UserError
from autocoa_bench.runs import provenance
from autocoa_bench.scoring.evidence import trace
from autocoa_bench.search import SearchEngine, factory
from autocoa_bench.search.engine import engine_summary
from autocoa_bench.types import Passage, Question, SearchSpec, Step, Trajectory

DEPTHS = (3, 5, 10, 20)

Found = Sequence[tuple[Passage, ...]]


def at_depth(
    question: Question, passages: tuple[Passage, ...]
) -> tuple[float | None, float | None]:
    """Whether an answer is among passages, and the share of gold titles; None: cannot be said."""
    step = Step("search", "", passages=passages)
    evidence = trace(question, Trajectory("", (), "", (step,), None, "answered"))
    hit = float(evidence.answer is not None) if evidence.by_answer else None
    return hit, evidence.recall() if evidence.passages else None


def row(questions: Sequence[Question], found: Found) -> list[str]:
    """The cells of one engine: answer hits at each depth, then gold titles at each depth."""
    measured = [
        [at_depth(question, passages[:depth]) for depth in DEPTHS]
        for question, passages in zip(questions, found, strict=True)
    ]
    return [
        _cell([depths[place][measure] for depths in measured])
        for measure in (0, 1)
        for place in range(len(DEPTHS))
    ]


def _cell(values: Sequence[float | None]) -> str:
    estimate = stats.estimate([[] if value is None else [value] for value in values])
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return "–"
    low, mean, high = (100 * each for each in (estimate.low, estimate.mean, estimate.high))
    return f"{mean:.1f} ({low:.0f}–{high:.0f})"


def counts(questions: Sequence[Question]) -> str:
    """Of how many questions each measure can be said."""
    both = [at_depth(question, ()) for question in questions]
    hits, titles = (sum(pair[place] is not None for pair in both) for place in (0, 1))
    return f"{len(questions)} questions: {hits} with an answer in words, {titles} with gold titles"


async def _search(engine: SearchEngine, questions: Sequence[Question]) -> Found:
    try:
        return await asyncio.gather(*(engine.search(question.text) for question in questions))
    finally:
        await engine.close()


def tables(corpus: str, task_names: str, searches: Sequence[str]) -> str:
    """A table for each task, one row an engine, as Markdown. Raises UserError."""
    chosen = [(task.info.name, task.load("test")) for task in tasks.resolve(task_names)]
    rows: dict[str, list[list[str]]] = {name: [] for name, _ in chosen}
    engines = []
    for search in searches:
        for name, questions in chosen:
            engine = factory.open_engine(search, corpus, max(DEPTHS))
            found = asyncio.run(_search(engine, questions))
            rows[name].append([_label(search), *row(questions, found)])
            print(f"{search}: {name} done", file=sys.stderr)
        engines.append(f"- {_label(search)}: {_described(engine.spec)}")
    head = ["Engine", *(f"Answer @{depth}" for depth in DEPTHS)]
    head += [f"Titles @{depth}" for depth in DEPTHS]
    parts = ["# What search engines find", "Percent, each with its 95 % interval."]
    for name, questions in chosen:
        aligned = ("left", *["right"] * (len(head) - 1))
        made = tabulate(rows[name], head, tablefmt="pipe", disable_numparse=True, colalign=aligned)
        parts += [f"## {name}", f"{counts(questions)}.", made]
    revision = f"- git revision: {provenance.current_session('', 1).git_revision}"
    return "\n\n".join([*parts, "## How", "\n".join([*engines, revision])]) + "\n"


def _described(spec: SearchSpec) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in spec.settings.items())
    return f"{engine_summary(spec)}, {spec.corpus_sha256[:8]}; {settings}"


def _label(search: str) -> str:
    """An engine as it was asked for, without the folders of files that it names."""
    return re.sub(r"(?<=[=+])[^,+=]*/(?=[^/])", "", search)


def main() -> None:
    """Open the engines, ask every question, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--tasks", required=True)
    parser.add_argument("--search", action="append", required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    try:
        made = tables(arguments.corpus, arguments.tasks, arguments.search)
    except UserError as error:
        sys.exit(f"error: {error}")
    if arguments.out:
        arguments.out.write_text(made)
    else:
        print(made, end="")


if __name__ == "__main__":
    main()
