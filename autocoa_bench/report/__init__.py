"""Reports: runs become tables, plots and a page.

`build` makes a report from `tables/`, whose parts are defined in `model` and put together by
`builder`. `entries` turns runs into entries of a table and `notes` writes what stands under it.
`comparison/` has the statistical tests between runs and the check that runs are comparable,
`published` the paper's own numbers. `render/` writes a report as text, `page/` as HTML.

May import: everything below except `cli`."""

from autocoa_bench.report.build import (
    DEFAULT_TABLES,
    FORMATS,
    TABLES,
    build,
    compare_runs,
    default_tables,
    render,
)
from autocoa_bench.report.comparison.pairs import records_by_outcome
from autocoa_bench.report.entries import Catalogue, make_catalogue
from autocoa_bench.report.model import Report, Table
from autocoa_bench.report.render.terminal import print_terminal
from autocoa_bench.report.tables.actions import action_counts
from autocoa_bench.report.tables.claims import claims
from autocoa_bench.report.tables.compare import compare
from autocoa_bench.report.tables.costs import costs
from autocoa_bench.report.tables.evidence import evidence
from autocoa_bench.report.tables.faults import faults
from autocoa_bench.report.tables.judge_agreement import judge_agreement
from autocoa_bench.report.tables.judge_probes import judge_probes
from autocoa_bench.report.tables.kinds import kinds
from autocoa_bench.report.tables.leaderboard import leaderboard
from autocoa_bench.report.tables.paper import paper
from autocoa_bench.report.tables.samples import samples
from autocoa_bench.report.tables.search_effect import search_effect
from autocoa_bench.report.tables.temporal import temporal
from autocoa_bench.report.tables.when_to_act import when_to_act

__all__ = [
    "DEFAULT_TABLES",
    "FORMATS",
    "TABLES",
    "Catalogue",
    "Report",
    "Table",
    "action_counts",
    "build",
    "claims",
    "compare",
    "compare_runs",
    "costs",
    "default_tables",
    "evidence",
    "faults",
    "judge_agreement",
    "judge_probes",
    "kinds",
    "leaderboard",
    "make_catalogue",
    "paper",
    "print_terminal",
    "records_by_outcome",
    "render",
    "samples",
    "search_effect",
    "temporal",
    "when_to_act",
]
