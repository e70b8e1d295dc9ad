"""Football clubs and their finals, battles, and festivals."""

from __future__ import annotations

from tasks.closed_world.entities import Amount, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.draft import Atlas, Draft, Nation, some_date
from tasks.closed_world.world.organisations import free_name
from tasks.closed_world.world.people import active_person, office_holder
from tasks.closed_world.world.vocabulary import VOCABULARY


def add_events(atlas: Atlas, clubs: int, events: int) -> None:
    """Add clubs with grounds and managers, then finals, battles and festivals."""
    for nation in atlas.nations:
        rng = Rng(f"{atlas.side}/events/{nation.draft.id}")
        teams = [_club(atlas, rng, nation) for _ in range(clubs)]
        for _ in range(events):
            _final(atlas, rng, nation, teams)
            _battle(atlas, rng, nation)
            _festival(atlas, rng, nation)


def _club(atlas: Atlas, rng: Rng, nation: Nation) -> Draft:
    ground = atlas.add(
        "stadium",
        free_name(atlas, rng, rng.pick(("{} Park", "{} Road", "{} Lane")), nation.pool.surnames),
        "stadium",
        nation.draft.id,
    )
    opened = rng.between(1921, 1955)
    town = rng.pick(nation.towns)
    ground.facts |= {
        "town": town.ref,
        "opened": Year(opened),
        "capacity": Amount(rng.between(41, 612) * 100 + rng.below(99)),
    }
    pattern = rng.pick(("{} United", "{} Rovers", "{} Athletic", "{} Wanderers", "{} Albion"))
    club = atlas.add(
        "club",
        free_name(atlas, rng, pattern, nation.pool.places),
        "football club",
        nation.draft.id,
    )
    club.facts |= {
        "town": town.ref,
        "founded": Year(rng.between(1884, 1920)),
        "ground": ground.ref,
        "nationality": nation.demonym,
    }
    if rng.chance(80):
        club.facts["manager"] = office_holder(atlas, rng, nation, ("footballer",)).ref
    if rng.chance(50):
        club.facts["nickname"] = rng.pick(VOCABULARY.nicknames)
    return club


def _final(atlas: Atlas, rng: Rng, nation: Nation, clubs: list[Draft]) -> None:
    winner, loser, host = rng.shuffled(clubs)[:3]
    year = rng.between(1956, 2019)
    name = f"{year} {nation.demonym} Cup Final"
    if atlas.taken(name):
        return
    final = atlas.add("final", name, "football match", nation.draft.id)
    final.article = True
    final.facts |= {
        "winner": winner.ref,
        "loser": loser.ref,
        "venue": host.facts["ground"],
        "date": some_date(rng, year),
        "scorer": active_person(atlas, rng, nation, "footballer", year, cap=2).ref,
        "attendance": Amount(rng.between(9000, 61000)),
    }


def _battle(atlas: Atlas, rng: Rng, nation: Nation) -> None:
    war = 1884 + 7 * (int(nation.draft.id[-2:]) % 5)
    year = war + rng.below(5)
    pattern = f"Battle of {{}} {rng.pick(('Bridge', 'Field', 'Hill', 'Marsh'))}"
    battle = atlas.add(
        "battle", free_name(atlas, rng, pattern, nation.pool.places), "battle", nation.draft.id
    )
    battle.article = True
    victor = active_person(atlas, rng, nation, "army officer", year, cap=2)
    loser = active_person(atlas, rng, nation, "army officer", year, cap=2)
    battle.facts |= {
        "date": some_date(rng, year),
        "place": rng.pick(nation.towns).ref,
        "war": f"the {nation.demonym} Civil War",
        "victor": victor.ref,
    }
    if loser is not victor:
        battle.facts["defeated"] = loser.ref


def _festival(atlas: Atlas, rng: Rng, nation: Nation) -> None:
    pattern = f"{{}} {rng.pick(VOCABULARY.festival_themes)} Festival"
    name = free_name(atlas, rng, pattern, nation.pool.places)
    year = rng.between(1925, 2005)
    festival = atlas.add("festival", name, "festival", nation.draft.id)
    festival.article = True
    trade = rng.pick(("poet", "journalist", "painter", "historian", "entrepreneur"))
    festival.facts |= {
        "town": rng.pick(nation.towns).ref,
        "founded": Year(year),
        "founder": active_person(atlas, rng, nation, trade, year, cap=2).ref,
    }
