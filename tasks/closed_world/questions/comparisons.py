"""Questions that compare two entities, directly or through their makers."""

from collections.abc import Mapping

from autocoa_bench.types import Hop, Question
from tasks.closed_world.encyclopedia import Statement
from tasks.closed_world.entities import Amount, Date, Entity, Year
from tasks.closed_world.questions.composing import Composer, by_section, collect, leaks
from tasks.closed_world.rng import bucket

_SHARES = ("hotpotqa", "2wikimultihopqa")

# Relations from works to the makers that are compared, and the word for the maker.
_MAKERS = {
    "film.director": "director",
    "novel.author": "author",
    "series.creator": "creator",
    "song.songwriter": "songwriter",
    "album.producer": "producer",
}


class Comparer:
    """Draws pairs of statements of one relation and words their comparison.

    `makers` are the relations from works to the makers through which these are compared, with the
    word for the maker.
    """

    def __init__(self, composer: Composer, makers: Mapping[str, str] = _MAKERS) -> None:
        self.composer = composer
        self.makers = makers
        self.world = composer.book.world
        self.groups = by_section(composer.book.statements)
        sections = list(composer.sections)
        self.which = [name for name in sections if name.startswith(("first.", "last."))]
        self.whether = [name for name in sections if name.startswith("same.")]
        self.bridges = [name for name in sections if name.startswith("bridge.")]

    def direct(self, number: int) -> Question | None:
        """A comparison of two entities; every second question has the answer yes or no."""
        sections = self.whether if number % 2 else self.which
        if not sections:
            return None
        section = self.composer.rng.pick(sections)
        mode, kind, relation = section.split(".")
        pair = self._pair(self.groups[f"{kind}.{relation}"], mode, relation, number // 2)
        if pair is None or not self._own_share(section, pair):
            return None
        hops = tuple(hop for fact in pair for hop in self.composer.chain_hops((fact,)))
        entities = (self.world[pair[0].about], self.world[pair[1].about])
        return self._question("comparison", section, entities, pair, hops, number)

    def bridged(self, number: int) -> Question | None:
        """A comparison of two works through their makers: four hops."""
        rng = self.composer.rng
        modes = "bridge.same" if number % 2 else ("bridge.first", "bridge.last")
        sections = [name for name in self.bridges if name.startswith(modes)]
        roles = [role for role in self.makers if role in self.groups]
        if not sections or not roles:
            return None
        section = rng.pick(sections)
        _, mode, relation = section.split(".")
        role = rng.pick(roles)
        by_maker = {work.target or "": work for work in rng.shuffled(self.groups[role])}
        facts = [fact for fact in self.groups[f"person.{relation}"] if fact.about in by_maker]
        pair = self._pair(facts, mode, relation, number // 2)
        if pair is None:
            return None
        makers = (by_maker[pair[0].about], by_maker[pair[1].about])
        hops = tuple(
            hop
            for maker, fact in zip(makers, pair, strict=True)
            for hop in self.composer.chain_hops((maker, fact))
        )
        entities = (self.world[makers[0].about], self.world[makers[1].about])
        if len({hop.passage_id for hop in hops}) < 4:
            return None
        ordered = (hops[0], hops[2], hops[1], hops[3])
        return self._question("bridge_comparison", section, entities, pair, ordered, number, role)

    def _pair(
        self, statements: list[Statement], mode: str, relation: str, turn: int
    ) -> tuple[Statement, Statement] | None:
        """Two statements whose comparison has the result that this turn needs for balance."""
        if not statements:
            return None
        rng = self.composer.rng
        left = rng.pick(statements)
        if mode == "same":
            same = turn % 2 == 0
            partners = [
                fact
                for fact in statements
                if (fact.surface == left.surface) == same
                and fact != left
                # Names of one country do not hint at the answer.
                and (
                    relation == "nationality"
                    or self.world[fact.about].country == self.world[left.about].country
                )
            ]
        else:
            rank = self._rank(left, relation)
            partners = [fact for fact in statements if self._rank(fact, relation) != rank]
        if not partners:
            return None
        right = rng.pick(partners)
        if self.world[left.about].name == self.world[right.about].name:
            return None
        if mode == "same":
            return left, right
        winner = _winner(mode, self._rank(left, relation), self._rank(right, relation))
        return (left, right) if winner == turn % 2 else (right, left)

    def _rank(self, statement: Statement, relation: str) -> int:
        value = self.world[statement.about].facts[relation]
        if isinstance(value, Date | Year):
            return value.year
        assert isinstance(value, Amount)
        return value.number

    def _own_share(self, section: str, pair: tuple[Statement, Statement]) -> bool:
        relation = section.split(".", 1)[1]
        key = " ".join([relation, *sorted((pair[0].about, pair[1].about))])
        return _SHARES[bucket(key, len(_SHARES))] == self.composer.task

    def _question(
        self,
        kind: str,
        section: str,
        entities: tuple[Entity, Entity],
        pair: tuple[Statement, Statement],
        hops: tuple[Hop, ...],
        number: int,
        role: str = "",
    ) -> Question | None:
        wording = self.composer.wording_of(number // 2)
        left, right = entities
        slots = {"a": left.label, "b": right.label, "n": left.noun, "r": self.makers.get(role, "")}
        text = self.composer.ask(section, wording, **slots)
        mode, relation = section.split(".")[-2:] if role else section.split(".")[::2]
        if any(leaks(hop.answer, text) for hop in hops):
            return None
        if mode == "same":
            golds: tuple[str, ...] = ("yes" if pair[0].surface == pair[1].surface else "no",)
        else:
            ranks = self._rank(pair[0], relation), self._rank(pair[1], relation)
            golds = entities[_winner(mode, *ranks)].names
        return Question("", text, golds, self.composer.task, kind, wording, hops)


def _winner(mode: str, left: int, right: int) -> int:
    return int((left > right) == (mode == "first"))


def direct(composer: Composer, count: int) -> list[Question]:
    """Comparisons of two entities: half which-of-two, half yes-or-no, all answers balanced."""
    return collect(Comparer(composer).direct, _pair_key, count)


def bridged(composer: Composer, count: int, makers: Mapping[str, str] = _MAKERS) -> list[Question]:
    """Comparisons of two works through their makers, with balanced answers."""
    return collect(Comparer(composer, makers).bridged, _pair_key, count)


def _pair_key(question: Question) -> str:
    return " ".join(sorted(f"{hop.passage_id} {hop.answer}" for hop in question.hops))
