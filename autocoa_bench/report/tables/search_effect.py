"""The effect of searching: answers kept, gained and lost against the model alone."""

from __future__ import annotations

from collections import Counter

from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.comparison.pairs import common_questions, pair_of_entries
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry
from autocoa_bench.report.model import Table, columns, metric_title, p_text, score_cell
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.scoring import RIGHT
from autocoa_bench.stats import LEVEL, holm, mcnemar, proportion

_EFFECTS = {
    (True, True): "memorised",
    (False, True): "gained",
    (True, False): "lost",
    (False, False): "neither",
}
"""By whether the model is right alone, and whether it is right when it searches."""


def search_effect(
    first: Run, second: Run, scorer: str = "em", catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table | None:
    """The questions that searching gains and loses; a row per task, and one for all.

    None unless exactly one of the two runs has no search. Raises UserError if no question is
    common.
    """
    # False sorts before True: the run without search comes first.
    alone, searching = sorted(pair_of_entries(first, second, catalogue), key=_searches)
    if _searches(alone) or not _searches(searching):
        return None
    without, with_search = alone.scores_by_question(scorer), searching.scores_by_question(scorer)
    counts = {
        task: Counter(
            _EFFECTS[without[question] >= RIGHT, with_search[question] >= RIGHT]
            for question in questions
        )
        for task, questions in common_questions(alone, searching, scorer).items()
    }
    p_values = holm([mcnemar(effects["gained"], effects["lost"]) for effects in counts.values()])

    builder = TableBuilder("search", [alone, searching])
    for (task, effects), p in zip(counts.items(), p_values, strict=True):
        shares = {name: proportion(effects[name], effects.total()) for name in _EFFECTS.values()}
        larger = "gained" if effects["gained"] > effects["lost"] else "lost"
        cells = [
            score_cell(share, strong=p < LEVEL and name == larger) for name, share in shares.items()
        ]
        builder.add_row(catalogue.title(task), (effects.total(), *cells, p_text(p)))
        for name, share in shares.items():
            builder.add_estimate(searching, f"{scorer}:{name}", share, task=task)
    return builder.build_with_legend(
        columns=columns("n", *_EFFECTS.values(), "p (Holm)"),
        metric=metric_title(scorer),
        alone=alone.name,
        alone_model=alone.model,
        searching=searching.name,
        searching_model=searching.model,
        right=RIGHT,
    )


def _searches(entry: Entry) -> bool:
    return entry.spec.search is not None
