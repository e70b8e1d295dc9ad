"""What a nano base reads: of each text the part that can be foreseen is learned."""

import re
from itertools import islice
from random import Random

import pytest

from agent_model.nano import base_text
from tasks.nano.readings import readings
from tasks.nano.world import NanoSide, names_by_side

SIDES: tuple[NanoSide, ...] = ("test", "train", "base")


def learned(parts: tuple[str, ...]) -> list[str]:
    return list(parts[1::2])


def test_of_a_statement_its_last_word_is_learned() -> None:
    [first, *_] = base_text.statements(Random(0))
    assert "".join(first).count(".") == len(learned(first))
    assert all(word.isalpha() for word in learned(first))


def test_of_a_reading_the_answers_are_learned_and_stand_in_what_was_told() -> None:
    for parts in islice(base_text.readings(), 50):
        told = parts[0].split("?")[0]
        answers = learned(parts)
        assert 4 <= len(answers) <= 8
        assert all(answer in told for answer in answers)


def test_what_a_reading_says_does_not_hold_in_the_next() -> None:
    told = " ".join(reading.text for reading in readings(5000))
    towns: dict[str, list[str]] = {}
    for name, town in re.findall(r"The birthplace of (\w+) is (\w+)\.", told):
        towns.setdefault(name, []).append(town)
    several = [found for found in towns.values() if len(found) > 3]
    assert len(several) > 50
    assert sum(len(set(found)) > len(found) / 2 for found in several) > 0.95 * len(several)


@pytest.mark.parametrize("side", SIDES)
def test_names_of_all_sides_come_in_readings(side: NanoSide) -> None:
    told = " ".join(reading.text for reading in readings(2000))
    names = [name for kind in names_by_side()[side].values() for name in kind]
    assert sum(name in told for name in names) > len(names) * 0.95
