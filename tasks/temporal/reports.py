"""The events of the season: 97 reports in the order of their dates, as many as in the paper."""

import datetime
from functools import cache

from tasks.closed_world.entities import Amount, Date, Side, World
from tasks.closed_world.text.grammar import capitalise
from tasks.closed_world.world.draft import Draft
from tasks.temporal.season import SEASON_VOCABULARY, YEAR, Season

_FIRST, _LAST = datetime.date(YEAR, 1, 16), datetime.date(YEAR, 3, 7)
"""The first and last dates of the paper's reports."""

COUNTS = {"match": 40, "transfer": 16, "appointment": 11, "final": 10, "race": 10, "meeting": 10}
"""The number of reports by kind: 97 in all."""


@cache
def world(side: Side) -> World:
    """The profiles, then the reports of a side by id. The two sides share no word of a name."""
    season = Season(side)
    kinds = [kind for kind, count in COUNTS.items() for _ in range(count)]
    reporters = {
        "match": _report_match,
        "transfer": _report_transfer,
        "appointment": _report_appointment,
        "final": _report_final,
        "race": _report_race,
        "meeting": _report_meeting,
    }
    days = (_LAST - _FIRST).days + 1
    for number, kind in enumerate(season.rng.shuffled(kinds)):
        day = _FIRST + datetime.timedelta(number * days // len(kinds))
        reporters[kind](season, Date(day.year, day.month, day.day))
    entities = season.freeze()
    return dict(sorted(entities.items(), key=lambda item: item[1].kind in COUNTS))


def _title(season: Season, kind: str, date: Date, *names: str) -> str:
    headline = season.rng.pick(SEASON_VOCABULARY.headlines[kind]).format(*names)
    return f"{capitalise(headline)} ({date.spellings[0]})"


def _clubs(season: Season) -> list[Draft]:
    """Two random clubs of a country."""
    nation = season.rng.below(len(season.nations))
    clubs = season.noun("football club")
    size = len(clubs) // len(season.nations)
    return season.rng.shuffled(clubs[nation * size : (nation + 1) * size])[:2]


def _report_match(season: Season, date: Date) -> None:
    rng = season.rng
    winner, loser = _clubs(season)
    host = rng.pick((winner, winner, loser))
    season.report(
        "match",
        _title(season, "match", date, winner.name, loser.name),
        f"the match between {winner.name} and {loser.name} on {date.spellings[0]}",
        date=date,
        winner=winner,
        loser=loser,
        score=rng.pick(SEASON_VOCABULARY.match_scores),
        venue=season.target(host, "ground"),
        scorer=rng.pick(season.squads[winner.id]),
        best=rng.pick(season.squads[loser.id]),
        referee=rng.pick(season.noun("referee")),
        attendance=Amount(rng.between(24, 290) * 100 + rng.below(100)),
    )


def _report_transfer(season: Season, date: Date) -> None:
    """Report the transfer of a player who is not the captain; nobody moves twice."""
    rng = season.rng
    while True:
        buyer, seller = _clubs(season)
        movable = [
            player
            for player in season.squads[seller.id][1:]
            if player.roles == 0 and season.target(player, "youth_club") is not buyer
        ]
        announced = f"the signing that {buyer.name} announced on {date.spellings[0]}"
        labels = {report.label for report in season.kind("transfer")}
        if len(movable) > 1 and announced not in labels:
            break
    player = rng.pick(movable)
    player.roles = 1
    season.squads[seller.id].remove(player)
    season.squads[buyer.id].append(player)
    season.report(
        "transfer",
        _title(season, "transfer", date, buyer.name, player.name),
        announced,
        date=date,
        buyer=buyer,
        player=player,
        seller=seller,
        agent=rng.pick(season.noun("players' agent")),
        fee=Amount(rng.between(3, 88) * 100_000, "crowns"),
    )


def _report_appointment(season: Season, date: Date) -> None:
    """Report the new coach of a club that has not changed its coach yet."""
    clubs = season.noun("football club")
    club = season.rng.pick([club for club in clubs if club.roles == 0])
    club.roles = 1
    nation = season.nations[clubs.index(club) * len(season.nations) // len(clubs)]
    coach = season.coach(nation, clubs, club)
    season.report(
        "appointment",
        _title(season, "appointment", date, club.name, coach.name),
        f"the change of coach at {club.name} on {date.spellings[0]}",
        date=date,
        club=club,
        coach=coach,
        predecessor=season.coaches[club.id],
        contract=Amount(season.rng.between(14, 40), "months"),
    )
    season.coaches[club.id] = coach


def _event_name(season: Season, pattern: str) -> str:
    """A new name for an event, after a town."""
    towns = [town.name for nation in season.nations for town in nation.towns]
    name = season.coined((pattern,), towns)
    season.reserve(name, "")
    return name


def _rivals(season: Season, noun: str) -> list[Draft]:
    """Two rivals of the same sex."""
    first, *others = season.rng.shuffled(season.noun(noun))
    return [first, next(rival for rival in others if rival.female == first.female)]


def _report_final(season: Season, date: Date) -> None:
    rng = season.rng
    name = _event_name(season, "{} Open")
    winner, loser = _rivals(season, "tennis player")
    season.report(
        "final",
        _title(season, "final", date, f"the {name}", winner.name),
        f"the final of the {name} on {date.spellings[0]}",
        date=date,
        tournament=f"the {name}",
        winner=winner,
        loser=loser,
        score=rng.pick(SEASON_VOCABULARY.tennis_scores),
        venue=rng.pick(season.noun("arena")),
        duration=Amount(rng.between(71, 204), "minutes"),
    )


def _report_race(season: Season, date: Date) -> None:
    rng = season.rng
    name = _event_name(season, "{} Classic")
    winner, second = _rivals(season, "cyclist")
    start, finish = rng.shuffled(rng.pick(season.nations).towns)[:2]
    season.report(
        "race",
        _title(season, "race", date, f"the {name}", winner.name),
        f"the cycling race {name} of {date.spellings[0]}",
        date=date,
        race=f"the {name}",
        winner=winner,
        second=second,
        start=start,
        finish=finish,
        distance=Amount(rng.between(128, 241), "kilometres"),
    )


def _report_meeting(season: Season, date: Date) -> None:
    rng = season.rng
    name = _event_name(season, "{} Indoor Meeting")
    holder, former = _rivals(season, "high jumper")
    heights = (88, 99) if holder.female else (11, 38)
    season.report(
        "meeting",
        _title(season, "meeting", date, f"the {name}", holder.name),
        f"the {name} of {date.spellings[0]}",
        date=date,
        meeting=f"the {name}",
        record_setter=holder,
        former_holder=former,
        venue=rng.pick(season.noun("arena")),
        sponsor=rng.pick(season.noun("company")),
        height=f"{1 if holder.female else 2}.{rng.between(*heights)} metres",
    )
