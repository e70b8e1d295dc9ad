"""Reports: runs become tables, plots and a page.

`build` makes a report from `tables/`, whose parts are defined in `model` and put together by
`builder` with the titles and notes in `legends.toml`. `entries` turns runs into entries of a table,
and `notes` writes the notes that tables share. `comparison/` has the statistical tests between runs
and the check that runs are comparable, `published` the paper's own numbers. `render/` writes a
report as text, `page/` as HTML.

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
from autocoa_bench.report.entries import Catalogue, make_catalogue
from autocoa_bench.report.model import Report, Table
from autocoa_bench.report.render.terminal import print_terminal
from autocoa_bench.report.tables.compare import records_by_outcome
from autocoa_bench.report.tables.judge_checks import judge_agreement, judge_probes

__all__ = ["DEFAULT_TABLES", "FORMATS", "TABLES", "Catalogue", "Report", "Table"]
__all__ += ["build", "compare_runs", "default_tables", "judge_agreement", "judge_probes"]
__all__ += ["make_catalogue", "print_terminal", "records_by_outcome", "render"]
