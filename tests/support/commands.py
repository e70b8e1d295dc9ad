"""Calls the command line in this process, as its console entry point does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from autocoa_bench.cli.main import main


class Done(NamedTuple):
    """How a call ended, and what it wrote."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *first: str) -> Cli:
    """A function that calls `autocoa-bench` with the words `first` and its own arguments."""
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["autocoa-bench", *first, *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Done(code, *capsys.readouterr())

    return call


def refused(done: Done, *said: str) -> None:
    """Exit code 2, one error, no traceback, and it says what helps."""
    assert done.code == 2
    assert "Traceback" not in done.err
    assert done.err.count("error:") == 1
    for words in said:
        assert words in done.err
