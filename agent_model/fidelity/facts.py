"""The facts that the searches of a trajectory were to find, and whether passages state them."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from autocoa_bench.scoring.folding import title_key
from autocoa_bench.scoring.text import has_words
from autocoa_bench.search.simulated import SimulatedResults, prompt_after
from autocoa_bench.types import Hop, Passage, Prompt, Question, Record, Turn


class FactSearch(Struct, frozen=True):
    """A search of a trajectory, and the hop of the gold chain that it was to answer.

    `number` counts hops from 1. `before` is the prompt up to the end of the search, `real` are the
    passages that the search returned. `title` is the gold passage's if it is among them, else
    empty. Fingerprints are over all fields and their names.
    """

    question: Question
    number: int
    hop: Hop
    before: Prompt
    query: str
    real: tuple[Passage, ...]
    title: str


class FactVerdict(Struct, frozen=True):
    """The results that a model wrote for a search, and whether they state its fact.

    `fingerprint` identifies the search, the model and the settings; `origin` is the world that the
    question is from. `real_fact` and `simulated_fact` tell whether the hop's answer is in the
    passages, `seen` whether it is in the question or the turn so far. `title` tells whether a
    simulated passage has the gold passage's title; None if the real search did not find that.
    `problem` is empty for well-formed results.
    """

    fingerprint: str = msgspec.field(name="mark")
    task: str
    question_id: str
    origin: str
    hop: int
    query: str
    answer: str
    real_fact: bool
    simulated_fact: bool
    seen: bool
    title: bool | None
    problem: str
    text: str


def searches_of(record: Record) -> Iterator[FactSearch]:
    """The searches of a record with the hops that they were to answer, in order.

    A search answers the first open hop whose gold passage it found; if it found none of them, the
    first open hop. Searches after all hops are found are left out, as are all searches of a
    question without a gold chain.
    """
    if record.trajectory is None:
        return
    open_hops = list(enumerate(record.question.hops, 1))
    prompt = Prompt(record.trajectory.opening, (), record.trajectory.prefill)
    for step in record.trajectory.steps:
        prompt = prompt_after(prompt, step.text)
        if step.kind == "search" and open_hops:
            titles = {passage.id: passage.title for passage in step.passages}
            answered = [item for item in open_hops if item[1].passage_id in titles]
            number, hop = (answered or open_hops)[0]
            title = titles.get(hop.passage_id, "")
            query, passages = step.argument, step.passages
            yield FactSearch(record.question, number, hop, prompt, query, passages, title)
            open_hops = [item for item in open_hops if item not in answered]
        observation = (Turn("environment", step.observation),) if step.observation else ()
        prompt = Prompt(prompt.opening, (*prompt.turns, *observation), prompt.prefill)


def facts_stated(record: Record) -> Iterator[bool]:
    """For each search while a hop is open: do its passages state the answer of an open hop?

    An answer's aliases count too, and hops whose answers are stated are closed. Real and simulated
    results are compared by their text alone. Yields nothing without a gold chain.
    """
    n_open = len(record.question.hops)
    for still_open in _open_after_searches(record):
        if n_open:
            yield still_open < n_open
        n_open = still_open


def share_stated(record: Record) -> float | None:
    """The share of the gold hops whose answers the search results state; None without a chain."""
    n_hops = len(record.question.hops)
    *_, n_open = (n_hops, *_open_after_searches(record))
    return (n_hops - n_open) / n_hops if n_hops else None


def _open_after_searches(record: Record) -> Iterator[int]:
    """After each search, the number of hops whose answers no results so far state."""
    open_hops = list(record.question.hops)
    for step in record.trajectory.steps if record.trajectory else ():
        if step.kind == "search":
            open_hops = [
                hop
                for hop in open_hops
                if not any(states(step.passages, name) for name in (hop.answer, *hop.aliases))
            ]
            yield len(open_hops)


def states(passages: Sequence[Passage], answer: str) -> bool:
    """True if passages contain an answer as whole words, both normalised as for exact match."""
    return any(has_words(f"{passage.title} {passage.text}", answer) for passage in passages)


def verdict(
    fingerprint: str, search: FactSearch, results: SimulatedResults, origin: str
) -> FactVerdict:
    """Compare simulated results with the gold chain and with the real results."""
    answer = search.hop.answer
    title = None
    if search.title:
        gold_title = title_key(search.title)
        title = any(title_key(passage.title) == gold_title for passage in results.passages)
    return FactVerdict(
        fingerprint=fingerprint,
        task=search.question.task,
        question_id=search.question.id,
        origin=origin,
        hop=search.number,
        query=search.query,
        answer=answer,
        real_fact=states(search.real, answer),
        simulated_fact=states(results.passages, answer),
        seen=has_words(f"{search.question.text} {search.before.continuation}", answer),
        title=title,
        problem=results.problem,
        text=results.text,
    )
