"""Composes a question from a chain; its hops have all names of their answers."""

from __future__ import annotations

from msgspec.structs import replace

from autocoa_bench.types import Question
from tasks.closed_world.questions.chains import Chain, plain
from tasks.closed_world.questions.composing import Composer, Wording, leaks, placed


def compose_question(composer: Composer, chain: Chain, wording: Wording) -> Question | None:
    """The question about a chain; None if its text contains the answer of a hop."""
    text, phrases = plain(composer, chain, wording)
    hops = placed(composer.chain_hops(chain), text, phrases)
    golds = [composer.golds(statement) for statement in chain]
    if any(leaks(name, text) for names in golds for name in names):
        return None
    hops = tuple(replace(hop, aliases=names[1:]) for hop, names in zip(hops, golds, strict=True))
    return composer.question(f"{len(chain)}hop", text, golds[-1], hops, wording)
