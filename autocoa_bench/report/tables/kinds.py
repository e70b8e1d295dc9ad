"""Scores by kind of question: the datasets' own types, and whether training words them alike."""

from __future__ import annotations

from collections.abc import Sequence

from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries
from autocoa_bench.report.model import Cell, Column, DataPoint, Row, Section, Table, score_cell
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.report.tables.leaderboard import metric_title
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate, estimate

_WORDINGS = {"shared": "worded as in training", "held-out": "worded as never in training"}


def kinds(
    runs: Sequence[Run], scorers: Sequence[str], catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table:
    """A section a run, a row a dataset's kind of question, then a row a sort of wording.

    Questions without a kind count under their task alone, those without a wording under none.
    """
    found = make_entries(runs, catalogue)
    titles = {name: info.title for name, info in catalogue.tasks.items()}
    sections, facts = [], []
    for entry in found:
        rows = []
        for label, questions in _groups(entry, titles).items():
            means = {scorer: _mean(entry, scorer, questions) for scorer in scorers}
            cells = (score_cell(mean) for mean in means.values())
            rows.append(Row(Cell(label), (Cell(f"{len(questions):,}"), *cells)))
            facts += _facts(entry, label, means)
        sections.append(Section(f"{entry.label}, {entry.model}", tuple(rows)))
    return Table(
        name="kinds",
        title=title_with_model("By kind of question", found),
        stub="Kind",
        columns=(
            Column(("n",)),
            *(Column((f"{metric_title(scorer)} %",)) for scorer in scorers),
        ),
        sections=tuple(sections),
        notes=(
            "percent, each mean over questions with its 95 % interval; n: questions with a "
            "trajectory",
            *shared_notes(found),
        ),
        data_points=tuple(facts),
        lead=1,
    )


def _groups(entry: Entry, titles: dict[str, str]) -> dict[str, set[tuple[str, str]]]:
    """Questions by the label of their row."""
    by_kind: dict[str, set[tuple[str, str]]] = {}
    by_wording: dict[str, set[tuple[str, str]]] = {}
    for record in entry.trajectories():
        question = record.question
        key = (question.task, question.id)
        title = titles.get(question.task, question.task)
        label = f"{title}: {question.kind}" if question.kind else title
        by_kind.setdefault(label, set()).add(key)
        if question.wording in _WORDINGS:
            by_wording.setdefault(_WORDINGS[question.wording], set()).add(key)
    return dict(sorted(by_kind.items())) | dict(sorted(by_wording.items()))


def _mean(entry: Entry, scorer: str, questions: set[tuple[str, str]]) -> Estimate:
    scores = entry.by_question(scorer)
    return estimate([[scores[each]] if each in scores else [] for each in sorted(questions)])


def _facts(entry: Entry, label: str, means: dict[str, Estimate]) -> list[DataPoint]:
    return [
        entry.estimated("kinds", f"{scorer}:{label}", mean, planned=mean.planned)
        for scorer, mean in means.items()
    ]
