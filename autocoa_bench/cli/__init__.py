"""The command line: each module has a command, or a group of commands.

`main` puts them together and is the console entry point. `options_from_config` makes options from
the records that they fill, `common` has the options that several commands share, `output` prints
and writes results, and `interrupts` ends commands that a signal stops. May import: everything. Only
commands of other packages import it."""

from autocoa_bench.cli.main import main

__all__ = ["main"]
