"""A side's whole world, from the seed."""

from __future__ import annotations

from functools import cache

from tasks.closed_world.entities import Side, World
from tasks.closed_world.world import events, organisations, people, places, works
from tasks.closed_world.world.draft import Atlas

_COUNTRIES = {"test": 8, "train": 11}
_COUPLES = {"test": 13, "train": 15}


@cache
def world(side: Side) -> World:
    """The side's entities by id. The two sides share no entity and no name word."""
    atlas = Atlas(side)
    places.settle(atlas, countries=_COUNTRIES[side], towns=26)
    organisations.found_universities(atlas, count=5)
    people.populate(atlas, couples=_COUPLES[side])
    organisations.found_companies(atlas, trades=9)
    works.make_works(
        atlas, {"novel": 20, "film": 30, "series": 9, "band": 6, "album": 15, "song": 12}
    )
    places.build(atlas, buildings=9)
    organisations.establish_awards(atlas, count=6)
    events.stage_events(atlas, clubs=7, events=6)
    places.govern(atlas, mayors=45)
    people.finish_lives(atlas)
    return atlas.freeze()
