"""The configuration of a judge's training data."""

from pathlib import Path
from typing import Annotated

from msgspec import Struct

from autocoa_bench.types import Option


class VerdictDataConfig(Struct, frozen=True, kw_only=True):
    """At most `count` answers to questions of the train split of `tasks`.

    Questions in a file of `exclude` are left out, and people who are golds or answers there. A
    share of the questions, by their golds, is for `near_misses` alone.
    """

    tasks: Annotated[
        str, Option(help="Tasks, groups or files, separated by commas; their train split is used.")
    ] = "multihop,singlehop"
    count: Annotated[int, Option(help="Most answers.", min=2)] = 10000
    seed: Annotated[int, Option(help="Seed that draws questions and answers.")] = 0
    exclude: Annotated[
        tuple[Path, ...], Option(help="Leave out the questions in this file; repeatable.")
    ] = ()
    people: Annotated[
        Path | None,
        Option(
            help="Also ask for the people whose pages in this corpus have a fuller name: their "
            "names are real aliases."
        ),
    ] = None
    near_misses: Annotated[
        bool,
        Option(
            help="Make near misses and other names for `judge audit`, from questions that training "
            "data leaves out."
        ),
    ] = False
