"""The world of a side, generated from the seed."""

from functools import cache

from tasks.closed_world.entities import Side, World
from tasks.closed_world.world import events, organisations, people, places, works
from tasks.closed_world.world.draft import Atlas


@cache
def world(side: Side) -> World:
    """The entities of a side by id. The two sides share no entity and no word of a name."""
    atlas = Atlas(side)
    places.add_countries(atlas, countries=8 if side == "test" else 11, towns=26)
    organisations.add_universities(atlas, count=5)
    people.add_families(atlas, couples=13 if side == "test" else 15)
    organisations.add_companies(atlas, trades=9)
    works.add_works(
        atlas, {"novel": 20, "film": 30, "series": 9, "band": 6, "album": 15, "song": 12}
    )
    places.add_buildings(atlas, buildings=9)
    organisations.add_awards(atlas, count=6)
    events.add_events(atlas, clubs=7, events=6)
    places.add_office_holders(atlas, mayors=45)
    people.add_careers(atlas)
    return atlas.freeze()
