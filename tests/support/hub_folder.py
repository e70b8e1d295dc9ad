"""Folders as the Hugging Face Hub has its datasets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def hub_folder(folder: Path, configs: Mapping[str, Mapping[str, Rows]], suffix: str) -> Path:
    """A folder with the rows of each split of each config, in files of a suffix."""
    header = ["---", "configs:"]
    for config, splits in configs.items():
        header += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            file = folder / config / f"{split}-00000-of-00001{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_rows(file, rows)
            header += [f"  - split: {split}", f"    path: {config}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*header, "---", ""]))
    return folder


def write_rows(file: Path, rows: Rows) -> None:
    """A .jsonl or a .parquet file."""
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist(list(rows)), file)
