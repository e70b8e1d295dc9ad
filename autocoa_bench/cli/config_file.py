"""The options of a command in a TOML file: `--config` reads and `--save-config` writes them.

Each key is the name of an option without its dashes, and its value is what would follow the option;
an option that can be repeated takes a list. Options on the command line and variables of the
environment override the file.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.registry import unknown
from autocoa_bench.util.files import read_limited
from autocoa_bench.util.json_lines import write_files

_LONGEST = 1 << 20  # bytes
_OUTSIDE = ("config", "save-config", "help")
"""Options about the file itself."""


def save_config(context: typer.Context, file: Path, more: Mapping[str, str]) -> None:
    """Write the options of a command that were given anywhere, and `more`, to a file.

    Raises UserError where it cannot be written.
    """
    values = {
        key: context.params[option.name]
        for key, option in _options(context).items()
        if (source := context.get_parameter_source(option.name)) and source.name != "DEFAULT"
    }
    values |= {key: value for key, value in more.items() if value and key not in values}
    command = context.info_name
    lines = [f"# The options of autocoa-bench {command} (--config).\n"]
    lines += [f"{key} = {_toml(value)}\n" for key, value in values.items() if value is not None]
    write_files(file.parent, {file.name: "".join(lines).encode()})


def _load(context: typer.Context, file: Path | None) -> Path | None:
    """Make the file's values the defaults of the command's options. Raises UserError."""
    if file is None:
        return None
    try:
        values = tomllib.loads(read_limited(file, _LONGEST).decode())
    except OSError as error:
        raise UserError(f"cannot read the configuration '{file}': {error.strerror}") from None
    except UNREADABLE as error:
        raise UserError(f"the configuration '{file}' is not TOML: {error}") from None
    options = _options(context)
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        if key not in options:
            raise unknown(f"key in the configuration '{file}':", key, sorted(options))
        option = options[key]
        try:
            words = list(_words(value))
            given = words if option.multiple else ",".join(words)
            option.process_value(context, given)
        except (typer.BadParameter, TypeError) as error:
            problem = getattr(error, "message", error)
            raise UserError(
                f"the configuration '{file}' has {key} = {value!r}: {problem}"
            ) from None
        defaults[option.name] = given
    context.default_map = defaults
    return file


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="A TOML file with options of this command, which options given here override.",
        is_eager=True,
        callback=_load,
    ),
]
SavedConfig = Annotated[
    Path | None, typer.Option("--save-config", help="Write the options given to this TOML file.")
]


def _options(context: typer.Context) -> dict[str, Any]:
    """The command's options by the names that they have in a file."""
    named = {
        option.opts[0].removeprefix("--"): option
        for option in context.command.params
        if option.param_type_name == "option"
    }
    return {key: option for key, option in named.items() if key not in _OUTSIDE}


def _words(value: Any) -> Iterator[str]:
    """A value as the words that one would write on the command line. Raises TypeError."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise TypeError("it takes a text, a number or a list of these")
        yield str(item)


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    # TOML has the escapes of JSON, but for one character that JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
