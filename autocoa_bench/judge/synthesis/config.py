"""The configuration of a judge's training data."""

from pathlib import Path
from typing import Annotated

from msgspec import Struct

from autocoa_bench.types import Option


class VerdictDataConfig(Struct, frozen=True, kw_only=True):
    """At most `count` answers to questions of the train split of `tasks`.

    Questions in a file of `exclude` are left out.
    """

    tasks: Annotated[
        str, Option(help="Tasks, groups or files, separated by commas; their train split is used.")
    ] = "multihop,singlehop"
    count: Annotated[int, Option(help="Most answers.", min=2)] = 10000
    seed: Annotated[int, Option(help="Seed that draws questions and answers.")] = 0
    exclude: Annotated[
        tuple[Path, ...], Option(help="Leave out the questions in this file; repeatable.")
    ] = ()
