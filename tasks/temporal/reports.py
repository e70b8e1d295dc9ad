"""The events of the season: 97 reports in the order of their dates, as many as in the paper."""

from __future__ import annotations

from functools import cache

from tasks.closed_world.entities import MONTHS, Amount, Date, Side, World
from tasks.closed_world.world.draft import Draft
from tasks.temporal.season import YEAR, Season

_FIRST, _LAST = Date(YEAR, 1, 16), Date(YEAR, 3, 7)
"""The first and last dates of the paper's reports."""

COUNTS = {"match": 40, "transfer": 16, "appointment": 11, "final": 10, "race": 10, "meeting": 10}
"""The number of reports by kind: 97 in all."""

_SCORES = ("1–0", "2–1", "3–2", "2–0", "3–1", "4–2")
_SETS = ("6–4, 6–3", "7–6, 6–2", "3–6, 6–4, 7–5", "6–2, 4–6, 6–4", "7–5, 6–4")
_HEADLINES = {
    "match": ("{0} beat {1}", "{0} edge out {1}", "Late goal decides {0} against {1}"),
    "transfer": ("{0} sign {1}", "{1} moves to {0}", "{0} complete deal for {1}"),
    "appointment": ("New coach at {0}", "{0} change coach", "{0} turn to {1}"),
    "final": ("{1} wins {0}", "{0} goes to {1}", "Title at {0} for {1}"),
    "race": ("{1} takes {0}", "{0}: {1} first at the line", "Solo win for {1} in {0}"),
    "meeting": ("Record at {0}", "{1} sets record at {0}", "Best jump of the year at {0}"),
}


@cache
def world(side: Side) -> World:
    """The profiles and reports of a side by id. The two sides share no word of a name."""
    season = Season(side)
    kinds = [kind for kind, count in COUNTS.items() for _ in range(count)]
    tell = {
        "match": _match,
        "transfer": _transfer,
        "appointment": _appointment,
        "final": _final,
        "race": _race,
        "meeting": _meeting,
    }
    for number, kind in enumerate(season.rng.shuffled(kinds)):
        tell[kind](season, _day(number, len(kinds)))
    return season.freeze()


def _day(number: int, of: int) -> Date:
    """The date of a report, by its position among all reports."""
    days = [
        Date(YEAR, month, day)
        for month, last in ((1, 31), (2, 28), (3, 31))
        for day in range(1, last + 1)
    ]
    days = [day for day in days if _FIRST <= day <= _LAST]
    return days[number * len(days) // of]


def written(date: Date) -> str:
    """A date in the form that questions and titles use."""
    return f"{date.day} {MONTHS[date.month - 1]} {date.year}"


def _title(season: Season, kind: str, date: Date, *names: str) -> str:
    line = season.rng.pick(_HEADLINES[kind]).format(*names)
    return f"{line[:1].upper()}{line[1:]} ({written(date)})"


def _clubs(season: Season) -> list[Draft]:
    """Two random clubs of a country."""
    nation = season.rng.below(len(season.nations))
    clubs = season.of("football club")
    size = len(clubs) // len(season.nations)
    return season.rng.shuffled(clubs[nation * size : (nation + 1) * size])[:2]


def _match(season: Season, date: Date) -> None:
    rng = season.rng
    winner, loser = _clubs(season)
    host = rng.pick((winner, winner, loser))
    label = f"the match between {winner.name} and {loser.name} on {written(date)}"
    season.report(
        "match",
        "match",
        _title(season, "match", date, winner.name, loser.name),
        label,
        {
            "date": date,
            "winner": winner,
            "loser": loser,
            "score": rng.pick(_SCORES),
            "venue": season.target(host, "ground"),
            "scorer": rng.pick(season.squads[winner.id]),
            "best": rng.pick(season.squads[loser.id]),
            "referee": rng.pick(season.of("referee")),
            "attendance": Amount(rng.between(24, 290) * 100 + rng.below(100)),
        },
    )


def _transfer(season: Season, date: Date) -> None:
    """Report the transfer of a player who is not the captain; nobody moves twice."""
    rng = season.rng
    while True:
        buyer, seller = _clubs(season)
        movable = [
            player
            for player in season.squads[seller.id][1:]
            if player.roles == 0 and season.target(player, "youth_club") is not buyer
        ]
        announced = f"the signing that {buyer.name} announced on {written(date)}"
        if len(movable) > 1 and all(report.label != announced for report in season.reports):
            break
    player = rng.pick(movable)
    player.roles = 1
    season.squads[seller.id].remove(player)
    season.squads[buyer.id].append(player)
    season.report(
        "transfer",
        "transfer",
        _title(season, "transfer", date, buyer.name, player.name),
        announced,
        {
            "date": date,
            "buyer": buyer,
            "player": player,
            "seller": seller,
            "agent": rng.pick(season.of("players' agent")),
            "fee": Amount(rng.between(3, 88) * 100_000, "crowns"),
        },
    )


def _appointment(season: Season, date: Date) -> None:
    """Report the new coach of a club that has not changed its coach yet."""
    rng = season.rng
    waiting = [club for club in season.of("football club") if club.roles == 0]
    club = rng.pick(waiting)
    club.roles = 1
    clubs = season.of("football club")
    nation = season.nations[clubs.index(club) * len(season.nations) // len(clubs)]
    rivals = [rival for rival in clubs if rival is not club]
    coach = season.person(nation, "football coach", (39, 66))
    coach.facts["first_club"] = rng.pick(rivals).ref
    season.report(
        "appointment",
        "appointment",
        _title(season, "appointment", date, club.name, coach.name),
        f"the change of coach at {club.name} on {written(date)}",
        {
            "date": date,
            "club": club,
            "coach": coach,
            "predecessor": season.coaches[club.id],
            "contract": Amount(rng.between(14, 40), "months"),
        },
    )
    season.coaches[club.id] = coach


def _named(season: Season, pattern: str) -> str:
    """A new name for an event, after a town."""
    towns = [town.name for nation in season.nations for town in nation.towns]
    name = season.coined((pattern,), towns)
    season.add_name(name)
    return name


def _pair(season: Season, noun: str) -> list[Draft]:
    """Two rivals of the same sex."""
    first, *rivals = season.rng.shuffled(season.of(noun))
    return [first, next(rival for rival in rivals if rival.female == first.female)]


def _final(season: Season, date: Date) -> None:
    rng = season.rng
    name = _named(season, "{} Open")
    winner, loser = _pair(season, "tennis player")
    season.report(
        "final",
        "final",
        _title(season, "final", date, f"the {name}", winner.name),
        f"the final of the {name} on {written(date)}",
        {
            "date": date,
            "tournament": f"the {name}",
            "winner": winner,
            "loser": loser,
            "score": rng.pick(_SETS),
            "venue": rng.pick(season.of("arena")),
            "duration": Amount(rng.between(71, 204), "minutes"),
        },
    )


def _race(season: Season, date: Date) -> None:
    rng = season.rng
    name = _named(season, "{} Classic")
    winner, second = _pair(season, "cyclist")
    start, finish = rng.shuffled(rng.pick(season.nations).towns)[:2]
    season.report(
        "race",
        "race",
        _title(season, "race", date, f"the {name}", winner.name),
        f"the cycling race {name} of {written(date)}",
        {
            "date": date,
            "race": f"the {name}",
            "winner": winner,
            "second": second,
            "start": start,
            "finish": finish,
            "distance": Amount(rng.between(128, 241), "kilometres"),
        },
    )


def _meeting(season: Season, date: Date) -> None:
    rng = season.rng
    name = _named(season, "{} Indoor Meeting")
    holder, former = _pair(season, "high jumper")
    heights = (88, 99) if holder.female else (11, 38)
    season.report(
        "meeting",
        "meeting",
        _title(season, "meeting", date, f"the {name}", holder.name),
        f"the {name} of {written(date)}",
        {
            "date": date,
            "meeting": f"the {name}",
            "record_setter": holder,
            "former_holder": former,
            "venue": rng.pick(season.of("arena")),
            "sponsor": rng.pick(season.of("company")),
            "height": f"{1 if holder.female else 2}.{rng.between(*heights)} metres",
        },
    )
