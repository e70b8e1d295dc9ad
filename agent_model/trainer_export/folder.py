"""A hand-over's folder, as the other trainer's processes read it.

Nothing here needs the extra 'train': verl's environment has other versions of its libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from agent_model.tokens import Kind, Tokenizer, audit, encode
from agent_model.training.config import GRPOConfig
from agent_model.training.grpo.reward import Reward, rewarded
from agent_model.training.losses import TRAINS
from autocoa_bench import scoring
from autocoa_bench.episode import Dialect
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.runs.solvers import DirectSolver, load_solver
from autocoa_bench.scoring import TextScorer
from autocoa_bench.search import SearchEngine
from autocoa_bench.search.factory import open_engine
from autocoa_bench.types import Question, Record, Trajectory

RECIPE = "recipe.json"
"""The file in a hand-over's folder that the rest is read from."""

_OWN = TRAINS["sft2"]
_OPENING = Lock()


class ExportedRecipe(NamedTuple):
    """What episodes are played with."""

    recipe: GRPOConfig
    dialect: Dialect
    search: SearchEngine


class Tokens(Struct, frozen=True):
    """An episode's tokens as both trainers take them; `mask` is 1 where the policy sampled one."""

    prompt: list[int]
    response: list[int]
    mask: list[int]


def open_export(folder: Path) -> ExportedRecipe:
    """A hand-over, opened once in a process; not within an event loop. Raises UserError."""
    with _OPENING:
        return _open(folder)


@cache
def _open(folder: Path) -> ExportedRecipe:
    recipe = read_recipe(folder)
    solver = load_solver(recipe.solver).plugin
    assert not isinstance(solver, DirectSolver)  # as the hand-over has seen
    return ExportedRecipe(recipe, solver, open_engine(recipe.search, recipe.corpus, recipe.top_k))


def reward_of(record: Record, folder: Path) -> Reward:
    """What a record earns by a hand-over's recipe; no search engine is opened. Raises UserError."""
    recipe, scorer = _scoring(folder)
    return rewarded(record, recipe, scorer)


@cache
def _scoring(folder: Path) -> tuple[GRPOConfig, TextScorer]:
    recipe = read_recipe(folder)
    return recipe, scoring.load_scorers((recipe.scorer,))[recipe.scorer]


def read_recipe(folder: Path) -> GRPOConfig:
    """The recipe that was handed over. Raises UserError."""
    file = folder / RECIPE
    try:
        return msgspec.json.decode(file.read_bytes(), type=GRPOConfig)
    except (OSError, *UNREADABLE) as error:
        raise UserError(
            f"cannot read '{file}' ({error}); write the folder with "
            "`autocoa-bench train grpo --hand-over`"
        ) from None


def question_of(row: Mapping[str, Any]) -> Question:
    """The question of a row of the data (`exports.verl_prompt`)."""
    about = row["extra_info"]
    golds = tuple(map(str, row["reward_model"]["ground_truth"]))
    return Question(about["id"], about["question"], golds, row["data_source"])


def tokens_of(trajectory: Trajectory, tokenizer: Tokenizer) -> Tokens:
    """The ids that were sampled and shown, and which of them are learned from: as in `train grpo`.

    Raises MaskLeak where an observation's token would be.
    """
    encoded = encode(trajectory, tokenizer, ends=False)
    own = [kind in _OWN for kind in encoded.kinds]
    audit(encoded, own, _OWN, trajectory, tokenizer)
    begun = encoded.kinds.count(Kind.PROMPT)
    return Tokens(
        prompt=list(encoded.ids[:begun]),
        response=list(encoded.ids[begun:]),
        mask=list(map(int, own[begun:])),
    )
