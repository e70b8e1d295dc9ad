"""Composes chains and comparisons about a corpus, with the composers of the closed world."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from autocoa_bench.types import Question
from tasks.closed_world.encyclopedia import Encyclopedia, Statement
from tasks.closed_world.questions import chains, comparisons
from tasks.closed_world.questions.composing import (
    Composer,
    by_section,
    collect,
    in_turn,
    leaks,
    numbered,
)
from tasks.closed_world.rng import Rng
from tasks.closed_world.text.grammar import plural, polished
from tasks.closed_world.text.wordings import Sections, wordings

_MAKERS = {
    "film.director": "director",
    "novel.author": "author",
    "song.performer": "performer",
    "album.performer": "performer",
}
"""Relations from works to the makers that are compared, and the word for the maker."""

_CHAINS = (
    ("2wikimultihopqa", "compositional", chains.plain),
    ("hotpotqa", "bridge", chains.wordy),
    ("2wikimultihopqa", "compositional", chains.plain),
    ("hotpotqa", "bridge", chains.wordy),
    ("musique", "2hop", chains.plain),
    ("bamboogle", "2hop", chains.terse),
)
"""The datasets whose chains of hops are imitated, in turn."""

_SHARES = {"chain": 50, "kinship": 6, "direct": 22, "bridged": 12, "common": 10}
"""Shares of the whole in per cent."""


def compose(book: Encyclopedia, count: int, is_excluded: Callable[[str], bool]) -> list[Question]:
    """About `count` questions in random order, none with an excluded text; fewer of a shape where
    the corpus states too little for it."""
    sections = _sections(book)
    hotpotqa, wiki = (
        Composer(name, book, sections, paraphrasing=True)
        for name in ("hotpotqa", "2wikimultihopqa")
    )
    counts = {shape: -(-count * share // 100) for shape, share in _SHARES.items()}
    questions = [
        *_chains(book, sections, counts["chain"]),
        *chains.inference(wiki, counts["kinship"]),
        *comparisons.direct(hotpotqa, counts["direct"] // 2),
        *comparisons.direct(wiki, counts["direct"] // 2),
        *comparisons.bridged(wiki, counts["bridged"], _MAKERS),
        *_common(hotpotqa, counts["common"]),
    ]
    by_text = {question.text: question for question in questions if not is_excluded(question.text)}
    mixed = Rng("composed").shuffled(list(by_text.values()))
    return list(numbered("composed", (replace(question, task="composed") for question in mixed)))


def _chains(book: Encyclopedia, sections: Sections, count: int) -> list[Question]:
    """Questions over the corpus's chains, of each pair or triple of relations in turn."""
    composers = {name: Composer(name, book, sections, paraphrasing=True) for name, _, _ in _CHAINS}
    drawer = chains.Chains(composers["musique"])
    groups: dict[str, list[chains.Chain]] = {}
    for chain in filter(drawer.suitable, _all_chains(drawer)):
        groups.setdefault(" ".join(one.section for one in chain), []).append(chain)
    rng = Rng("composed/chains")
    questions: list[Question] = []
    for chain in in_turn(rng.shuffled(group) for group in groups.values()):
        task, kind, phrase = _CHAINS[len(questions) % len(_CHAINS)]
        kind = f"{len(chain)}hop" if len(chain) > 2 else kind
        question = chains.worded(composers[task], chain, kind, phrase, len(questions))
        if question is not None:
            questions.append(question)
        if len(questions) == count:
            break
    return questions


def _all_chains(drawer: chains.Chains) -> Iterator[chains.Chain]:
    """All chains of two and three statements, each about the answer of the one before."""
    asked = {id(one) for group in drawer.groups.values() for one in group}
    about = {
        key: [one for one in group if id(one) in asked]
        for key, group in drawer.composer.book.about.items()
    }
    inner = set(drawer.starts)
    for section in drawer.starts:
        for first in drawer.groups[section]:
            for second in about.get(first.target or "", ()):
                if chains.kinship_section((first, second)) in drawer.composer.sections:
                    continue
                yield first, second
                if second.section in inner:
                    for third in about.get(second.target or "", ()):
                        yield first, second, third


def _sections(book: Encyclopedia) -> Sections:
    """All wordings for training of what the corpus states, those of the closed world included."""
    stated = set(by_section(book.statements))
    world, more = wordings("questions"), wordings("training")
    own = wordings("questions", Path(__file__).parent)
    sections: dict[str, dict[str, tuple[str, ...]]] = {}
    for name in dict.fromkeys((*world, *own)):
        if not _applies(name, stated):
            continue
        sorts: dict[str, tuple[str, ...]] = {}
        for source in (world, more, own):
            for sort, texts in source.get(name, {}).items():
                if not sort.endswith("*"):
                    sorts[sort] = sorts.get(sort, ()) + texts
        sections[name] = sorts
    return sections


def _applies(section: str, stated: set[str]) -> bool:
    """Whether the corpus states what the questions of a section need."""
    mode, _, relation = section.partition(".")
    if mode in ("first", "last", "same", "common"):
        return relation in stated
    if mode == "bridge":
        return f"person.{relation.rpartition('.')[2]}" in stated
    return mode == "kin" or section in stated


def _common(composer: Composer, count: int) -> list[Question]:
    """Comparisons of two entities by a value: whether both have it, or what they have in common."""
    groups = by_section(composer.book.statements)
    sections = [name for name in composer.sections if name.startswith("common.")]

    def make(number: int) -> Question | None:
        section = composer.rng.pick(sections)
        return _common_value(composer, section, groups[section.partition(".")[2]], number)

    return collect(make, lambda question: question.text, count) if sections else []


def _common_value(
    composer: Composer, section: str, statements: Sequence[Statement], number: int
) -> Question | None:
    """Every second question is for the value; of the others, half have the answer no."""
    rng = composer.rng
    left = rng.pick(statements)
    alike = number % 4 != 0
    partners = [
        one
        for one in statements
        if (one.surface == left.surface) == alike
        and composer.book.name(one.about) != composer.book.name(left.about)
    ]
    if not partners:
        return None
    right = rng.pick(partners)
    sort = "shared" if number % 2 else "both"
    value = plural(left.surface) if section.endswith("profession") else left.surface
    names = [composer.book.name(one.about) for one in (left, right)]
    text = polished(composer.words(section, sort).format(a=names[0], b=names[1], y=value))
    gold = left.surface if sort == "shared" else "yes" if alike else "no"
    if sort == "shared" and leaks(gold, text):
        return None
    hops = tuple(hop for one in (left, right) for hop in composer.chain_hops((one,)))
    return Question("", text, (gold,), composer.task, "comparison", "shared", hops)
