"""The configuration of a run."""

from pathlib import Path
from typing import Annotated

from autocoa_bench.engines import ModelConfig, PromptProtocol
from autocoa_bench.types import Budget, Option, Sampling, Split

TopK = Annotated[int, Option(help="Passages per search.", min=1, max=100)]
SearchName = Annotated[
    str, Option(help="Search engine, with options as name:option=value; or a server's URL.")
]


class RunConfig(ModelConfig, frozen=True, kw_only=True):
    """The settings of a run: a solver over tasks, with a model, a search engine and a budget.

    `adapter` is the path of a LoRA adapter or `none`; empty on the embedded engine, it is the one
    that the solver ships for the model, if any. `search` is read by `search.factory.open_engine`,
    and `search_cache` stores its results. `record` and `replay` are files of recorded exchanges.
    `executor` names what runs the episodes; empty means this process.
    """

    solver: str = "agent"
    tasks: Annotated[
        str,
        Option(
            help="Tasks, groups (singlehop, multihop, paper) or files, separated by commas; real "
            "datasets have an @: hotpotqa@paper, multihop@500:seed=3; any dataset of the Hugging "
            "Face Hub is hf:ORG/NAME:SPLIT."
        ),
    ] = "multihop"
    fields: Annotated[
        str,
        Option(
            help="Columns of files and hf: datasets whose names do not tell: "
            "question=COLUMN,answers=COLUMN; also id, metadata, titles."
        ),
    ] = ""
    protocol: PromptProtocol = "auto"
    adapter: Annotated[
        str, Option(help="A LoRA adapter, or none; '' means the one that the solver ships, if any.")
    ] = ""
    split: Annotated[Split, Option(help="The split of the tasks.")] = "test"
    limit: Annotated[
        int | None, Option(help="Questions per task, drawn by --sample-seed.", min=1)
    ] = None
    sample_seed: Annotated[int, Option(help="Seed that draws the questions of --limit.")] = 0
    samples: Annotated[int, Option(help="Episodes per question.", min=1)] = 1
    corpus: Annotated[
        str | None, Option(help="Corpus: a name or a file; default: the tasks' own.")
    ] = None
    search: SearchName = "bm25"
    search_cache: Annotated[
        Path | None, Option(help="Store search results in this folder, for later runs.")
    ] = None
    top_k: TopK = 3
    sampling: Sampling = Sampling()
    budget: Budget = Budget()
    scorers: Annotated[
        tuple[str, ...], Option(help="Scorers, separated by commas.", commas=True)
    ] = ("em", "f1", "cover_em")
    executor: Annotated[
        str,
        Option(
            help="Where episodes run: ray (a cluster, as ray:workers=4,gpus=1); default: in this "
            "process."
        ),
    ] = ""
    record: Annotated[
        Path | None, Option(help="Write every model and search exchange to this file.")
    ] = None
    replay: Annotated[
        Path | None, Option(help="Replay a file written by --record; needs no server or corpus.")
    ] = None
    out: Annotated[Path | None, Option(help="Run folder; default: one under results/runs.")] = None
    runs_dir: Path = Path("results/runs")
