"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec.structs import replace

from autocoa_bench.cli.options_from_config import flags_given, options_from, variable_of
from autocoa_bench.errors import UserError
from autocoa_bench.judge import JudgeConfig
from autocoa_bench.types import Budget

RunFolders = Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)]

NO_JUDGE = "none"
"""The value of `--judge` that turns every judge off."""

_NOT_OF_JUDGES = ("concurrency", "sampling_top_k", "min_p", "presence_penalty")

judge_options = options_from(
    JudgeConfig,
    prefix="judge-",
    without=[f"judge_{name}" for name in _NOT_OF_JUDGES],
    environment=True,
)
"""The options of a judge; a command's --concurrency is the judge's as well."""


def solver_option(more: str = "") -> Any:
    """The option --solver; `more` ends its help."""
    return typer.Option(
        help=f"A solver, with options as name:option=value{more}.",
        envvar=variable_of("solver"),
        show_envvar=False,
    )


def check_budget(budget: Budget) -> None:
    """Refuse a budget whose options contradict one another. Raises UserError."""
    if budget.answer_tokens >= budget.context_tokens:
        raise UserError(
            f"--answer-tokens {budget.answer_tokens} leave no room in "
            f"--context-tokens {budget.context_tokens}"
        )


def chosen_judge(context: typer.Context, judge: JudgeConfig) -> JudgeConfig | None:
    """The judge that a command's options configure; None without --judge.

    Raises UserError where other options of a judge are given without it.
    """
    if judge.model in ("", NO_JUDGE):
        names = {name for name in context.params if name.startswith("judge_")} - {"judge_audit"}
        if flags := flags_given(context, sorted(names)):
            raise UserError(f"{', '.join(flags)} need --judge MODEL, the model that judges")
        return None
    return replace(judge, concurrency=context.params.get("concurrency") or judge.concurrency)


def names_in(text: str) -> list[str]:
    """The names in a text, separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
