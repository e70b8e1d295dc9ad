"""The tokens that enter each stage's loss (paper 3.2.2 and 3.3.2), as masks over token ids.

Needs none of the training libraries, so that other trainers can use it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent_model.data.pairs import Pair
from agent_model.tokens import (
    Encoded,
    Kind,
    audit,
    audit_pair,
    encode,
    encode_pair,
    encode_sampled,
)
from agent_model.training.config import GRPOConfig, SFTConfig
from autocoa_bench.engines.tokenizer import Tokenizer
from autocoa_bench.types import Trajectory

_OWN = frozenset({Kind.THOUGHT, Kind.ACTION, Kind.ANSWER})

TRAINED_KINDS: Mapping[str, frozenset[Kind]] = MappingProxyType(
    {"pretrain": _OWN, "sft1": _OWN, "sft2": _OWN, "sft3": _OWN | {Kind.OBSERVATION}, "grpo": _OWN}
)
"""The kinds of tokens in each stage's loss: stage 3 trains observations too (paper 3.2.2)."""


class TokenRow(NamedTuple):
    """One sequence: its ids (T,), and the mask (T,) of those that are trained.

    `logps` (T,) are the log-probabilities with which a rollout's tokens were sampled, NaN where
    they are unknown; None if all are.
    """

    ids: NDArray[np.int32]
    mask: NDArray[np.bool_]
    logps: NDArray[np.float32] | None = None


def trained_kinds(config: SFTConfig | GRPOConfig) -> frozenset[Kind]:
    """The kinds of tokens that a recipe trains: its stage's, and with `learn_simulated` the search
    results that the policy wrote."""
    kinds = TRAINED_KINDS[config.stage]
    simulated = isinstance(config, GRPOConfig) and config.learn_simulated
    return kinds | {Kind.SIMULATED} if simulated else kinds


def masked(encoded: Encoded, kinds: frozenset[Kind]) -> TokenRow:
    """Encoded text with its tokens of the given kinds in the mask."""
    mask = np.array([kind in kinds for kind in encoded.kinds], np.bool_)
    mask[:1] = False  # the first token has no context to be predicted from
    logps = np.array(encoded.logps, np.float32) if encoded.logps else None
    return TokenRow(np.array(encoded.ids, np.int32), mask, logps)


def trajectory_row(
    trajectory: Trajectory, kinds: frozenset[Kind], tokenizer: Tokenizer
) -> TokenRow:
    """A trajectory's tokens, with those of the given kinds in the mask.

    Raises MaskLeak if the mask is wrong, and UserError if the trajectory cannot be encoded.
    """
    encoded = encode(trajectory, tokenizer)
    row = masked(encoded, kinds)
    audit(encoded, row.mask.tolist(), kinds, trajectory, tokenizer)
    return row


def sampled_rows(
    trajectory: Trajectory, kinds: frozenset[Kind], tokenizer: Tokenizer
) -> tuple[TokenRow, ...]:
    """The rows of `encode_sampled` that have a token of the given kinds, with these in the mask.

    Raises MaskLeak if the mask is wrong, and UserError if the trajectory cannot be encoded.
    """
    encoded = encode_sampled(trajectory, tokenizer)
    rows = [masked(row, kinds) for row in encoded]
    audit(encoded[0], rows[0].mask.tolist(), kinds, trajectory, tokenizer)
    return tuple(row for row in rows if row.mask.any())


def pair_rows(
    pair: Pair, kinds: frozenset[Kind], tokenizer: Tokenizer
) -> tuple[TokenRow, TokenRow]:
    """The tokens of a pair's chosen and rejected text, each after the context. Raises MaskLeak."""
    sides = encode_pair(pair, tokenizer)
    chosen, rejected = (masked(side, kinds) for side in sides)
    audit_pair(sides, (chosen.mask.tolist(), rejected.mask.tolist()), pair, tokenizer)
    return chosen, rejected
