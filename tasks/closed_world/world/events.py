"""Football clubs and their finals, battles, and festivals."""

from tasks.closed_world.entities import Amount, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.country import CountryBuilder
from tasks.closed_world.world.draft import Atlas, Draft, some_date
from tasks.closed_world.world.vocabulary import VOCABULARY


def add_events(atlas: Atlas, clubs: int, events: int) -> None:
    """Add clubs with grounds and managers, then finals, battles and festivals."""
    for nation in atlas.nations:
        rng = Rng(f"{atlas.side}/events/{nation.draft.id}")
        builder = CountryBuilder(atlas, nation, rng)
        teams = [_club(builder) for _ in range(clubs)]
        for _ in range(events):
            _add_final(builder, teams)
            _add_battle(builder)
            _add_festival(builder)


def _club(builder: CountryBuilder) -> Draft:
    rng, nation = builder.rng, builder.nation
    pattern = rng.pick(("{} Park", "{} Road", "{} Lane"))
    ground = builder.add("stadium", builder.free_name(pattern, nation.pool.surnames))
    opened = rng.between(1921, 1955)
    town = rng.pick(nation.towns)
    ground.facts |= {
        "town": town.ref,
        "opened": Year(opened),
        "capacity": Amount(rng.between(41, 612) * 100 + rng.below(99)),
    }
    pattern = rng.pick(("{} United", "{} Rovers", "{} Athletic", "{} Wanderers", "{} Albion"))
    club = builder.add(
        "club",
        builder.free_name(pattern, nation.pool.places),
        "football club",
        town=town,
        founded=Year(rng.between(1884, 1920)),
        ground=ground,
        nationality=nation.demonym,
    )
    if rng.chance(80):
        club.facts["manager"] = builder.office_holder("footballer").ref
    if rng.chance(50):
        club.facts["nickname"] = rng.pick(VOCABULARY.nicknames)
    return club


def _add_final(builder: CountryBuilder, clubs: list[Draft]) -> None:
    rng = builder.rng
    winner, loser, host = rng.shuffled(clubs)[:3]
    year = rng.between(1956, 2019)
    name = f"the {year} {builder.nation.demonym} Cup Final"
    if builder.atlas.taken(name):
        return
    final = builder.add("final", name, "football match")
    final.facts |= {
        "winner": winner.ref,
        "loser": loser.ref,
        "venue": host.facts["ground"],
        "date": some_date(rng, year),
        "scorer": builder.active_person("footballer", year, cap=2).ref,
        "attendance": Amount(rng.between(9000, 61000)),
    }


def _add_battle(builder: CountryBuilder) -> None:
    rng, nation = builder.rng, builder.nation
    war = 1884 + 7 * (int(nation.draft.id[-2:]) % 5)
    year = war + rng.below(5)
    pattern = f"the Battle of {{}} {rng.pick(('Bridge', 'Field', 'Hill', 'Marsh'))}"
    battle = builder.add("battle", builder.free_name(pattern, nation.pool.places))
    victor = builder.active_person("army officer", year, cap=2)
    loser = builder.active_person("army officer", year, cap=2)
    battle.facts |= {
        "date": some_date(rng, year),
        "place": builder.town(),
        "war": f"the {nation.demonym} Civil War",
        "victor": victor.ref,
    }
    if loser is not victor:
        battle.facts["defeated"] = loser.ref


def _add_festival(builder: CountryBuilder) -> None:
    rng = builder.rng
    pattern = f"the {{}} {rng.pick(VOCABULARY.festival_themes)} Festival"
    name = builder.free_name(pattern, builder.nation.pool.places)
    year = rng.between(1925, 2005)
    festival = builder.add("festival", name)
    trade = rng.pick(("poet", "journalist", "painter", "historian", "entrepreneur"))
    festival.facts |= {
        "town": builder.town(),
        "founded": Year(year),
        "founder": builder.active_person(trade, year, cap=2).ref,
    }
