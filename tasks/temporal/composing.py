"""Composes the three-hop questions of a set; their hops have all names of their answers."""

from collections import Counter
from collections.abc import Callable, Collection

from msgspec.structs import replace

from autocoa_bench.types import Question
from tasks.closed_world.questions.chains import Chain, Chains, plain
from tasks.closed_world.questions.composing import Composer, collect, leaks, placed

HOPS = 3


def three_hop_questions(
    composer: Composer,
    kinds: Collection[str],
    limits: Callable[[Chain], dict[object, int]],
    count: int,
    held_out: bool = True,
) -> list[Question]:
    """At most `count` questions in random order, over chains that begin with one of the kinds.

    `limits` has what a chain uses, with the most questions that may use it. Without `held_out`,
    all wordings are shared ones.
    """
    chains = Chains(composer)
    chains.starts = [section for section in chains.starts if section.split(".")[0] in kinds]
    uses: Counter[object] = Counter()

    def make(number: int) -> Question | None:
        chain = chains.draw(HOPS)
        if chain is None or any(uses[key] >= most for key, most in limits(chain).items()):
            return None
        wording = composer.wording_of(number) if held_out else "shared"
        text, phrases = plain(composer, chain, wording)
        hops = placed(composer.chain_hops(chain), text, phrases)
        golds = [composer.golds(statement) for statement in chain]
        if any(leaks(name, text) for names in golds for name in names):
            return None
        uses.update(limits(chain).keys())
        pairs = zip(hops, golds, strict=True)
        hops = tuple(replace(hop, aliases=names[1:]) for hop, names in pairs)
        return Question("", text, golds[-1], composer.task, f"{HOPS}hop", wording, hops)

    return composer.rng.shuffled(collect(make, lambda question: question.text, count))
