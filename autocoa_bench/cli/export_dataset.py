"""A run as a dataset in the layout of the Hugging Face Hub: two configs of Parquet, and a card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autocoa_bench import __version__
from autocoa_bench.engines import model_name
from autocoa_bench.errors import UserError, import_extra
from autocoa_bench.frames import record_rows, step_rows
from autocoa_bench.util.json_lines import write_errors
from autocoa_bench.util.scratch import whole
from autocoa_bench.util.text import one_line, printable_tree

if TYPE_CHECKING:
    from autocoa_bench.runs.run_folder import Run

CONFIGS = ("records", "steps")
"""The configs of a dataset, each with the one split `train`."""

_BATCH_ROWS = 1000

_CARD = """---
pretty_name: Trajectories of a search agent
task_categories:
- question-answering
configs:
- config_name: records
  data_files: records/train-*.parquet
  default: true
- config_name: steps
  data_files: steps/train-*.parquet
---

# Trajectories of a search agent

A run of autocoa-bench {version}. `records` has a row per question and sample; `steps` has a row per
completion of the model, numbered from 1, with its query or answer and what the model was shown
next. `run`, `task`, `question_id` and `sample` join them. A record without a prediction ended
without an answer, or with a `fault` of the harness, which has no score.

```python
from datasets import load_dataset

records = load_dataset("{folder}", "records", split="train")
```

| | |
| --- | --- |
{facts}

The questions and the passages have the licences of their sources.
"""


def write_dataset(run: Run, out: Path) -> list[Path]:
    """Write a run that is scored as a dataset to a new or empty folder, and return its files.

    Raises UserError and MissingExtra.
    """
    import_extra("pyarrow", "exporting a dataset", "parquet")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"'{out}' exists and is not an empty folder; name a new one with --out")
    with write_errors(out):
        out.resolve().parent.mkdir(parents=True, exist_ok=True)
        with whole(out) as folder:
            _write_parquet(folder / _file("records"), _record_schema(run), _records(run))
            steps = step_rows(run.path.name, run)
            _write_parquet(folder / _file("steps"), _step_schema(), steps)
            (folder / "README.md").write_text(_card(run, out.name), encoding="utf-8")
    return [out / name for name in ("README.md", *map(_file, CONFIGS))]


def _file(config: str) -> str:
    return f"{config}/train-00000-of-00001.parquet"


def _records(run: Run) -> Iterator[dict[str, Any]]:
    for record, row in zip(run.records, record_rows(run.path.name, run), strict=True):
        # In a dataset of questions and answers, a column `answer` would be the right one.
        prediction = row.pop("answer", None)
        opening = record.trajectory.opening if record.trajectory else ()
        messages = [{"role": message.role, "content": message.content} for message in opening]
        yield {**row, "prediction": prediction, "opening": messages}


def _write_parquet(file: Path, schema: Any, rows: Iterator[dict[str, Any]]) -> None:
    from pyarrow import Table
    from pyarrow.parquet import ParquetWriter

    file.parent.mkdir(parents=True)
    with ParquetWriter(file, schema) as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(printable_tree(row))
            if len(batch) == _BATCH_ROWS:
                writer.write_table(Table.from_pylist(batch, schema))
                batch = []
        if batch:  # `datasets` reads no group without rows
            writer.write_table(Table.from_pylist(batch, schema))


def _key_columns() -> dict[str, Any]:
    import pyarrow as pa

    text = dict.fromkeys(("run", "task", "question_id"), pa.string())
    return {**text, "sample": pa.int64()}


def _record_schema(run: Run) -> Any:
    import pyarrow as pa

    message = pa.struct({"role": pa.string(), "content": pa.string()})
    columns = {
        **_key_columns(),
        "question": pa.string(),
        "golden_answers": pa.list_(pa.string()),
        "prediction": pa.string(),
        **dict.fromkeys(run.info.scorers, pa.float64()),
        **dict.fromkeys(("kind", "ending", "fault"), pa.string()),
        **dict.fromkeys(("actions", "malformed"), pa.int64()),
        **dict.fromkeys(("prompt_tokens", "completion_tokens"), pa.int64()),
        **dict.fromkeys(("gold_recall", "seconds"), pa.float64()),
        "opening": pa.list_(message),
    }
    return pa.schema(columns)


def _step_schema() -> Any:
    import pyarrow as pa

    columns = {
        **_key_columns(),
        "step": pa.int64(),
        **dict.fromkeys(("kind", "argument", "text", "observation"), pa.string()),
        "passage_ids": pa.list_(pa.string()),
        "problem": pa.string(),
        "forced": pa.bool_(),
        "stop_reason": pa.string(),
        **dict.fromkeys(("prompt_tokens", "completion_tokens"), pa.int64()),
        **dict.fromkeys(("generate_seconds", "search_seconds"), pa.float64()),
    }
    return pa.schema(columns)


def _card(run: Run, folder: str) -> str:
    facts = "\n".join(f"| {name} | {_code(value)} |" for name, value in _facts(run))
    return _CARD.format(version=__version__, folder=_plain(folder), facts=facts)


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    spec = run.info.spec
    yield "solver", spec.solver
    yield "model", model_name(spec.engine)
    for sample in spec.tasks:
        questions = f"{sample.task} ({sample.edition}), {len(sample.question_ids):,} questions"
        yield "task", f"{questions} {sample.revision}".strip()
    if spec.search:
        corpus = Path(spec.search.corpus).name or "a corpus without a name"
        yield "search", f"{spec.search.engine} over {corpus}, top {spec.search.top_k}"
    yield "temperature", f"{spec.sampling.temperature:g}, seed {spec.sampling.seed}"
    yield "records", f"{len(run.records):,}"
    for scorer in run.info.scorers:
        scores = run.scores.get(scorer, {}).values()
        values = [score.value for score in scores if score.value is not None]
        if values:
            yield f"mean {scorer}", f"{sum(values) / len(values):.3f}"


def _code(text: str) -> str:
    return f"`{_plain(text)}`"


def _plain(text: str) -> str:
    """A text that cannot leave the code, the table's cell or the quotes in which it stands."""
    return one_line(text).translate(str.maketrans('`|"\\', "'/'/"))
