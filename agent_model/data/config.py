"""The configuration of synthesised training data."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Struct, field

from autocoa_bench.runs.config import RunConfig
from autocoa_bench.types import Option

DataKind = Literal["coa", "cot", "cot+a"]

COUNTS: dict[DataKind, int] = {"coa": 5000, "cot": 1000, "cot+a": 1500}
"""The default amounts: those the paper's stages were trained on (3.2.1, 3.2.2)."""


class FilterConfig(Struct, frozen=True, kw_only=True):
    """Bounds on the trajectories that are kept, and on their number for each question.

    `max_tokens` counts prompt and turn together, by `estimate_tokens`, so that the same data is
    kept whichever server sampled it. `min_score` is the lowest score that counts as right. With
    `evidence` the gold passages must have been retrieved, or where a question names none, the words
    of its answer: a right answer without them was guessed. `easy_share` thins what a model has
    nothing to learn from. The order of the fields is that of synth.json.
    """

    max_tokens: Annotated[int, Option(help="Maximum tokens per trajectory.", min=1)] = field(
        default=8192, name="tokens"
    )
    min_actions: Annotated[int, Option(help="Minimum searches per trajectory.", min=0)] = 0
    max_actions: Annotated[int, Option(help="Maximum searches per trajectory.", min=0)] = field(
        default=10, name="actions"
    )
    per_question: Annotated[int, Option(help="Maximum trajectories per question.", min=1)] = 1
    min_score: Annotated[
        float, Option(help="Lowest score that counts as right.", min=0.0, max=1.0)
    ] = field(default=1.0, name="least")
    evidence: Annotated[
        bool, Option(help="Keep only answers whose evidence the searches found.")
    ] = False
    easy_share: Annotated[
        float,
        Option(
            help="Share to keep of the questions that each of several episodes answered right.",
            min=0.0,
            max=1.0,
        ),
    ] = 1.0


class DataConfig(Struct, frozen=True, kw_only=True):
    """The data that `synth` writes, and the teacher that it comes from.

    `run` is the teacher model's run with searches; its run without searches has the same
    configuration. The gold teacher takes questions, corpus, search engine and seed from it, and
    draws the number of passages of each search from `top_k`. At most `count` trajectories or pairs
    are drawn by the same seed, or `COUNTS` where `count` is 0. `runs` is the parent of a model's
    run folders, which several kinds of data may share; by default it is `out`.
    """

    kind: DataKind = "coa"
    run: RunConfig = RunConfig(split="train")
    out: Annotated[Path, Option(help="The folder that the data is written to.")]
    teacher: Annotated[
        Literal["gold", "model"], Option(help="gold follows the gold chains and needs no model.")
    ] = "gold"
    top_k: Annotated[
        tuple[int, ...],
        Option(
            help="Passages per search; given several, separated by commas, gold draws one.",
            min=1,
            max=100,
            commas=True,
        ),
    ] = (3,)
    scorer: Annotated[str, Option(help="The scorer that decides what is right.")] = "em"
    limits: FilterConfig = FilterConfig()
    count: Annotated[
        int,
        Option(
            help="Maximum trajectories or pairs, drawn by --seed; default: 5000 coa, 1000 cot, "
            "1500 cot+a.",
            min=1,
        ),
    ] = 0
    runs: Annotated[
        Path | None,
        Option(help="Folder of a model's episodes, which coa, cot and cot+a can share."),
    ] = None

    @property
    def most(self) -> int:
        """The number of trajectories or pairs to draw, at most."""
        return self.count or COUNTS[self.kind]

    @property
    def seed(self) -> int:
        """The seed of the teacher and of every draw."""
        return self.run.sampling.seed
