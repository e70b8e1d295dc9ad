"""The check that runs are comparable in one table."""

from collections.abc import Collection, Sequence

from autocoa_bench.engines.request_options import ALL as REQUEST_OPTIONS
from autocoa_bench.errors import Incomparable
from autocoa_bench.judge import SCORER
from autocoa_bench.report.entries import Entry, comparable_fields
from autocoa_bench.report.model import cell_text
from autocoa_bench.report.notes import differing_fields, judge_text
from autocoa_bench.types import SearchSpec


def check_comparable(entries: Sequence[Entry], scorers: Collection[str]) -> None:
    """Raises Incomparable for runs that differ in settings that the numbers of `scorers` depend on.

    These are corpus, index, top-k, questions, scorers, judge, sampling, options of requests and
    budget. Solver, prompt and model, with its server and adapter, are what a table compares.
    """
    corpora: dict[str, str] = {}
    fields = [_binding_fields(entry, scorers, corpora) for entry in entries]
    differing = differing_fields(
        entries,
        fields,
        lambda entry, name: name.startswith("search.settings.") and entry.spec.search is not None,
    )
    differences = "".join(f"\n  {difference}" for difference in differing)
    if differences:
        raise Incomparable(
            f"these runs are not comparable in one table: they differ in{differences}\n"
            "Give runs that agree in these, or --allow-differences to list them under the table."
        )


def _binding_fields(
    entry: Entry, scorers: Collection[str], corpora: dict[str, str]
) -> dict[str, str]:
    """The fields that must be equal, without those that cannot matter to this run."""
    spec = entry.spec
    fields = comparable_fields(spec)
    # Another seed is another sample of the same distribution, not another setting.
    del fields["sampling.seed"]
    uses_engine = spec.engine.engine != "none"
    options = [f"engine.settings.{name}" for name in REQUEST_OPTIONS] if uses_engine else []
    fields = dict.fromkeys(options, "none") | fields
    if spec.sampling.temperature == 0:
        # The likeliest token is the same however many are sampled from.
        unused = ("sampling.top_p", "engine.settings.sampling_top_k", "engine.settings.min_p")
        fields = {name: value for name, value in fields.items() if name not in unused}
    if spec.search:
        del fields["search.corpus_sha256"], fields["search.passages"]
        fields["search.corpus"] = _corpus_by_content(spec.search, corpora)
    else:
        del fields["budget.max_actions"]
    fields["tasks"] = ", ".join(sorted(sample.task for sample in spec.tasks))
    if SCORER in scorers:
        fields["judge"] = judge_text(entry) or "none"
    fields["scorers"] = ", ".join(sorted(set(entry.run.info.scorers) & set(scorers))) or "none"
    # A solver with a loop of its own reads neither sampling nor budget.
    ignored = "engine." if uses_engine else ("engine.", "sampling.", "budget.")
    return {
        name: cell_text(value)
        for name, value in fields.items()
        if name in options or not name.startswith(ignored)
    }


def _corpus_by_content(search: SearchSpec, corpora: dict[str, str]) -> str:
    """A corpus with its hash, under the name by which its content was first met in `corpora`."""
    if not search.corpus_sha256:
        return search.corpus or "one that the server does not name"
    name = corpora.setdefault(search.corpus_sha256, search.corpus)
    return f"{name} ({search.passages:,} passages, {search.corpus_sha256[:8]})"
