"""Reads entities and their facts out of the first sentences of encyclopedia passages.

Patterns see what encyclopedias write in one way: "X (born 3 May 1921) was an American film
director", "X is a 1954 Canadian film directed by Y". What they do not match is left out. All values
are words of the passage.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from autocoa_bench.types import Passage
from tasks.closed_world.encyclopedia import Encyclopedia, forward, indexed
from tasks.closed_world.entities import MONTHS, Date, Entity, Ref, Value, World, Year
from tasks.closed_world.text.prose import Article

Stated = dict[str, str]
"""What a passage states of its entity: relation -> words of the passage."""


def _lines(name: str) -> list[str]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("#")]


_COUNTRIES = frozenset(_lines("countries.txt"))
_ADJECTIVE = f"(?:{'|'.join(' '.join(_lines('nationalities.txt')).split())})"
_MONTH = "|".join(MONTHS)
_DATE = rf"(?:\d{{1,2}} (?:{_MONTH}) \d{{3,4}}|(?:{_MONTH}) \d{{1,2}}, \d{{3,4}}|\b[12]\d{{3}}\b)"
_WORD = r"[A-Z][\w'’-]+"
_SMALL = r"(?:of|the|de|da|di|von|van|der|la|le|du|bin|al|and|&)"
_NAME = rf"{_WORD}(?: (?:{_SMALL} )*(?:[A-Z]\.|{_WORD}))*"
_PERSON = rf"{_WORD}(?: (?:(?:de|da|di|von|van|der|la|le|du|bin|al) )*(?:[A-Z]\.|{_WORD}))+"
_PLACE = rf"{_WORD}(?: (?:(?:of|the|de|la|upon|am) )*{_WORD})*"

_OPENING = re.compile(
    r"(?P<subject>[^.()]{2,120}?)(?: ?\((?P<life>(?:[^()]|\([^()]*\))*)\)[^.()]{0,60}?)?,? "
    r"(?:is|was|are|were) (?:an?|the) (?P<rest>.+)",
    re.DOTALL,
)
_SPAN = re.compile(rf"({_DATE})[^\d–-]{{0,60}}? ?[–-] ?[^\d]{{0,40}}?({_DATE})")
_BORN = re.compile(rf"\bborn:? (?:[^\d]{{0,40}} )?({_DATE})")
_DIED = re.compile(rf"\bdied:? (?:on )?({_DATE})")
_BORN_IN = re.compile(rf"\bborn (?:on |in )?(?:{_DATE},? )?(?:in|at) (?:the )?({_PLACE})")
_DIED_IN = re.compile(rf"\bdied (?:on {_DATE},? )?(?:in|at) (?:the )?({_PLACE})")
_CALLING = re.compile(
    rf"(?:[a-z-]+ )?(?P<nationality>{_ADJECTIVE}) (?P<calling>[a-z][a-z-]*(?: [a-z-]+){{0,2}}?)"
    r"(?=,|\.| (?:and|who|best|known|from|for|of|in|with|whose|active)\b)"
)
_SCHOOL = re.compile(
    r"\b(?:graduated from|educated at|attended|studied at|alumnus of) (?:the )?"
    rf"({_WORD}(?: (?:(?:of|the|at) )*{_WORD})*)"
)
_SCHOOLS = re.compile(r"\b(?:University|College|Institute|Academy|School)\b")
_CHILD = re.compile(
    rf"\b(?:son|daughter|child) of (?:the )?(?:[a-z]+ ){{0,2}}(?P<one>{_PERSON})"
    rf"(?: and (?:his (?:[a-z]+ )?wife,? )?(?P<other>{_PERSON}))?"
)
_MARRIED = re.compile(
    r"\b(?:(?:was|is) married to|(?:[Hh]e|[Ss]he) married|(?:wife|husband|widow) of) "
    rf"(?:the )?(?:{_ADJECTIVE} )?(?:[a-z]+ ){{0,2}}({_PERSON})"
)
_WORK = re.compile(
    r"(?P<before>(?:[^.,]){0,70}?)\b(?P<noun>film|song|single|album|novel)\b"
    r"(?! (?:director|producer|actor|actress|editor|scor|compos|critic|stud|compan|festival|serie))"
)
_MAKERS = {
    "film": ("director", re.compile(rf"\bdirected by (?:the )?(?:{_ADJECTIVE} )?({_PERSON})")),
    "novel": (
        "author",
        re.compile(rf"\bby (?:the )?(?:{_ADJECTIVE} )?(?:[a-z-]+ ){{0,3}}({_PERSON})"),
    ),
    "song": (
        "performer",
        re.compile(rf"\bby (?:the )?(?:{_ADJECTIVE} )?(?:[a-z-]+ ){{0,5}}({_NAME})"),
    ),
}
_MAKERS["album"] = _MAKERS["song"]
_ISSUED = re.compile(
    rf"\b(?:released|published)\b[^.]{{0,30}}? (?:in|on) (?:(?:{_MONTH}) )?({_DATE})"
)
_PLACES = re.compile(
    r"[^.]{0,60}?\b(?P<noun>village|town|city|municipality|commune|river|lake|district|county|"
    r"island|mountain|province|suburb|settlement|castle|university|college|airport)\b"
    r"[^.]{0,120}?\bin (?P<where>[^.]*)"
)
_QUALIFIED = re.compile(r"(?P<name>.+?) \((?P<what>[^()]*)\)")
_OTHER_PAGES = ("disambiguation", "soundtrack")
_HE, _SHE = re.compile(r"\b(?:he|his|him)\b", re.I), re.compile(r"\b(?:she|hers?)\b", re.I)
_READ = 900
"""The characters of a passage that the patterns see."""
_ABOUT_ITSELF = 350
"""The characters in which "the son of" and "married to" are about the entity itself."""


class _Draft(Struct):
    """An entity and what its passage states of it, before names are resolved."""

    entity: Entity
    passage: Passage
    stated: Stated


def encyclopedia_of(
    passages: Iterable[Passage], is_excluded: Callable[[str], bool]
) -> Encyclopedia:
    """The entities of a corpus whose names are not excluded, and what is stated of them.

    With an entity, all that it names is left out as well: the director of an excluded film.
    """
    drafts: dict[str, _Draft] = {}
    names: set[str] = set()
    for passage in passages:
        draft = _read(passage)
        if draft is None or draft.entity.title in drafts:
            continue
        if is_excluded(draft.entity.name):
            names.update((draft.entity.name, *draft.stated.values()))
        else:
            drafts[draft.entity.title] = draft
    kept = [draft for draft in drafts.values() if draft.entity.name not in names]
    return _resolved(kept)


def _read(passage: Passage) -> _Draft | None:
    """The entity that a passage begins with, if the patterns recognise it."""
    title = passage.title.removesuffix(" -")
    if " - " in title:  # a section further down an article
        return None
    qualified = _QUALIFIED.fullmatch(title)
    name = qualified["name"] if qualified else title
    if qualified and qualified["what"] in _OTHER_PAGES:
        return None
    text = passage.text[:_READ]
    if text.startswith(f"{title} {name}"):  # some corpora repeat the title in the text
        text = text.removeprefix(f"{title} ")
    text = re.sub(r"(?<=\w)\( ?", " (", text)
    opening = _OPENING.match(text)
    if opening is None or not set(name.split()) & set(opening["subject"].split()):
        return None
    life, rest = opening["life"] or "", opening["rest"]
    stated, noun = _person(life, rest, text), "person"
    kind = "person"
    if stated:
        noun = stated.get("profession", noun)
    elif (work := _WORK.match(rest)) is not None:
        noun = "song" if work["noun"] == "single" else work["noun"]
        kind, stated = noun, _work(noun, work["before"], rest)
    elif (place := _PLACES.match(rest)) is not None:
        kind, noun = "place", place["noun"]
        stated = {"country": country} if (country := _country(place["where"])) else {}
    stated = {key: words for key, words in stated.items() if words in passage.text}
    if not stated:
        return None
    facts = {relation: _value(relation, words) for relation, words in stated.items()}
    entity = Entity(passage.id, kind, name, title, name, noun, "", facts, female=_female(text))
    shown = replace(passage, text=f"{passage.title}\n{passage.text}")
    return _Draft(entity, shown, stated)


def _person(life: str, rest: str, text: str) -> Stated:
    """What is stated of a person; empty if it is none, since nobody is born."""
    stated: Stated = {}
    span, head = _SPAN.search(life), f"{life} {rest}"
    born = _BORN.search(life) or _BORN.search(rest[:300])
    if span:
        stated["born"], stated["died"] = span.groups()
    elif born:
        stated["born"] = born[1]
    elif died := _DIED.search(life):
        stated["died"] = died[1]
    if not stated and not _BORN_IN.search(rest[:300]):
        return {}
    if "died" not in stated and (died := _DIED.search(head)):
        stated["died"] = died[1]
    if calling := _CALLING.match(rest):
        stated |= {"nationality": calling["nationality"], "profession": calling["calling"]}
    values = (("birthplace", _BORN_IN), ("deathplace", _DIED_IN))
    stated |= {key: match[1] for key, pattern in values if (match := pattern.search(text))}
    if (school := _SCHOOL.search(text)) and _SCHOOLS.search(school[1]):
        stated["alma_mater"] = school[1]
    if child := _CHILD.search(text[:_ABOUT_ITSELF]):
        stated["father"] = child["one"]
        if child["other"]:
            stated["mother"] = child["other"]
    if married := _MARRIED.search(text[:_ABOUT_ITSELF]):
        stated["spouse"] = married[1]
    return stated


def _work(kind: str, before: str, rest: str) -> Stated:
    """What is stated of a film, a song, an album or a novel."""
    stated: Stated = {}
    sentence = rest.partition(". ")[0]
    relation, pattern = _MAKERS[kind]
    if maker := pattern.search(sentence):
        stated[relation] = maker[1]
    issued = re.search(r"\b[12]\d{3}\b", before) or _ISSUED.search(rest)
    if issued:
        words = issued[issued.lastindex or 0]
        stated["published" if kind == "novel" else "released"] = words
    if kind == "film" and (nationality := re.search(rf"\b{_ADJECTIVE}\b(?!-)", before)):
        stated["nationality"] = nationality[0]
    return stated


def _country(where: str) -> str:
    """The country that a description of a place ends with; empty if it names none or several."""
    countries = {name for name in _COUNTRIES if re.search(rf"\b{name}\b", where)}
    return countries.pop() if len(countries) == 1 else ""


def _value(relation: str, words: str) -> Value:
    """Words as a value that can be compared."""
    if relation not in ("born", "died", "released", "published"):
        return words
    year = int(re.findall(r"\d{3,4}", words)[-1])
    month = re.search(_MONTH, words)
    if month is None:
        return Year(year)
    day = int(re.findall(r"\b\d{1,2}\b", words)[0])
    return Date(year, MONTHS.index(month[0]) + 1, day)


def _female(text: str) -> bool:
    return len(_SHE.findall(text)) > len(_HE.findall(text))


_CALLINGS = {
    "director": re.compile(r"\b(?:film|direct|cinema|act(?:or|ress))"),
    "author": re.compile(r"\b(?:writ|author|novel|poet|journalist|playwright)"),
    "performer": re.compile(r"\b(?:sing|music|rapper|song|record|album)"),
}
"""What the passages of makers of works mention, if they are not of a namesake."""

_TARGETS = {
    **dict.fromkeys(("director", "author", "performer"), "person"),
    **dict.fromkeys(("father", "mother", "spouse"), "person"),
    **dict.fromkeys(("birthplace", "deathplace", "alma_mater"), "place"),
}
"""Relations whose values are entities, and the kind of these."""


def _resolved(drafts: list[_Draft]) -> Encyclopedia:
    """The drafts with their values as references where these are names of one entity."""
    by_name: dict[tuple[str, str], list[Entity]] = {}
    for draft in drafts:
        entity = draft.entity
        by_name.setdefault((entity.kind, entity.name), []).append(entity)
    texts = {draft.entity.id: draft.passage.text for draft in drafts}
    world: World = {}
    articles: dict[str, Article] = {}
    for draft in drafts:
        entity, stated = draft.entity, dict(draft.stated)
        facts = dict(entity.facts)
        for relation, words in draft.stated.items():
            targets = by_name.get((_TARGETS.get(relation, ""), words), ())
            if len(targets) != 1 or targets[0].id == entity.id:
                continue
            calling = _CALLINGS.get(relation)
            if calling and not calling.search(texts[targets[0].id]):
                continue
            facts[relation] = Ref(targets[0].id)
            if relation == "father" and targets[0].female:
                facts["mother"], stated["mother"] = facts.pop("father"), stated.pop("father")
        unique = len(by_name[entity.kind, entity.name]) == 1
        label = entity.name if unique else entity.title
        if entity.kind not in ("person", "place"):
            label = f"the {entity.noun} {label}"
        world[entity.id] = replace(entity, label=label, facts=facts)
        articles[entity.id] = Article(draft.passage, stated)
    return indexed("train", world, articles, forward(world, articles))
