"""Which runs may stand in one table, and the refusal of those that may not."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from autocoa_bench.errors import Incomparable
from autocoa_bench.judge import SCORER
from autocoa_bench.report.entries import Entry, comparable_fields, plain_field
from autocoa_bench.report.model import printable
from autocoa_bench.report.notes import grouped, judge_of
from autocoa_bench.types import SearchSpec

OPTION = "--allow-differences"
_SETTINGS = "search.settings."


def check_comparable(found: Sequence[Entry], scorers: Collection[str]) -> None:
    """Raises Incomparable for runs that differ in what makes `scorers`' numbers comparable.

    That is corpus, index, top-k, questions, scorers, judge, sampling and budget. Solver, prompt
    and model, with how it is served and what adapter it has, are what a table compares.
    """
    corpora: dict[str, str] = {}
    fields = [_binding(entry, scorers, corpora) for entry in found]
    said = []
    for name in dict.fromkeys(name for each in fields for name in each):
        values = {
            entry.name: printable(each.get(name, "absent"))
            for entry, each in zip(found, fields, strict=True)
            if name in each or (name.startswith(_SETTINGS) and entry.spec.search)
        }
        if len(set(values.values())) > 1:
            said.append(f"\n  {plain_field(name)}: {grouped(values)}")
    if said:
        raise Incomparable(
            f"these runs are not comparable in one table, for they differ in{''.join(said)}\n"
            f"Give runs that agree in these, or {OPTION} to have them listed under the table."
        )


def _binding(entry: Entry, scorers: Collection[str], corpora: dict[str, str]) -> dict[str, str]:
    """The fields that must be equal, less those that cannot matter to this run."""
    spec = entry.spec
    fields = {
        name: value
        for name, value in comparable_fields(spec).items()
        if not name.startswith("engine.")
    }
    del fields["sampling.seed"]  # another draw, not another setting
    if spec.sampling.temperature == 0:
        del fields["sampling.top_p"]
    if spec.search:
        del fields["search.corpus_sha256"], fields["search.passages"]
        fields["search.corpus"] = _corpus(spec.search, corpora)
    else:
        del fields["budget.max_actions"]
    if spec.engine.engine == "none":  # a solver with a loop of its own
        fields = {
            name: value
            for name, value in fields.items()
            if not name.startswith(("sampling.", "budget."))
        }
    fields["tasks"] = ", ".join(sorted(sample.task for sample in spec.tasks))
    if SCORER in scorers:
        fields["judge"] = judge_of(entry) or "none"
    fields["scorers"] = ", ".join(sorted(set(entry.run.info.scorers) & set(scorers))) or "none"
    return fields


def _corpus(search: SearchSpec, corpora: dict[str, str]) -> str:
    """A corpus by its content: the same one is the same under another name."""
    if not search.corpus_sha256:
        return search.corpus or "one that the server does not name"
    name = corpora.setdefault(search.corpus_sha256, search.corpus)
    return f"{name} ({search.passages:,} passages, {search.corpus_sha256[:8]})"
