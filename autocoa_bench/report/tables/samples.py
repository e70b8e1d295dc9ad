"""Several samples per question: the mean over them, and pass@k."""

from collections.abc import Sequence
from statistics import fmean

from autocoa_bench.errors import UserError
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import Entry, Inputs
from autocoa_bench.report.model import Table, columns, metric_title
from autocoa_bench.stats import Estimate, estimate, macro_average, pass_at
from autocoa_bench.tasks.subquestions import asks_subquestions
from autocoa_bench.types import TaskSample


def samples(inputs: Inputs) -> Table:
    """A section per run, a row per task and one for their average: mean@n, then pass@k.

    k doubles up to the largest number of samples. Raises UserError if no run has several.
    """
    builder = TableBuilder("samples", inputs.entries)
    most = max(entry.spec.samples for entry in builder.entries)
    if most == 1:
        raise UserError(
            "no run has several samples per question: make one with `autocoa-bench run --samples 4 "
            "--temperature 0.7`"
        )
    ks = [*(2**power for power in range(1, most.bit_length()) if 2**power < most), most]
    metrics = ["mean@n", *(f"pass@{k}" for k in ks)]
    for entry in builder.entries:
        builder.start_section(f"{entry.title}: {entry.spec.samples} samples")
        for task, estimates in _estimates_by_task(entry, inputs.scorer, ks).items():
            builder.add_row(inputs.catalogue.title(task), (estimates[0].n, *estimates))
            for metric, value in zip(metrics, estimates, strict=True):
                builder.add_estimate(
                    entry, f"{inputs.scorer}:{metric}", value, task=task, planned=value.planned
                )
    return builder.build_with_legend(
        columns=columns("n", *metrics),
        metric=metric_title(inputs.scorer),
    )


def _estimates_by_task(
    entry: Entry, scorer: str, ks: Sequence[int]
) -> dict[str, Sequence[Estimate]]:
    """Each task's mean@n and pass@k, and their average if the tasks are datasets."""
    tasks: dict[str, Sequence[Estimate]] = {
        sample.task: _estimates(entry, sample, scorer, ks) for sample in entry.spec.tasks
    }
    if len(tasks) > 1 and not any(map(asks_subquestions, tasks)):
        metrics = zip(*tasks.values(), strict=True)
        tasks["Average"] = [macro_average(metric) for metric in metrics]
    return tasks


def _estimates(entry: Entry, sample: TaskSample, scorer: str, ks: Sequence[int]) -> list[Estimate]:
    """A task's mean@n, then its pass@k for each k."""
    by_sample = entry.scores_by_sample(sample, scorer).values()
    by_question = [list(scores.values()) for scores in by_sample]
    passed = [
        estimate(
            [
                [pass_at(k, scores.count(1.0), len(scores))] if len(scores) >= k else []
                for scores in by_question
            ]
        )
        for k in ks
    ]
    return [estimate([[fmean(scores)] if scores else [] for scores in by_question]), *passed]
