"""Passages: the facts of an entity in varied words and order, padded with facts for no question."""

import re
from collections.abc import Sequence

from msgspec import Struct

from autocoa_bench.types import Passage
from tasks.closed_world.entities import Amount, Date, Entity, Ref, Value, World, Year
from tasks.closed_world.rng import Rng, bucket
from tasks.closed_world.text.grammar import capitalise, polished
from tasks.closed_world.text.wordings import Sections

_NUMBERS = ("three", "four", "five", "six", "seven", "eight", "nine")
_AGES = ("nineteen", "twenty-one", "twenty-three", "twenty-six", "twenty-nine")
_WORKS = ("film", "novel", "album", "song", "series", "band")
_PLURAL_KINDS = ("band", "club")
_MOST_WORDS = 104

# Slots for words that depend on the sex of the person: those for a man, and for a woman.
_GENDERED = {
    "he": ("he", "she"),
    "He": ("He", "She"),
    "him": ("him", "her"),
    "his": ("his", "her"),
    "His": ("His", "Her"),
    "man": ("man", "woman"),
    "son": ("son", "daughter"),
    "sib": ("brother", "sister"),
}

# Relations with small numbers tend to come early in a passage; others count as 5.
_ORDER = {"born": 0, "birthplace": 0, "father": 1, "mother": 1, "sibling": 2, "died": 9}
_ORDER |= {"alma_mater": 3, "mentor": 3, "deathplace": 9, "award": 7}


class Article(Struct, frozen=True):
    """A passage and the facts that it states: relation -> the value in the passage's words."""

    passage: Passage
    stated: dict[str, str]


def article(world: World, entity: Entity, sections: Sections) -> Article:
    """The passage about an entity, in the wordings of `sections`."""
    return _Writer(world, entity, sections).write()


class _Writer:
    def __init__(self, world: World, entity: Entity, sections: Sections) -> None:
        self.world = world
        self.entity = entity
        self.rng = Rng(f"prose/{entity.id}")
        self.sections = sections
        self.stated: dict[str, str] = {}
        self._date_style = self.rng.below(2)
        self.values = {
            relation: self._worded(value)
            for relation, value in entity.facts.items()
            if relation != "spouse" or _tells_of_spouse(entity)
        }
        self._fixed = self.values | self._fixed_words()

    def write(self) -> Article:
        sentences = [self._opening(), *self._body()]
        self._pad(sentences)
        text = " ".join(map(polished, sentences))
        return Article(Passage(self.entity.id, self.entity.title, text), self.stated)

    def _worded(self, value: Value) -> str:
        if isinstance(value, Ref):
            entity = self.world[value.id]
            by_alias = entity.kind == "person" and entity.aliases and self.rng.chance(35)
            return entity.aliases[0] if by_alias else entity.label
        if isinstance(value, Date):
            return value.spellings[self._date_style]
        if isinstance(value, Year):
            return str(value.year)
        if isinstance(value, Amount):
            return f"{value.number:,} {value.unit}".strip()
        return value

    def _state(self, relation: str) -> str:
        """Note a relation as stated and return the words for its value."""
        self.stated[relation] = self.values[relation]
        return self.values[relation]

    def _opening(self) -> str:
        kind = self.entity.kind
        lines = self.sections[f"{kind}.opening"]
        wordings = lines["live" if "live" in lines and self.entity.alive else "open"]
        slots = self._slots()
        line = self.rng.pick([w for w in wordings if all(slot in slots for slot in _slots_of(w))])
        for slot in _slots_of(line):
            if slot in self.values:
                self._state(slot)
        return self._fill(line, {})

    def _slots(self) -> dict[str, str]:
        """The slots of a wording: facts, fixed words, and words that vary with each call."""
        surname = self.entity.name.split()[-1]
        return self._fixed | {
            "n": self.rng.pick(_NUMBERS),
            "age": self.rng.pick(_AGES),
            "s": self.rng.pick((self._fixed["he"], surname)),
            "S": self.rng.pick((surname, self._fixed["He"])),
        }

    def _fixed_words(self) -> dict[str, str]:
        entity = self.entity
        return {
            "name": entity.name,
            "Name": capitalise(entity.label),
            "noun": entity.noun,
            "osib": self._sex("sibling", "brother", "sister"),
            "partner": self._sex("spouse", "husband", "wife"),
            "is": "is" if entity.alive else "was",
            "has": "has" if entity.alive else "had",
            **{slot: words[entity.female] for slot, words in _GENDERED.items()},
        }

    def _sex(self, relation: str, male: str, female: str) -> str:
        target = self.entity.ref(relation)
        return female if target is not None and self.world[target].female else male

    def _fill(self, line: str, extra: dict[str, str]) -> str:
        return line.format_map(self._slots() | extra)

    def _body(self) -> list[str]:
        sentences: list[str] = []
        predicate = ""
        for unit in self._units():
            lines = self.sections[f"{self.entity.kind}.{unit}"]
            words = {f"y{i}": self._state(part) for i, part in enumerate(unit.split("+"), 1)}
            words["y"] = words["y1"]
            if "vp" in lines and self.rng.chance(50):
                phrase = self._fill(self.rng.pick(lines["vp"]), words)
                if predicate:
                    sentences.append(f"{self._subject()} {predicate} and {phrase}.")
                    predicate = ""
                elif self.rng.chance(60):
                    predicate = phrase
                else:
                    sentences.append(f"{self._subject()} {phrase}.")
            else:
                sentences.append(self._fill(self.rng.pick(lines["s"]), words))
        if predicate:
            sentences.append(f"{self._subject()} {predicate}.")
        return sentences

    def _units(self) -> list[str]:
        """The relations not yet stated, some joined in pairs, in a random order with a bias."""
        kind = self.entity.kind
        left = [
            relation
            for relation in self.values
            if relation not in self.stated and f"{kind}.{relation}" in self.sections
        ]
        for pair in ("born+birthplace", "father+mother", "died+deathplace"):
            first, second = pair.split("+")
            if first in left and second in left and self.rng.chance(90):
                left = [*(relation for relation in left if relation not in (first, second)), pair]
        keyed = [
            (_ORDER.get(unit.split("+")[0], 5) * 10 + self.rng.below(35), unit) for unit in left
        ]
        return [unit for _, unit in sorted(keyed)]

    def _subject(self) -> str:
        entity, rng = self.entity, self.rng
        if entity.kind == "person":
            pronoun = "She" if entity.female else "He"
            return rng.pick((pronoun, pronoun, entity.name.split()[-1], f"The {entity.noun}"))
        if entity.kind in _PLURAL_KINDS:
            return rng.pick(("They", "The group" if entity.kind == "band" else "The side"))
        short = capitalise(entity.label) if entity.kind not in _WORKS else "It"
        noun = "series" if entity.kind == "series" else entity.noun
        return rng.pick(("It", "It", short, f"The {noun}"))

    def _pad(self, sentences: list[str]) -> None:
        lines = self.sections[f"{self.entity.kind}.filler"]
        options = [*(f"{self._subject()} {line}." for line in lines.get("vp", ())), *lines["s"]]
        if "one" in lines:
            options.append(self.rng.pick(lines["one"]))
        target = self.rng.between(48, 72)
        for line in self.rng.shuffled(options):
            if _length(sentences) >= target:
                return
            details = [slot for slot in _slots_of(line) if slot in self.values]
            if any(detail in self.stated for detail in details):
                continue
            filler = self._fill(line, {})
            if _length(sentences) + len(filler.split()) <= _MOST_WORDS:
                sentences.insert(1 + self.rng.below(len(sentences)), filler)
                self.stated |= {detail: self.values[detail] for detail in details}


def _tells_of_spouse(entity: Entity) -> bool:
    """Whether a passage states the marriage; for some couples only one of the two passages does."""
    spouse = entity.ref("spouse")
    if spouse is None:
        return False
    silent = (min(entity.id, spouse), max(entity.id, spouse))
    return bucket("&".join(silent), 6) > 1 or silent[bucket("+".join(silent), 2)] != entity.id


def _slots_of(line: str) -> list[str]:
    return re.findall(r"{(\w+)}", line)


def _length(sentences: Sequence[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)
