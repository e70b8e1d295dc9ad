"""From what a person asked for to a folder of training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console

from agent_model.data import folder
from agent_model.data.config import DataConfig, DataKind
from agent_model.data.filters import Counts, draw_sample, filter_records
from agent_model.data.folder import GoldSpec, SynthInfo, SynthSpec
from agent_model.data.model_teacher import SampledEpisodes, sample, teach
from agent_model.data.pairs import Pair, draw_evenly, gold_pairs, sampled_pairs
from agent_model.dialects.cot import CoT
from autocoa_bench import scoring
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.types import Record, RunSpec

_SEARCHING: dict[DataKind, bool | None] = {"coa": True, "cot": False, "cot+a": None}


def build_data(order: DataConfig, console: Console) -> SynthInfo:
    """Make the data, resuming what was sampled already, and write its folder.

    A folder that holds something else is refused before anything is sampled. Where nothing is
    kept, nothing is written. Raises UserError for bad input, and KeyboardInterrupt after
    everything recorded is safe.
    """
    folder.check_out(order.out, order.kind)
    scorer = scoring.load_scorers((order.scorer,))[order.scorer]
    spec = SynthSpec(
        kind=order.kind,
        split=order.run.split,
        scorer=order.scorer,
        limits=order.limits,
        count=order.most,
        seed=order.seed,
    )
    if order.teacher == "gold":
        return _taught(order, spec, scorer, console)
    folder.check_origin(order.out, spec)
    runs: dict[str, SampledEpisodes] = {}
    for name, plan in _plans(order.kind, order.run).items():

        def check(run: RunSpec, name: str = name) -> None:
            folder.check_origin(order.out, msgspec.structs.replace(spec, runs={name: run}))

        runs[name] = sample(plan, (order.runs or order.out) / f"run-{name}", console, check)
    spec = msgspec.structs.replace(spec, runs={name: run.spec for name, run in runs.items()})
    return _sampled(order, runs, spec, scorer)


def _plans(kind: DataKind, plan: RunConfig) -> dict[str, RunConfig]:
    """The runs that a kind of data is chosen from."""
    plans = {"cot": msgspec.structs.replace(plan, solver=CoT.name), "coa": plan}
    return plans if kind == "cot+a" else {kind: plans[kind]}


def _taught(
    order: DataConfig,
    spec: SynthSpec,
    scorer: scoring.TextScorer,
    console: Console,
) -> SynthInfo:
    def check(gold: GoldSpec) -> None:
        folder.check_origin(order.out, msgspec.structs.replace(spec, gold=gold))

    taught = teach(order, _SEARCHING[order.kind], console, check)
    spec = msgspec.structs.replace(spec, gold=taught.spec)
    kept = filter_records(taught.records, scorer, order.limits, searching=_SEARCHING[order.kind])
    untaught = {f"not taught: {why}": n for why, n in sorted(taught.untaught.items())}
    counts = msgspec.structs.replace(
        kept.counts,
        seen=kept.counts.seen + taught.untaught.total(),
        dropped=untaught | kept.counts.dropped,
    )
    if order.kind == "cot+a":
        return _write_pairs(order, spec, counts, gold_pairs(kept.records, order.seed))
    return _write_records(order, spec, counts, kept.records)


def _sampled(
    order: DataConfig,
    runs: Mapping[str, SampledEpisodes],
    spec: SynthSpec,
    scorer: scoring.TextScorer,
) -> SynthInfo:
    if order.kind == "cot+a":
        cot, coa = runs["cot"].records, runs["coa"].records
        made = sampled_pairs(cot, coa, scorer, order.limits.least)
        dropped = dict(sorted(made.dropped.items()))
        counts = Counts(len(made.pairs) + made.dropped.total(), len(made.pairs), dropped)
        return _write_pairs(order, spec, counts, made.pairs)
    records = runs[order.kind].records
    kept = filter_records(records, scorer, order.limits, searching=_SEARCHING[order.kind])
    return _write_records(order, spec, kept.counts, kept.records)


def _write_records(
    order: DataConfig, spec: SynthSpec, counts: Counts, records: Sequence[Record]
) -> SynthInfo:
    drawn = draw_sample(
        records, lambda record: ":".join(map(str, record.key)), order.most, order.seed
    )
    return _write(order, spec, counts, len(records), drawn)


def _write_pairs(
    order: DataConfig, spec: SynthSpec, counts: Counts, pairs: Sequence[Pair]
) -> SynthInfo:
    drawn = draw_evenly(pairs, order.most, order.seed)
    return _write(order, spec, counts, len(pairs), drawn)


def _write(
    order: DataConfig,
    spec: SynthSpec,
    counts: Counts,
    made: int,
    drawn: Sequence[Record] | Sequence[Pair],
) -> SynthInfo:
    shape = folder.shape_of(drawn)
    info = SynthInfo(spec=spec, counts=counts, made=made, written=len(drawn), shape=shape)
    return folder.write(order.out, info, drawn) if drawn else info
