"""World model: is what the agent model imagines of a search's results true?

Stage 3 teaches the model to write observations, and the first stage of reinforcement learning
trains in what it writes (paper 3.2.2, 3.3), so its invented evidence is measured against the
real: at each search of a recorded trajectory the model writes the results, given the true turn so
far, and they are asked for the fact that the search was to find.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from autocoa_bench.errors import Fault
from autocoa_bench.report import Report, Table
from autocoa_bench.report.model import Cell, Column, DataPoint, Row, Section, score_cell
from autocoa_bench.scoring.text import has_words, normalise
from autocoa_bench.search.simulated import SimulatedResults, prompt_after
from autocoa_bench.stats import Estimate, estimate
from autocoa_bench.types import FaultNote, Hop, Passage, Prompt, Question, Record, Trajectory, Turn


class FactSearch(Struct, frozen=True):
    """A search of a trajectory, and the hop of the gold chain that it was to answer.

    `number` counts hops from 1. `before` ends with the search. `title` is the gold passage's,
    where the real search found it, else empty.
    """

    question: Question
    number: int
    hop: Hop
    before: Prompt
    query: str
    real: tuple[Passage, ...]
    title: str


class FactVerdict(Struct, frozen=True):
    """What the model wrote for a look-up, and whether it is so.

    `mark` tells the look-up and who was asked from others; `origin` says which world the question
    is of: a heading of the table. `real_fact` and `simulated_fact` say whether the hop's answer is
    in the passages, `seen` whether it stood in the question or the turn before. `title` says
    whether a simulated passage bears the gold passage's title; None where that is not known.
    """

    mark: str
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
    """A record's searches with the hops that they were to answer, in order.

    A search is for the first hop that is still open and whose gold passage it found; where it
    found none of them, for the first open hop. A search after all hops are found is left out, as
    is every search of a question without a gold chain.
    """
    trajectory = record.trajectory
    if trajectory is None:
        return
    waiting = list(enumerate(record.question.hops, 1))
    for before, query, passages in _searches(trajectory):
        titles = {passage.id: passage.title for passage in passages}
        found = [each for each in waiting if each[1].passage_id in titles]
        if waiting:
            number, hop = (found or waiting)[0]
            title = titles.get(hop.passage_id, "")
            yield FactSearch(record.question, number, hop, before, query, passages, title)
        waiting = [each for each in waiting if each not in found]


def _searches(trajectory: Trajectory) -> Iterator[tuple[Prompt, str, tuple[Passage, ...]]]:
    """Each search's prompt up to its end, its query, and the passages that were shown."""
    prompt = Prompt(trajectory.opening, (), trajectory.prefill)
    for step in trajectory.steps:
        prompt = prompt_after(prompt, step.text)
        if step.kind == "search":
            yield prompt, step.argument, step.passages
        observed = (Turn("environment", step.observation),) if step.observation else ()
        prompt = Prompt(prompt.opening, (*prompt.turns, *observed), prompt.prefill)


def facts_stated(record: Record) -> Iterator[bool]:
    """Of each search of a record, as long as a hop of the gold chain is open: whether its passages
    state the answer of one, or another name of it; those that they state are open no more.

    Real and simulated results are measured alike, by text alone. None of a question without a
    gold chain.
    """
    waiting = list(record.question.hops)
    for step in record.trajectory.steps if record.trajectory else ():
        if step.kind == "search" and waiting:
            left = [
                hop
                for hop in waiting
                if not any(states(step.passages, name) for name in (hop.answer, *hop.aliases))
            ]
            yield len(left) < len(waiting)
            waiting = left


def states(passages: Sequence[Passage], answer: str) -> bool:
    """Whether passages contain an answer as whole words, both normalised as for exact match."""
    return any(has_words(f"{passage.title} {passage.text}", answer) for passage in passages)


def verdict(mark: str, look_up: FactSearch, found: SimulatedResults, origin: str) -> FactVerdict:
    """Compare simulated results with the gold chain and with the real ones."""
    answer = look_up.hop.answer
    title = None
    if look_up.title:
        gold = normalise(look_up.title)
        title = any(normalise(passage.title) == gold for passage in found.passages)
    return FactVerdict(
        mark=mark,
        task=look_up.question.task,
        question_id=look_up.question.id,
        origin=origin,
        hop=look_up.number,
        query=look_up.query,
        answer=answer,
        real_fact=states(look_up.real, answer),
        simulated_fact=states(found.passages, answer),
        seen=has_words(f"{look_up.question.text} {look_up.before.continuation}", answer),
        title=title,
        problem=found.problem,
        text=found.text,
    )


async def simulate(
    found: Mapping[str, FactSearch],
    write: Callable[[Prompt], Awaitable[SimulatedResults]],
    concurrency: int,
    on_done: Callable[[str, SimulatedResults | FaultNote], None],
) -> None:
    """Let a model write the results of every look-up, `concurrency` at a time.

    `on_done` is handed each by its name as it ends; a fault never stops the others, and whatever
    `on_done` raises stops all.
    """
    gate = asyncio.Semaphore(concurrency)

    async def one(name: str, look_up: FactSearch) -> None:
        async with gate:
            try:
                result: SimulatedResults | FaultNote = await write(look_up.before)
            except Fault as fault:
                result = FaultNote(fault.kind, str(fault))
        on_done(name, result)

    try:
        async with asyncio.TaskGroup() as group:
            for name, look_up in found.items():
                group.create_task(one(name, look_up))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


_MEASURES: dict[str, tuple[tuple[str, str], Callable[[FactVerdict], bool | None]]] = {
    "simulated_fact": (("Fact in results %", "simulated"), lambda each: each.simulated_fact),
    "real_fact": (("Fact in results %", "real"), lambda each: each.real_fact),
    "seen": (("Fact in results %", "seen before"), lambda each: each.seen),
    "title": (("", "title %"), lambda each: each.title),
    "well_formed": (("", "well-formed %"), lambda each: not each.problem),
}


def report(verdicts: Sequence[FactVerdict], model: str, faults: Sequence[FaultNote] = ()) -> Report:
    """The table of a model's verdicts: a section a world, a row a hop. Faults are noted."""
    sections, facts = [], []
    for origin in sorted({each.origin for each in verdicts}):
        own = [each for each in verdicts if each.origin == origin]
        rows = []
        for label, chosen in _by_hop(own):
            found = {name: _share(chosen, of) for name, (_, of) in _MEASURES.items()}
            cells = (Cell(f"{len(chosen):,}"), *(score_cell(each) for each in found.values()))
            rows.append(Row(Cell(label), cells))
            facts += [_fact(origin, label, name, each, model) for name, each in found.items()]
        sections.append(Section(origin, tuple(rows)))
    table = Table(
        name="fidelity",
        title="Fidelity of simulated search results",
        stub="Hop",
        columns=(
            Column(("", "searches")),
            *(Column(headings) for headings, _ in _MEASURES.values()),
        ),
        sections=tuple(sections),
        notes=(
            "at each search of a trajectory the model writes the results, given the true turn so "
            "far; fact: the hop's gold answer is in the passages, whole words normalised as for "
            "exact match; each share with its 95 % interval over questions",
            "seen before: the answer stood in the question or the turn already, so that it can be "
            "copied",
            "title: a simulated passage bears the gold passage's title, of the searches that "
            "really found it; well-formed: closed, and nothing but results in the dialect's form",
            *(
                f"searches left out, the model server failed with {kind}: {number:,}"
                for kind, number in Counter(fault.kind for fault in faults).items()
            ),
        ),
        data_points=tuple(facts),
        lead=1,
    )
    return Report((table,), (f"model: {model}",))


def _by_hop(verdicts: Sequence[FactVerdict]) -> Iterator[tuple[str, list[FactVerdict]]]:
    for hop in sorted({each.hop for each in verdicts}):
        yield str(hop), [each for each in verdicts if each.hop == hop]
    yield "all", list(verdicts)


def _share(verdicts: Sequence[FactVerdict], of: Callable[[FactVerdict], bool | None]) -> Estimate:
    """The mean over questions of their searches' mean; None is left out."""
    values: dict[tuple[str, str], list[float]] = {}
    for each in verdicts:
        value = of(each)
        if value is not None:
            values.setdefault((each.task, each.question_id), []).append(float(value))
    return estimate(list(values.values()))


def _fact(origin: str, hop: str, name: str, found: Estimate, model: str) -> DataPoint:
    return DataPoint(
        table="fidelity",
        run=origin,
        folder="",
        solver="",
        model=model,
        section=origin,
        metric=f"hop {hop}:{name}" if hop != "all" else name,
        mean=found.mean,
        low=found.low,
        high=found.high,
        n=found.n,
    )
