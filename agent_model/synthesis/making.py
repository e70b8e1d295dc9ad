"""From what a person asked for to a folder of training data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from rich.console import Console

from agent_model.cot import CoT
from agent_model.pairs import Pair
from agent_model.synthesis import contrast, folder
from agent_model.synthesis.folder import Kind, SynthInfo, SynthSpec
from agent_model.synthesis.keep import Counts, Limits, draw, keep
from agent_model.synthesis.sampled import Ask, Sampled, sample, teach
from autocoa_bench import bench, scoring
from autocoa_bench.types import Record

T = TypeVar("T", Record, Pair)

_SEARCHING: dict[Kind, bool | None] = {"coa": True, "cot": False, "cot+a": None}


class Order(Struct, frozen=True, kw_only=True):
    """What a person asked `synth` for.

    `teacher` is what the gold teacher is asked, or the plan of a model's run with searches; one
    without is run by the same plan.
    At most `count` trajectories or pairs are drawn by `seed`. `runs` is where a model's run
    folders lie, which several kinds of data may share.
    """

    kind: Kind
    teacher: Ask | bench.Plan
    split: str
    scorer: str
    limits: Limits
    count: int | None
    seed: int
    out: Path
    runs: Path


def make(order: Order, console: Console) -> SynthInfo:
    """Make the data, resuming what was sampled already, and write its folder.

    Raises UserError for bad input, and KeyboardInterrupt after everything recorded is safe.
    """
    folder.check_out(order.out, order.kind)
    scorer = scoring.load_scorers((order.scorer,))[order.scorer]
    spec = SynthSpec(
        kind=order.kind,
        split=order.split,
        scorer=order.scorer,
        limits=order.limits,
        count=order.count,
        seed=order.seed,
    )
    if isinstance(order.teacher, Ask):
        return _taught(order, order.teacher, spec, scorer, console)
    runs = {
        name: sample(plan, order.runs / f"run-{name}", console)
        for name, plan in _plans(order.kind, order.teacher).items()
    }
    spec = msgspec.structs.replace(spec, runs={name: run.spec for name, run in runs.items()})
    return _sampled(order, runs, spec, scorer)


def _plans(kind: Kind, plan: bench.Plan) -> dict[str, bench.Plan]:
    """The runs that a kind of data is chosen from."""
    plans = {"cot": msgspec.structs.replace(plan, solver=CoT.name), "coa": plan}
    return plans if kind == "cot+a" else {kind: plans[kind]}


def _taught(
    order: Order, ask: Ask, spec: SynthSpec, scorer: scoring.TextScorer, console: Console
) -> SynthInfo:
    taught = teach(ask, console)
    spec = msgspec.structs.replace(spec, gold=taught.spec)
    kept = keep(taught.records, scorer, order.limits, searching=_SEARCHING[order.kind])
    untaught = {f"not taught: {why}": n for why, n in sorted(taught.untaught.items())}
    counts = msgspec.structs.replace(
        kept.counts,
        seen=kept.counts.seen + taught.untaught.total(),
        dropped=untaught | kept.counts.dropped,
    )
    if order.kind == "cot+a":
        pairs = contrast.gold_pairs(kept.records, order.seed)
        return _write(order, spec, counts, pairs, _mark_pair)
    return _write(order, spec, counts, kept.records, _mark_record)


def _sampled(
    order: Order, runs: Mapping[str, Sampled], spec: SynthSpec, scorer: scoring.TextScorer
) -> SynthInfo:
    if order.kind == "cot+a":
        cot, coa = runs["cot"].records, runs["coa"].records
        made = contrast.sampled_pairs(cot, coa, scorer, order.limits.least)
        dropped = dict(sorted(made.dropped.items()))
        counts = Counts(len(made.pairs) + made.dropped.total(), len(made.pairs), dropped)
        return _write(order, spec, counts, made.pairs, _mark_pair)
    records = runs[order.kind].records
    kept = keep(records, scorer, order.limits, searching=_SEARCHING[order.kind])
    return _write(order, spec, kept.counts, kept.records, _mark_record)


def _write(
    order: Order, spec: SynthSpec, counts: Counts, items: Sequence[T], mark: Callable[[T], str]
) -> SynthInfo:
    drawn = draw(items, mark, order.count, order.seed)
    info = SynthInfo(
        spec=spec, counts=counts, made=len(items), written=len(drawn), shape=folder.shape_of(drawn)
    )
    return folder.write(order.out, info, drawn)


def _mark_record(record: Record) -> str:
    return ":".join(map(str, record.key))


def _mark_pair(pair: Pair) -> str:
    return f"{pair.question.task}:{pair.question.id}:{pair.ends[0]}"
