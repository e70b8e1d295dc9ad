"""Commands of this project in messages, quoted so that a shell reads them as they are meant."""

import shlex
import sys
from pathlib import Path


def command_line(*arguments: str | Path) -> str:
    """The line `autocoa-bench ARGUMENTS`, each argument quoted; a path is never an option."""
    words = [
        f"./{argument}" if isinstance(argument, Path) and str(argument)[:1] == "-" else argument
        for argument in arguments
    ]
    return shlex.join(("autocoa-bench", *map(str, words)))


def own_command_line() -> str:
    """The line that started this process; empty where it holds a password, which nothing prints."""
    arguments = sys.argv[1:]
    if any("://" in argument and "@" in argument for argument in arguments):
        return ""
    return command_line(*arguments)
