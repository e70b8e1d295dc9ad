"""Multi-hop questions whose hops follow one another, or join on a third."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autocoa_bench.types import Hop, Question
from tasks.closed_world.encyclopedia import Statement
from tasks.closed_world.questions.composing import (
    Composer,
    Wording,
    by_section,
    collect,
    leaks,
    placed,
    polished,
)
from tasks.closed_world.questions.singles import described
from tasks.closed_world.rng import bucket

Chain = tuple[Statement, ...]
Phrased = tuple[str, tuple[str, ...]]
"""A question's text, and the phrase in it for every hop but the last."""
Phrase = Callable[[Composer, Chain, Wording], Phrased]

# The tasks that ask chains of two share them out, so that none is asked twice.
_SHARES = ("hotpotqa", "2wikimultihopqa", "musique", "bamboogle")


class Chains:
    """Draws chains of statements, each about what the one before it answered."""

    def __init__(self, composer: Composer) -> None:
        self.composer = composer
        self.book = composer.book
        asked = [one for one in composer.book.statements if composer.asks(one)]
        self.groups = by_section(asked)
        self.starts = [section for section in self.groups if "np" in composer.sections[section]]

    def draw(self, length: int) -> Chain | None:
        """A chain, or None where the draw led nowhere."""
        rng = self.composer.rng
        chain = [rng.pick(self.groups[rng.pick(self.starts)])]
        while len(chain) < length:
            last = chain[-1]
            follow = [
                one
                for one in self.book.about.get(last.target or "", ())
                if self.composer.asks(one)
                and (len(chain) == length - 1 or "np" in self.composer.sections[one.section])
            ]
            if not follow:
                return None
            sections = by_section(follow)
            chain.append(rng.pick(sections[rng.pick(list(sections))]))
        return tuple(chain) if self._sound(chain) and self._own(chain) else None

    def _sound(self, chain: Sequence[Statement]) -> bool:
        """No passage and no entity twice, and no early passage that gives the answer away."""
        passages = [statement.passage for statement in chain]
        entities = [chain[0].about, *(one.target for one in chain if one.target)]
        if len(set(passages)) < len(passages) or len(set(entities)) < len(entities):
            return False
        if not self.composer.connected(chain):
            return False
        golds = self.composer.golds(chain[-1])
        return not any(leaks(gold, self.book.text(one)) for gold in golds for one in passages[:-1])

    def _own(self, chain: Sequence[Statement]) -> bool:
        if len(chain) > 2:
            return True
        key = " ".join(statement.key for statement in chain)
        kin = is_kinship(self.composer, chain)
        return not kin and _SHARES[bucket(key, len(_SHARES))] == self.composer.task


def is_kinship(composer: Composer, chain: Sequence[Statement]) -> bool:
    """Whether two relations of family make one that has a name of its own."""
    return kinship_section(chain) in composer.sections


def kinship_section(chain: Sequence[Statement]) -> str:
    """Where such a relation's wordings stand."""
    return "kin." + ".".join(statement.section.removeprefix("person.") for statement in chain)


def nested(composer: Composer, chain: Chain, subject: str, wording: Wording) -> tuple[str, ...]:
    """Noun phrases for the chain's answers in turn, each around the one before it."""
    words = composer.right_branching if len(chain) > 1 else composer.words
    phrases = []
    for statement in chain:
        subject = words(statement.section, "np", wording).format(x=subject)
        phrases.append(subject)
    return tuple(phrases)


def plain(composer: Composer, chain: Chain, wording: Wording) -> Phrased:
    """The last relation asked of a phrase for the rest (2WikiMultihopQA, MuSiQue)."""
    name = composer.book.name(chain[0].about)
    if composer.task == "2wikimultihopqa" and composer.rng.chance(60):
        name = name.removeprefix("the ") if name.startswith("the film ") else name
    phrases = nested(composer, chain[:-1], name, wording)
    words = composer.right_branching if len(chain) > 2 else composer.words
    return polished(words(chain[-1].section, "ask", wording).format(x=phrases[-1])), phrases


def wordy(composer: Composer, chain: Chain, wording: Wording) -> Phrased:
    """With what the subject is, and the question word first or last (HotpotQA)."""
    phrases = nested(composer, chain[:-1], described(composer, chain[0].about), wording)
    return _asked(composer, chain[-1], phrases, wording, tails=45), phrases


def _asked(
    composer: Composer, last: Statement, phrases: tuple[str, ...], wording: Wording, tails: int
) -> str:
    """The last relation asked of the rest, in `tails` per cent of cases by a question word last."""
    if composer.rng.chance(tails):
        return polished(f"{phrases[-1]} {composer.words(last.section, 'tail', wording)}?")
    return polished(composer.words(last.section, "ask", wording).format(x=phrases[-1]))


def terse(composer: Composer, chain: Chain, wording: Wording) -> Phrased:
    """With bare titles in quotation marks (Bamboogle)."""
    entity = composer.book.world[chain[0].about]
    name = composer.book.name(entity.id)
    if name == f"the {entity.noun} {entity.name}" and entity.title == entity.name:
        name = f'"{entity.name}"'
    phrases = nested(composer, chain[:-1], name, wording)
    return _asked(composer, chain[-1], phrases, wording, tails=30), phrases


def compose(
    composer: Composer, kind: str, length: int, count: int, phrase: Phrase
) -> list[Question]:
    """`count` questions over chains of a length."""
    chains = Chains(composer)

    def make(number: int) -> Question | None:
        chain = chains.draw(length)
        if chain is None:
            return None
        wording = composer.wording_of(number)
        text, phrases = phrase(composer, chain, wording)
        golds = composer.golds(chain[-1])
        hops = placed(composer.chain_hops(chain), text, phrases)
        if any(leaks(gold, text) for gold in (*golds, *(hop.answer for hop in hops))):
            return None
        return composer.question(kind, text, golds, hops, wording)

    return collect(make, lambda question: _chain_key(question.hops), count)


def _chain_key(hops: Sequence[Hop]) -> str:
    return " ".join(f"{hop.passage_id}>{hop.answer}" for hop in hops)


def inference(composer: Composer, count: int) -> list[Question]:
    """Two relations of family asked as one: a grandmother, a father-in-law."""
    book = composer.book
    pairs = [
        (first, second)
        for first in book.statements
        if first.section.startswith("person.") and first.target is not None
        for second in book.about.get(first.target, ())
        if is_kinship(composer, (first, second))
        and _only_kin(composer, first, second)
        and composer.connected((first, second))
    ]
    questions: dict[str, Question] = {}
    for chain in composer.rng.shuffled(pairs):
        if len(questions) == count:
            break
        wording = composer.wording_of(len(questions))
        section = kinship_section(chain)
        name = composer.book.name(chain[0].about)
        text = polished(composer.words(section, "ask", wording).format(x=name))
        golds = composer.golds(chain[-1])
        distinct = chain[0].passage != chain[1].passage and chain[1].target != chain[0].about
        hops = composer.chain_hops(chain)
        given = (*golds, *(hop.answer for hop in hops))
        if distinct and not any(leaks(answer, text) for answer in given):
            questions[text] = composer.question("inference", text, golds, hops, wording)
    return list(questions.values())


def _only_kin(composer: Composer, first: Statement, second: Statement) -> bool:
    """Whether nobody else could be called the same: matters beyond parents."""
    if not second.section.endswith("sibling"):
        return True
    world = composer.book.world
    person, sibling = world[first.about], world[second.target or ""]
    if "spouse" in sibling.facts:
        return False
    if first.section == "person.spouse":
        return not _siblings(composer, person.id)
    other = person.ref("mother" if first.section == "person.father" else "father")
    return other is not None and not _siblings(composer, other)


def _siblings(composer: Composer, person: str) -> bool:
    world = composer.book.world
    father = world[person].ref("father")
    return father is not None and any(
        one.ref("father") == father and one.id != person for one in world.values()
    )


def joins(composer: Composer, kind: str, count: int) -> list[Question]:
    """Two chains of one hop whose answers together single out a third thing."""
    sections = [section for section in composer.sections if section.startswith("join.")]

    def make(number: int) -> Question | None:
        section = sections[number % len(sections)]
        _, noun, first, second = section.split(".")
        return _join(composer, kind, section, noun, (first, second), number)

    return collect(make, lambda question: _chain_key(question.hops), count)


def _join(
    composer: Composer, kind: str, section: str, noun: str, relations: tuple[str, str], number: int
) -> Question | None:
    book, rng = composer.book, composer.rng
    works = [one for one in book.world.values() if one.kind == noun]
    work = rng.pick(works)
    goals = [work.ref(relation) for relation in relations]
    same = [one for one in works if {*goals} <= {one.ref(relation) for relation in one.facts}]
    stated = book.articles[work.id].stated
    if None in goals or len(same) > 1 or not all(relation in stated for relation in relations):
        return None
    branches = [_lead(composer, str(goal), work.id) for goal in goals]
    left, right = branches
    if left is None or right is None or left.passage == right.passage:
        return None
    if not all(branch.surface in book.text(work.id) for branch in (left, right)):
        return None
    wording = composer.wording_of(number)
    ends = [nested(composer, (one,), book.name(one.about), wording)[0] for one in (left, right)]
    text = polished(composer.words(section, "ask", wording).format(x=ends[0], z=ends[1]))
    last = composer.words(section, "ask").format(x=left.words, z=right.words)
    hops = (
        *composer.chain_hops((left,)),
        *composer.chain_hops((right,)),
        Hop(polished(last), work.name, work.id),
    )
    if any(leaks(answer, text) for answer in (work.name, left.surface, right.surface)):
        return None
    golds = (work.name, *work.aliases)
    return composer.question(kind, text, golds, placed(hops, text, ends), wording)


def _lead(composer: Composer, goal: str, avoid: str) -> Statement | None:
    """A statement whose answer is the goal and which is not about the thing to avoid."""
    leads = [
        one
        for one in composer.book.to.get(goal, ())
        if one.passage != avoid and "np" in composer.sections.get(one.section, {})
    ]
    return composer.rng.pick(leads) if leads else None
