"""The world of the reports: towns, grounds, clubs, firms and people of four countries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from tasks.closed_world.entities import Amount, Entity, Ref, Side, Value, World, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.text.grammar import capitalise, with_articles
from tasks.closed_world.world.draft import Draft, some_date
from tasks.closed_world.world.names import NamePool, Words, name_pool, place_name
from tasks.closed_world.world.vocabulary import VOCABULARY, Language

YEAR = 2025
"""The year of the season, which dates of reports and ages refer to."""

_COUNTRIES = 4
_TOWNS, _CLUBS, _FIRMS, _SQUAD = 8, 6, 4, 4

_CLUB_NAMES = ("{} United", "{} Rovers", "{} Athletic", "{} Wanderers", "{} Albion", "Sporting {}")
_NICKNAMES = (
    "Kingfishers Coopers Hornets Weavers Ravens Bargemen Stags Potters Cranes Lamplighters Wolves "
    "Quarrymen Owls Saddlers Terriers Glaziers Magpies Ferrymen Hares Masons Pikes Chandlers "
    "Jackdaws Drovers"
)
_GROUNDS = ("{} Park", "{} Road", "{} Lane", "the {} Stadium")
_ARENAS = ("the {} Arena", "{} Hall")
_FIRM_NAMES = (
    "{} Insurance|household insurance",
    "{} Telecom|mobile telephones",
    "{} Energy|wind turbines",
    "{} Motors|electric vans",
    "{} Foods|frozen vegetables",
    "{} Logistics|parcel delivery",
    "{} Paints|exterior paint",
    "{} Dairy|yoghurt and butter",
)
_PROFESSIONS = (
    "dentist",
    "tax adviser",
    "schoolteacher",
    "veterinary surgeon",
    "bus driver",
    "notary",
    "pharmacist",
    "land surveyor",
    "paramedic",
    "locksmith",
    "florist",
    "air traffic controller",
    "baker",
    "electrician",
)


class SeasonNation(Struct, frozen=True):
    """A country, with the names and places that builders need."""

    pool: NamePool
    demonym: str
    towns: list[Draft]


class Season:
    """All drafts of a side in order of creation, and the reports about them."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.rng = Rng(f"recent/{side}")
        self.drafts: dict[str, Draft] = {}
        self.reports: list[Entity] = []
        self.nations: list[SeasonNation] = []
        self.squads: dict[str, list[Draft]] = {}
        self.coaches: dict[str, Draft] = {}
        self._words = Words(side, "words of the season")
        self._names: set[str] = set()
        for language in self.rng.shuffled(VOCABULARY.languages)[:_COUNTRIES]:
            self._settle(language)

    def add(self, kind: str, name: str, noun: str) -> Draft:
        """Add an entity with a passage of its own."""
        bare = name.removeprefix("the ")
        number = len(self.drafts) + len(self.reports) + 1
        draft = Draft(f"recent-{self.side}-{number:04d}", kind, bare, noun)
        draft.article = bare != name
        self.drafts[draft.id] = draft
        self._names.add(bare)
        return draft

    def report(
        self, kind: str, noun: str, title: str, label: str, facts: Mapping[str, Value | Draft]
    ) -> Entity:
        """Add a report. `label` is the name of its event in questions."""
        number = len(self.drafts) + len(self.reports) + 1
        entity = Entity(
            id=f"recent-{self.side}-{number:04d}",
            kind=kind,
            name=title,
            title=title,
            label=label,
            noun=noun,
            country="",
            facts={
                relation: value.ref if isinstance(value, Draft) else value
                for relation, value in facts.items()
            },
        )
        self.reports.append(entity)
        return entity

    def freeze(self) -> World:
        """All entities by id: profiles, then reports."""
        self._abbreviate()
        profiles = {draft.id: _profile(draft) for draft in self.drafts.values()}
        return profiles | {report.id: report for report in self.reports}

    def _abbreviate(self) -> None:
        """Give a fifth of the people with an unambiguous initial an alias with that initial."""
        people = [draft for draft in self.drafts.values() if draft.kind == "person"]
        short = {person.id: f"{person.name[0]}. {person.name.split()[1]}" for person in people}
        bearers = Counter(short.values())
        for person in people:
            if bearers[short[person.id]] == 1 and self.rng.chance(20):
                person.aliases.append(short[person.id])

    def of(self, noun: str) -> list[Draft]:
        """All drafts that a noun describes."""
        return [draft for draft in self.drafts.values() if draft.noun == noun]

    def free(self, make: Callable[[], str]) -> str:
        """A name that is not taken yet."""
        while True:
            name = make()
            if name.removeprefix("the ") not in self._names:
                return name

    def add_name(self, name: str) -> None:
        """Mark a name as taken without adding an entity."""
        self._names.add(name)

    def coined(self, patterns: Sequence[str], words: Sequence[str]) -> str:
        """A free name from one of the patterns and one of the words."""
        return self.free(lambda: self.rng.pick(patterns).format(self.rng.pick(words)))

    def person(self, nation: SeasonNation, noun: str, ages: tuple[int, int]) -> Draft:
        """Add a person born in the country."""
        rng, pool = self.rng, nation.pool
        female = rng.chance(40)
        first_names = pool.female if female else pool.male
        name = self.free(lambda: f"{rng.pick(first_names)} {rng.pick(pool.surnames)}")
        draft = self.add("person", name, noun)
        draft.female = female
        draft.facts["nationality"] = nation.demonym
        draft.facts["born"] = some_date(rng, YEAR - rng.between(*ages))
        draft.facts["birthplace"] = rng.pick(nation.towns).ref
        return draft

    def _settle(self, language: Language) -> None:
        rng = self.rng
        pool = name_pool(self._words, language, people=44, places=16)
        demonym = self._words.coin(language, ("ian", "ish", "ese"), 2)
        nation = SeasonNation(pool, demonym, [])
        self.nations.append(nation)
        for _ in range(_TOWNS):
            self._town(nation, language)
        trainers = [self._elder(nation, "athletics trainer") for _ in range(3)]
        firms = [self._firm(nation) for _ in range(_FIRMS)]
        clubs = [self._club(nation, firms) for _ in range(_CLUBS)]
        for _ in range(3):
            referee = self.person(nation, "referee", (32, 46))
            referee.facts["profession"] = rng.pick(_PROFESSIONS)
            agent = self._elder(nation, "players' agent")
            agent.facts["first_club"] = rng.pick(clubs).ref
            self._ground(nation, rng.pick(nation.towns), "arena", _ARENAS)
        self._squads(nation, clubs, firms)
        for noun in ("tennis player", "cyclist", "high jumper"):
            for _ in range(4):
                star = self.person(nation, noun, (19, 34))
                star.facts |= {
                    "trainer": rng.pick(trainers).ref,
                    "residence": rng.pick(nation.towns).ref,
                    "sponsor": rng.pick(firms).ref,
                }

    def _town(self, nation: SeasonNation, language: Language) -> None:
        rng = self.rng
        name = place_name(rng, nation.pool, lambda name: name in self._names)
        town = self.add("town", name, "town")
        town.facts |= {
            "population": Amount(rng.between(61, 940) * 100 + rng.below(100)),
            "river": self._words.coin(language, ("a", "el", "an", "is")),
            "region": self._words.coin(language, ("ania", "mark", "ovia"), 1),
            "founded": Year(rng.between(1080, 1790)),
        }
        nation.towns.append(town)
        town.facts["mayor"] = self._elder(nation, "politician").ref

    def _elder(self, nation: SeasonNation, noun: str) -> Draft:
        """Add a person beyond playing age, with a residence."""
        elder = self.person(nation, noun, (38, 69))
        elder.facts["residence"] = self.rng.pick(nation.towns).ref
        return elder

    def _firm(self, nation: SeasonNation) -> Draft:
        rng = self.rng
        row = rng.pick(_FIRM_NAMES)
        pattern, product = row.split("|")
        firm = self.add("company", self.coined((pattern,), nation.pool.surnames), "company")
        firm.facts |= {
            "headquarters": rng.pick(nation.towns).ref,
            "founder": self._elder(nation, "entrepreneur").ref,
            "founded": Year(rng.between(1958, 2012)),
            "product": product,
        }
        return firm

    def _ground(
        self, nation: SeasonNation, town: Draft, noun: str, patterns: Sequence[str] = _GROUNDS
    ) -> Draft:
        rng = self.rng
        ground = self.add("stadium", self.coined(patterns, nation.pool.surnames), noun)
        ground.facts |= {
            "town": town.ref,
            "opened": Year(rng.between(1924, 2016)),
            "capacity": Amount(rng.between(31, 488) * 100 + rng.below(100)),
            "architect": self._elder(nation, "architect").ref,
        }
        return ground

    def _club(self, nation: SeasonNation, firms: Sequence[Draft]) -> Draft:
        rng = self.rng
        town = rng.pick(nation.towns)
        name = self.coined(_CLUB_NAMES, nation.pool.places)
        club = self.add("club", name, "football club")
        taken = len(self.of("football club")) - 1
        club.facts |= {
            "town": town.ref,
            "ground": self._ground(nation, town, "stadium").ref,
            "founded": Year(rng.between(1884, 1938)),
            "nickname": f"the {_NICKNAMES.split()[taken]}",
            "sponsor": rng.pick(firms).ref,
        }
        return club

    def _squads(self, nation: SeasonNation, clubs: Sequence[Draft], firms: Sequence[Draft]) -> None:
        """Add coaches and players, with first clubs and teachers among the existing ones."""
        rng = self.rng
        for club in clubs:
            coach = self.person(nation, "football coach", (39, 66))
            coach.facts["first_club"] = self._another(clubs, club).ref
            self.coaches[club.id] = coach
        coaches = [self.coaches[club.id] for club in clubs]
        for club in clubs:
            squad = [self.person(nation, "footballer", (18, 35)) for _ in range(_SQUAD)]
            for player in squad:
                player.facts["youth_club"] = self._another(clubs, club).ref
                if rng.chance(60):
                    player.facts["mentor"] = rng.pick(coaches).ref
                if rng.chance(50):
                    player.facts["sponsor"] = rng.pick(firms).ref
            club.facts["captain"] = squad[0].ref
            self.squads[club.id] = squad

    def _another(self, clubs: Sequence[Draft], club: Draft) -> Draft:
        return self.rng.pick([candidate for candidate in clubs if candidate is not club])

    def target(self, draft: Draft, relation: str) -> Draft:
        """The draft that is the value of a relation."""
        value = draft.facts[relation]
        assert isinstance(value, Ref)
        return self.drafts[value.id]


def _profile(draft: Draft) -> Entity:
    return Entity(
        id=draft.id,
        kind=draft.kind,
        name=draft.name,
        title=capitalise(with_articles(draft.name)),
        label=f"the {draft.name}" if draft.article else draft.name,
        noun=draft.noun,
        country="",
        facts=draft.facts,
        aliases=tuple(draft.aliases),
        female=draft.female,
    )
