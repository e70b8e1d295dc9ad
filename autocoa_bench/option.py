"""The declaration of a command-line option, beside the field of the record that it fills.

A record's field carries it as `Annotated[int, Option(help="Passages per search.", min=1)] = 3`;
`autocoa_bench.cli.config_options` turns the fields of a record into the options of a command.
"""

from __future__ import annotations

from typing import NamedTuple


class Option(NamedTuple):
    """The option that fills a field. The field's name, type and default are also the option's.

    `flags` replace the flag that the field's name gives. A number lies between `min` and `max`; a
    default below `min` stands for a value that the record works out, and help does not show it.
    `needs` names another field of the record without which the option has no effect.

    A tuple is filled by a repeatable option, or with `commas` by one list separated by commas. A
    string with `repeat` is filled by a repeatable option, whose values are joined by commas.
    `metavar` is what help calls the value.
    """

    help: str
    flags: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    needs: str = ""
    commas: bool = False
    repeat: bool = False
    metavar: str | None = None
