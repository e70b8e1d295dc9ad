"""The world of the reports: towns, grounds, clubs, firms and people of four countries."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from tasks.closed_world.entities import Amount, Ref, Side, Value, World, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.draft import Draft, Drafts, some_date
from tasks.closed_world.world.names import NamePool, Words, name_pool
from tasks.closed_world.world.vocabulary import VOCABULARY, Language

YEAR = 2025
"""The year of the season, which dates of reports and ages refer to."""

_COUNTRIES = 4
_TOWNS, _CLUBS, _FIRMS, _SQUAD = 8, 6, 4, 4


class SeasonVocabulary(Struct, frozen=True):
    """The content of `season.toml`, where each table is described."""

    club_names: tuple[str, ...]
    nicknames: str
    grounds: tuple[str, ...]
    arenas: tuple[str, ...]
    firms: tuple[tuple[str, str], ...]
    professions: tuple[str, ...]
    match_scores: tuple[str, ...]
    tennis_scores: tuple[str, ...]
    headlines: dict[str, tuple[str, ...]]


SEASON_VOCABULARY = msgspec.toml.decode(
    Path(__file__).with_suffix(".toml").read_bytes(), type=SeasonVocabulary
)


class SeasonNation(Struct, frozen=True):
    """A country, with the names and places that builders need."""

    pool: NamePool
    demonym: str
    towns: list[Draft]


class Season(Drafts):
    """All drafts of a side in order of creation, those of reports among them."""

    def __init__(self, side: Side) -> None:
        super().__init__(side, f"recent-{side}", Words(side, "words of the season"))
        self.rng = Rng(f"recent/{side}")
        self.nations: list[SeasonNation] = []
        self.squads: dict[str, list[Draft]] = {}
        self.coaches: dict[str, Draft] = {}
        for language in self.rng.shuffled(VOCABULARY.languages)[:_COUNTRIES]:
            self._settle(language)

    def report(self, kind: str, title: str, label: str, **facts: Value | Draft) -> None:
        """Add a report. `label` is the name of its event in questions."""
        self.add(kind, title, kind, **facts).label = label

    def freeze(self) -> World:
        """All entities by id; a fifth of the people with an unambiguous initial are known by it."""
        people = self.kind("person")
        short = {person.id: f"{person.name[0]}. {person.name.split()[1]}" for person in people}
        bearers = Counter(short.values())
        for person in people:
            if bearers[short[person.id]] == 1 and self.rng.chance(20):
                person.aliases.append(short[person.id])
        return super().freeze()

    def free_name(self, make: Callable[[], str]) -> str:
        """A name that is not taken yet."""
        while True:
            name = make()
            if not self.taken(name):
                return name

    def coined(self, patterns: Sequence[str], words: Sequence[str]) -> str:
        """A free name from one of the patterns and one of the words."""
        return self.free_name(lambda: self.rng.pick(patterns).format(self.rng.pick(words)))

    def person(self, nation: SeasonNation, noun: str, ages: tuple[int, int]) -> Draft:
        """Add a person born in the country."""
        rng, pool = self.rng, nation.pool
        female = rng.chance(40)
        first_names = pool.female if female else pool.male
        name = self.free_name(lambda: f"{rng.pick(first_names)} {rng.pick(pool.surnames)}")
        draft = self.add(
            "person",
            name,
            noun,
            nationality=nation.demonym,
            born=some_date(rng, YEAR - rng.between(*ages)),
            birthplace=rng.pick(nation.towns),
        )
        draft.female = female
        return draft

    def coach(self, nation: SeasonNation, clubs: Sequence[Draft], club: Draft) -> Draft:
        """Add a football coach, who began at another of the clubs."""
        coach = self.person(nation, "football coach", (39, 66))
        coach.facts["first_club"] = self._another(clubs, club)
        return coach

    def target(self, draft: Draft, relation: str) -> Draft:
        """The draft that is the value of a relation."""
        value = draft.facts[relation]
        assert isinstance(value, Ref)
        return self[value.id]

    def _settle(self, language: Language) -> None:
        rng = self.rng
        pool = name_pool(self.words, language, people=44, places=16)
        nation = SeasonNation(pool, self.words.coin(language, ("ian", "ish", "ese"), 2), [])
        self.nations.append(nation)
        for _ in range(_TOWNS):
            self._town(nation, language)
        trainers = [self._elder(nation, "athletics trainer") for _ in range(3)]
        firms = [self._firm(nation) for _ in range(_FIRMS)]
        clubs = [self._club(nation, firms) for _ in range(_CLUBS)]
        for _ in range(3):
            referee = self.person(nation, "referee", (32, 46))
            referee.facts["profession"] = rng.pick(SEASON_VOCABULARY.professions)
            agent = self._elder(nation, "players' agent")
            agent.facts["first_club"] = rng.pick(clubs).ref
            self._ground(nation, rng.pick(nation.towns), "arena", SEASON_VOCABULARY.arenas)
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
        town = self.add(
            "town",
            self.place_name(rng, nation.pool),
            "town",
            population=Amount(rng.between(61, 940) * 100 + rng.below(100)),
            river=self.words.coin(language, ("a", "el", "an", "is")),
            region=self.words.coin(language, ("ania", "mark", "ovia"), 1),
            founded=Year(rng.between(1080, 1790)),
        )
        nation.towns.append(town)
        town.facts["mayor"] = self._elder(nation, "politician").ref

    def _elder(self, nation: SeasonNation, noun: str) -> Draft:
        """Add a person beyond playing age, with a residence."""
        elder = self.person(nation, noun, (38, 69))
        elder.facts["residence"] = self.rng.pick(nation.towns).ref
        return elder

    def _firm(self, nation: SeasonNation) -> Draft:
        rng = self.rng
        pattern, product = rng.pick(SEASON_VOCABULARY.firms)
        firm = self.add("company", self.coined((pattern,), nation.pool.surnames), "company")
        firm.facts |= {
            "headquarters": rng.pick(nation.towns).ref,
            "founder": self._elder(nation, "entrepreneur").ref,
            "founded": Year(rng.between(1958, 2012)),
            "product": product,
        }
        return firm

    def _ground(
        self, nation: SeasonNation, town: Draft, noun: str, patterns: Sequence[str]
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
        nickname = SEASON_VOCABULARY.nicknames.split()[len(self.noun("football club"))]
        name = self.coined(SEASON_VOCABULARY.club_names, nation.pool.places)
        club = self.add("club", name, "football club")
        club.facts |= {
            "town": town.ref,
            "ground": self._ground(nation, town, "stadium", SEASON_VOCABULARY.grounds).ref,
            "founded": Year(rng.between(1884, 1938)),
            "nickname": f"the {nickname}",
            "sponsor": rng.pick(firms).ref,
        }
        return club

    def _squads(self, nation: SeasonNation, clubs: Sequence[Draft], firms: Sequence[Draft]) -> None:
        """Add coaches and players, with first clubs and teachers among the existing ones."""
        rng = self.rng
        coaches = [self.coach(nation, clubs, club) for club in clubs]
        for club, coach in zip(clubs, coaches, strict=True):
            self.coaches[club.id] = coach
            squad = [self.person(nation, "footballer", (18, 35)) for _ in range(_SQUAD)]
            for player in squad:
                player.facts["youth_club"] = self._another(clubs, club)
                if rng.chance(60):
                    player.facts["mentor"] = rng.pick(coaches).ref
                if rng.chance(50):
                    player.facts["sponsor"] = rng.pick(firms).ref
            club.facts["captain"] = squad[0].ref
            self.squads[club.id] = squad

    def _another(self, clubs: Sequence[Draft], club: Draft) -> Ref:
        return self.rng.pick([candidate for candidate in clubs if candidate is not club]).ref
