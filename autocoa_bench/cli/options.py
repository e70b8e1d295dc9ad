"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from autocoa_bench.cli.config_options import flags_given
from autocoa_bench.errors import UserError
from autocoa_bench.judge import JudgeConfig

RunFolders = Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)]

NO_JUDGE = "none"
"""The value of `--judge` that turns every judge off."""

JUDGE_OPTIONS = ("judge", "judge_base_url", "judge_key_file", "judge_engine", "judge_prompt")
JUDGE_OPTIONS += ("judge_votes",)


def names_in(text: str) -> list[str]:
    """The names in a text, separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def chosen_judge(context: typer.Context, judge: JudgeConfig) -> JudgeConfig | None:
    """The judge of the options, with the command's --concurrency; None without --judge.

    Raises UserError for options of a judge without --judge.
    """
    if judge.model in ("", NO_JUDGE):
        flags = flags_given(context, JUDGE_OPTIONS[1:])
        if flags:
            raise UserError(f"{', '.join(flags)} need --judge MODEL, which says who judges")
        return None
    return replace(judge, concurrency=context.params.get("concurrency") or judge.concurrency)
