"""Multi-hop questions: chains of hops, and pairs of hops that join on a third entity."""

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
)
from tasks.closed_world.questions.singles import described
from tasks.closed_world.rng import bucket
from tasks.closed_world.text.grammar import polished

Chain = tuple[Statement, ...]
Phrased = tuple[str, tuple[str, ...]]
"""The text of a question, and the phrase in it for every hop but the last."""
Phrase = Callable[[Composer, Chain, Wording], Phrased]

# The tasks that share the chains of two hops, so that no chain is asked about twice.
_SHARES = ("hotpotqa", "2wikimultihopqa", "musique", "bamboogle")


class Chains:
    """Draws chains of statements, each about the answer of the one before."""

    def __init__(self, composer: Composer) -> None:
        self.composer = composer
        self.book = composer.book
        self.groups = by_section([s for s in composer.book.statements if composer.asks(s)])
        self.starts = [section for section in self.groups if "np" in composer.sections[section]]

    def draw(self, length: int) -> Chain | None:
        """A random chain, or None where the random walk ends early or the chain is unsuitable."""
        rng = self.composer.rng
        chain = [rng.pick(self.groups[rng.pick(self.starts)])]
        while len(chain) < length:
            last = chain[-1]
            successors = [
                statement
                for statement in self.book.about.get(last.target or "", ())
                if self.composer.asks(statement)
                and (len(chain) == length - 1 or "np" in self.composer.sections[statement.section])
            ]
            if not successors:
                return None
            sections = by_section(successors)
            chain.append(rng.pick(sections[rng.pick(list(sections))]))
        return tuple(chain) if self.suitable(chain) and self._own_share(chain) else None

    def suitable(self, chain: Sequence[Statement]) -> bool:
        """Whether no passage or entity comes twice and no early passage contains the answer."""
        passages = [statement.passage for statement in chain]
        entities = [chain[0].about, *(statement.target for statement in chain if statement.target)]
        if len(set(passages)) < len(passages) or len(set(entities)) < len(entities):
            return False
        if not self.composer.connected(chain):
            return False
        golds = self.composer.golds(chain[-1])
        texts = [self.book.text(passage) for passage in passages[:-1]]
        return not any(leaks(gold, text) for gold in golds for text in texts)

    def _own_share(self, chain: Sequence[Statement]) -> bool:
        if len(chain) > 2:
            return True
        key = " ".join(statement.key for statement in chain)
        if kinship_section(chain) in self.composer.sections:
            return False
        return _SHARES[bucket(key, len(_SHARES))] == self.composer.task


def kinship_section(chain: Sequence[Statement]) -> str:
    """The section that two family relations have if they make a named one, such as grandmother."""
    return "kin." + ".".join(statement.section.removeprefix("person.") for statement in chain)


def nested(composer: Composer, chain: Chain, subject: str, wording: Wording) -> tuple[str, ...]:
    """Noun phrases for the answers of the chain, each nested around the one before."""
    words = composer.right_branching if len(chain) > 1 else composer.words
    phrases = []
    for statement in chain:
        subject = words(statement.section, "np", wording).format(x=subject)
        phrases.append(subject)
    return tuple(phrases)


def plain(composer: Composer, chain: Chain, wording: Wording) -> Phrased:
    """A question about a noun phrase for all hops but the last (2WikiMultihopQA, MuSiQue)."""
    name = composer.book.name(chain[0].about)
    if composer.task == "2wikimultihopqa" and composer.rng.chance(60):
        name = name.removeprefix("the ") if name.startswith("the film ") else name
    phrases = nested(composer, chain[:-1], name, wording)
    words = composer.right_branching if len(chain) > 2 else composer.words
    return polished(words(chain[-1].section, "ask", wording).format(x=phrases[-1])), phrases


def wordy(composer: Composer, chain: Chain, wording: Wording) -> Phrased:
    """A question that describes its subject, with the question word first or last (HotpotQA)."""
    return _phrased(composer, chain, described(composer, chain[0].about), wording, tails=45)


def _phrased(
    composer: Composer, chain: Chain, subject: str, wording: Wording, tails: int
) -> Phrased:
    """A question about the subject, with the question word last in `tails` per cent of cases."""
    phrases = nested(composer, chain[:-1], subject, wording)
    section = chain[-1].section
    if composer.rng.chance(tails):
        return polished(f"{phrases[-1]} {composer.words(section, 'tail', wording)}?"), phrases
    return composer.ask(section, wording, x=phrases[-1]), phrases


def terse(composer: Composer, chain: Chain, wording: Wording) -> Phrased:
    """A question with bare titles in quotation marks (Bamboogle)."""
    entity = composer.book.world[chain[0].about]
    name = composer.book.name(entity.id)
    if name == f"the {entity.noun} {entity.name}" and entity.title == entity.name:
        name = f'"{entity.name}"'
    return _phrased(composer, chain, name, wording, tails=30)


def compose(
    composer: Composer, kind: str, length: int, count: int, phrase: Phrase
) -> list[Question]:
    """`count` questions over chains of `length` hops."""
    chains = Chains(composer)

    def make(number: int) -> Question | None:
        chain = chains.draw(length)
        return None if chain is None else worded(composer, chain, kind, phrase, number)

    return collect(make, _chain_key, count)


def worded(
    composer: Composer, chain: Chain, kind: str, phrase: Phrase, number: int
) -> Question | None:
    """The question over a chain, or None where its text has one of the answers."""
    wording = composer.wording_of(number)
    text, phrases = phrase(composer, chain, wording)
    golds = composer.golds(chain[-1])
    hops = placed(composer.chain_hops(chain), text, phrases)
    if any(leaks(gold, text) for gold in (*golds, *(hop.answer for hop in hops))):
        return None
    return Question("", text, golds, composer.task, kind, wording, hops)


def _chain_key(question: Question) -> str:
    return " ".join(f"{hop.passage_id}>{hop.answer}" for hop in question.hops)


def inference(composer: Composer, count: int) -> list[Question]:
    """Questions about two family relations by one word, such as grandmother or father-in-law."""
    book = composer.book
    pairs = [
        (first, second)
        for first in book.statements
        if first.section.startswith("person.") and first.target is not None
        for second in book.about.get(first.target, ())
        if kinship_section((first, second)) in composer.sections
        and _is_unique_relative(composer, first, second)
        and composer.connected((first, second))
    ]
    questions: dict[str, Question] = {}
    for chain in composer.rng.shuffled(pairs):
        if len(questions) == count:
            break
        wording = composer.wording_of(len(questions))
        section = kinship_section(chain)
        name = composer.book.name(chain[0].about)
        text = composer.ask(section, wording, x=name)
        golds = composer.golds(chain[-1])
        distinct = chain[0].passage != chain[1].passage and chain[1].target != chain[0].about
        hops = composer.chain_hops(chain)
        answers = (*golds, *(hop.answer for hop in hops))
        if distinct and not any(leaks(answer, text) for answer in answers):
            task = composer.task
            questions[text] = Question("", text, golds, task, "inference", wording, hops)
    return list(questions.values())


def _is_unique_relative(composer: Composer, first: Statement, second: Statement) -> bool:
    """Whether the relation has one value only; this is uncertain for siblings."""
    if not second.section.endswith("sibling"):
        return True
    world = composer.book.world
    person, sibling = world[first.about], world[second.target or ""]
    if "spouse" in sibling.facts:
        return False
    if first.section == "person.spouse":
        return not _siblings(composer, person.id)
    parent = person.ref("mother" if first.section == "person.father" else "father")
    return parent is not None and not _siblings(composer, parent)


def _siblings(composer: Composer, person: str) -> bool:
    world = composer.book.world
    father = world[person].ref("father")
    return father is not None and any(
        entity.ref("father") == father and entity.id != person for entity in world.values()
    )


def joins(composer: Composer, kind: str, count: int) -> list[Question]:
    """Questions about an entity that two one-hop chains together identify."""
    sections = [section for section in composer.sections if section.startswith("join.")]

    def make(number: int) -> Question | None:
        return _join(composer, kind, sections[number % len(sections)], number)

    return collect(make, _chain_key, count)


def _join(composer: Composer, kind: str, section: str, number: int) -> Question | None:
    book, rng = composer.book, composer.rng
    _, noun, *relations = section.split(".")
    works = [entity for entity in book.world.values() if entity.kind == noun]
    work = rng.pick(works)
    goals = [work.ref(relation) for relation in relations]
    same = [w for w in works if {*goals} <= {w.ref(relation) for relation in w.facts}]
    stated = book.articles[work.id].stated
    if None in goals or len(same) > 1 or not all(relation in stated for relation in relations):
        return None
    left, right = (_statement_to(composer, str(goal), work.id) for goal in goals)
    if left is None or right is None or left.passage == right.passage:
        return None
    if not all(branch.surface in book.text(work.id) for branch in (left, right)):
        return None
    wording = composer.wording_of(number)
    ends = [
        nested(composer, (branch,), book.name(branch.about), wording)[0] for branch in (left, right)
    ]
    text = composer.ask(section, wording, x=ends[0], z=ends[1])
    last = composer.ask(section, x=left.words, z=right.words)
    hops = (
        *composer.chain_hops((left,)),
        *composer.chain_hops((right,)),
        Hop(last, work.name, work.id),
    )
    if any(leaks(answer, text) for answer in (work.name, left.surface, right.surface)):
        return None
    hops = placed(hops, text, ends)
    return Question("", text, work.names, composer.task, kind, wording, hops)


def _statement_to(composer: Composer, goal: str, avoid: str) -> Statement | None:
    """A random statement whose answer is `goal`, from a passage other than `avoid`."""
    statements = [
        statement
        for statement in composer.book.to.get(goal, ())
        if statement.passage != avoid and "np" in composer.sections.get(statement.section, {})
    ]
    return composer.rng.pick(statements) if statements else None
