"""Builds a folder of training data: episodes from a teacher, filtered, drawn and written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace
from rich.console import Console

from agent_model.data import folder
from agent_model.data.config import DataConfig, DataKind
from agent_model.data.filters import Counts, draw_sample, filter_records
from agent_model.data.folder import GoldSpec, SynthInfo, SynthSpec
from agent_model.data.pairs import Pair, draw_evenly, gold_pairs, sampled_pairs
from agent_model.data.teachers import sample_episodes, write_gold_episodes
from agent_model.dialects.cot import CoT
from autocoa_bench import scoring
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.scoring import TextScorer
from autocoa_bench.types import Record, RunSpec

_SEARCHING: dict[DataKind, bool | None] = {"coa": True, "cot": False, "cot+a": None}


class _Chosen(NamedTuple):
    """All that is fit for training, records or pairs, and the counts of what it was chosen from."""

    spec: SynthSpec
    counts: Counts
    records: Sequence[Record] = ()
    pairs: Sequence[Pair] = ()


def build_data(config: DataConfig, console: Console) -> SynthInfo:
    """Make the data and write its folder, resuming the teacher's run if it was stopped.

    Refuses a folder that holds something else before anything is sampled, and writes nothing if no
    data was kept. Raises UserError for bad input, and KeyboardInterrupt once all finished episodes
    are recorded.
    """
    folder.check_out(config.out, config.kind)
    scorer = scoring.load_scorers((config.scorer,))[config.scorer]
    spec = SynthSpec(
        kind=config.kind,
        split=config.run.split,
        scorer=config.scorer,
        limits=config.limits,
        count=config.most,
        seed=config.seed,
    )
    from_teacher = _from_gold if config.teacher == "gold" else _from_model
    chosen = from_teacher(config, spec, scorer, console)
    drawn: Sequence[Record] | Sequence[Pair] = (
        draw_evenly(chosen.pairs, config.most, config.seed)
        if config.kind == "cot+a"
        else draw_sample(
            chosen.records, lambda r: ":".join(map(str, r.key)), config.most, config.seed
        )
    )
    info = SynthInfo(
        spec=chosen.spec,
        counts=chosen.counts,
        chosen=len(chosen.records) + len(chosen.pairs),
        written=len(drawn),
        shape=folder.shape_of(drawn),
    )
    return folder.write(config.out, info, drawn) if drawn else info


def _from_gold(
    config: DataConfig, spec: SynthSpec, scorer: TextScorer, console: Console
) -> _Chosen:
    def check(gold: GoldSpec) -> None:
        folder.check_origin(config.out, replace(spec, gold=gold))

    searching = _SEARCHING[config.kind]
    gold = write_gold_episodes(config, searching, console, check)
    spec = replace(spec, gold=gold.spec)
    result = filter_records(gold.records, scorer, config.limits, searching=searching)
    failures = {f"not taught: {reason}": n for reason, n in sorted(gold.failures.items())}
    counts = replace(
        result.counts,
        seen=result.counts.seen + gold.failures.total(),
        dropped=failures | result.counts.dropped,
    )
    if config.kind == "cot+a":
        return _Chosen(spec, counts, pairs=gold_pairs(result.records, config.seed))
    return _Chosen(spec, counts, records=result.records)


def _from_model(
    config: DataConfig, spec: SynthSpec, scorer: TextScorer, console: Console
) -> _Chosen:
    folder.check_origin(config.out, spec)
    solvers = {"cot": CoT.name, "coa": config.run.solver}
    runs: dict[str, Run] = {}
    for name in solvers if config.kind == "cot+a" else (config.kind,):

        def check(run: RunSpec, name: str = name) -> None:
            folder.check_origin(config.out, replace(spec, runs={name: run}))

        run_folder = (config.runs or config.out) / f"run-{name}"
        run_config = replace(config.run, solver=solvers[name], out=run_folder)
        runs[name] = sample_episodes(run_config, console, check)
    spec = replace(spec, runs={name: run.info.spec for name, run in runs.items()})
    if config.kind == "cot+a":
        cot, coa = runs["cot"].records, runs["coa"].records
        pairs, dropped = sampled_pairs(cot, coa, scorer, config.limits.min_score)
        counts = Counts(len(pairs) + dropped.total(), len(pairs), dict(sorted(dropped.items())))
        return _Chosen(spec, counts, pairs=pairs)
    records = runs[config.kind].records
    searching = _SEARCHING[config.kind]
    result = filter_records(records, scorer, config.limits, searching=searching)
    return _Chosen(spec, result.counts, records=result.records)
