"""An exported folder, as the other trainer's processes read it.

Nothing here needs the extra `train`: verl's environment has other versions of its libraries.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any, NamedTuple

from agent_model.tokens import Kind, audit, encode_sampled
from agent_model.training.config import Aggregate, GRPOConfig
from agent_model.training.files import read_json
from agent_model.training.grpo.reward import Reward, reward
from agent_model.training.masks import TRAINED_KINDS
from autocoa_bench import scoring
from autocoa_bench.engines.tokenizer import Tokenizer
from autocoa_bench.episode import Dialect
from autocoa_bench.runs.solvers import DirectSolver, load_solver
from autocoa_bench.scoring import TextScorer
from autocoa_bench.search import SearchEngine
from autocoa_bench.search.factory import open_engine
from autocoa_bench.types import Question, Record, Trajectory

RECIPE = "recipe.json"
"""The file of an exported folder that holds its recipe."""

LOSSES: Mapping[str, Mapping[Aggregate, str]] = MappingProxyType(
    {
        "verl": {
            "sum": "seq-mean-token-sum",
            "token-mean": "token-mean",
            "trajectory-mean": "seq-mean-token-mean",
        },
        "trl": {"token-mean": "dapo", "trajectory-mean": "grpo", "constant": "dr_grpo"},
    }
)
"""Each trainer's own name for the aggregates that it has."""

_OPENING = Lock()


class ExportedRecipe(NamedTuple):
    """A recipe with the dialect and the search engine of its episodes."""

    recipe: GRPOConfig
    dialect: Dialect
    search: SearchEngine


class EpisodeTokens(NamedTuple):
    """An episode's token ids as both trainers take them; `mask` is 1 where the policy sampled."""

    prompt: list[int]
    response: list[int]
    mask: list[int]


def open_export(folder: Path) -> ExportedRecipe:
    """Open an exported folder, once a process; not inside an event loop. Raises UserError."""
    # verl calls this from several threads, and `cache` alone would open the engine in each.
    with _OPENING:
        return _open(folder)


@cache
def _open(folder: Path) -> ExportedRecipe:
    recipe = read_recipe(folder)
    solver = load_solver(recipe.solver).plugin
    assert not isinstance(solver, DirectSolver)  # the export has checked it
    return ExportedRecipe(recipe, solver, open_engine(recipe.search, recipe.corpus, recipe.top_k))


def reward_of(record: Record, folder: Path) -> Reward:
    """A record's reward by the exported recipe; opens no search engine. Raises UserError."""
    return reward(record, *_recipe_and_scorer(folder))


@cache
def _recipe_and_scorer(folder: Path) -> tuple[GRPOConfig, TextScorer]:
    recipe = read_recipe(folder)
    return recipe, scoring.load_scorers((recipe.scorer,))[recipe.scorer]


def read_recipe(folder: Path) -> GRPOConfig:
    """The exported recipe. Raises UserError."""
    advice = "write the folder with `autocoa-bench train grpo --hand-over`"
    return read_json(folder / RECIPE, GRPOConfig, advice)


def question_of(row: Mapping[str, Any]) -> Question:
    """The question of a data row (the inverse of `data.export.verl_prompt`)."""
    info = row["extra_info"]
    answers = tuple(map(str, row["reward_model"]["ground_truth"]))
    return Question(info["id"], info["question"], answers, row["data_source"])


def tokens_of(trajectory: Trajectory, tokenizer: Tokenizer) -> EpisodeTokens:
    """A trajectory's ids as sampled and observed, with the loss mask of `train grpo`.

    Both trainers take one row per rollout, so sampled tokens that the episode did not go on with
    (an end of turn in a malformed step) are left out.

    Raises MaskLeak if the mask includes an observation's token.
    """
    encoded = encode_sampled(trajectory, tokenizer)[0]
    trained = [kind in TRAINED_KINDS["grpo"] for kind in encoded.kinds]
    audit(encoded, trained, TRAINED_KINDS["grpo"], trajectory, tokenizer)
    n_prompt = encoded.kinds.count(Kind.PROMPT)
    return EpisodeTokens(
        prompt=list(encoded.ids[:n_prompt]),
        response=list(encoded.ids[n_prompt:]),
        mask=list(map(int, trained[n_prompt:])),
    )
