"""Errors that a user or a report reads."""

from importlib import import_module
from typing import Any

UNREADABLE = (ValueError, RecursionError)
"""The exceptions of decoding untrusted JSON: bad syntax or types, invalid UTF-8, nesting that is
too deep for any real file."""

CONTEXT = "context"
"""The kind of the `EngineFault` of a prompt that is too long for the engine."""


class UserError(Exception):
    """Bad input. The message tells what was given, what is accepted and what to do.

    `exit_code` is the exit status of the command line.
    """

    exit_code = 2


class ServerDown(UserError):
    """A server that no longer answers: the run stops, and can be resumed once it is back."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: the same command may succeed later


class StoppedEarly(UserError):
    """A training that ended itself before its last step, and left a usable model as its result."""

    exit_code = 3


class MissingExtra(UserError):
    """A feature whose packages are an extra that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the extra '{extra}': pip install 'autocoa-bench[{extra}]'"
        )


def import_extra(module: str, feature: str, extra: str) -> Any:
    """Import a module of an extra for a feature that needs it. Raises MissingExtra."""
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtra(feature, extra) from None


class Incomparable(UserError):
    """Runs whose numbers do not belong in one table."""


class Fault(Exception):
    """A failure of the harness on one question (a server, a search engine); never a score of 0.

    `kind` is a short stable name (`timeout`, `connection`, `http-500`, `bad-reply`, ...), by which
    reports list faults.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class EngineFault(Fault):
    """A failure of a model server, after its retries."""


class SearchFault(Fault):
    """A failure of a search engine, after its retries."""
