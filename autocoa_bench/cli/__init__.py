"""The command line. Each module has one command or group, `options` what commands share.

May import: everything. Nothing imports it, except commands of other packages."""

from autocoa_bench.cli.main import main

__all__ = ["main"]
