"""A command that is stopped says how to go on, and ends with the exit code of its signal."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.util.commands import command_line
from support.interrupt import Interrupter, heed_ctrl_c
from support.mock_server import MockServer
from support.towns import reply, write_task

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sends this process a signal, whatever the shell of the tests ignores."""
    before = {number: signal.getsignal(number) for number, _ in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    yield signal.raise_signal
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_stop_names_the_command_that_goes_on(
    number: signal.Signals,
    code: int,
    ctrl_c: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/autocoa-bench", "synth", "coa", "--out", "a b"])
    with pytest.raises(typer.Exit) as stop, stopped_safely():
        ctrl_c(number)
    assert stop.value.exit_code == code
    assert "the same command resumes:\n  autocoa-bench synth coa --out 'a b'\n" in (
        capsys.readouterr().err
    )
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_command_that_holds_a_password_is_not_printed(
    ctrl_c: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["autocoa-bench", "run", "--base-url", "http://a:pw@host"])
    with pytest.raises(typer.Exit), stopped_safely():
        ctrl_c(signal.SIGTERM)
    assert capsys.readouterr().err.endswith("the same command resumes\n")


def test_a_signal_that_is_ignored_stays_so(ctrl_c: Callable[[int], None]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    with stopped_safely():
        ctrl_c(signal.SIGHUP)


def test_a_terminal_that_is_gone_does_not_hide_the_stop(ctrl_c: Callable[[int], None]) -> None:
    def work() -> None:
        try:
            ctrl_c(signal.SIGHUP)
        finally:
            raise OSError(5, "Input/output error")

    with pytest.raises(typer.Exit) as stop, stopped_safely():
        work()
    assert stop.value.exit_code == 129


@pytest.mark.parametrize(("number", "code"), SIGNALS[1:])
def test_a_run_that_a_signal_stops_is_resumed_by_the_line_that_it_prints(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    interrupter = Interrupter(reply, number, requests=9)
    folder = tmp_path / "my runs"
    folder.mkdir()
    tasks, corpus = write_task(folder, 12)
    with MockServer(interrupter, models=("mock",)) as server:
        command = ["run", "--solver", "agent:shots=0", "--tasks", tasks, "--corpus", corpus]
        command += ["--model", "mock", "--base-url", server.url, "--out", str(folder / "out")]
        environment = {**os.environ, "AUTOCOA_BENCH_CACHE": str(tmp_path / "cache")}
        interrupter.process = process = subprocess.Popen(
            [sys.executable, "-m", "autocoa_bench", *command],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            preexec_fn=heed_ctrl_c,
        )  # fmt: skip
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert shlex.split(errors.splitlines()[-1]) == ["autocoa-bench", *command]


@pytest.mark.parametrize(
    "name", ["plain", "a b", "ace/ün/[red]x", "it's", "$HOME", "-rf", "a;b&c", "*", "~x"]
)
def test_a_hint_works_when_it_is_pasted(name: str) -> None:
    program = "import sys; print(repr(sys.argv[1:]))"
    printing = shlex.join([sys.executable, "-c", program])
    line = command_line("show", Path(name)).replace("autocoa-bench", printing, 1)
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    shown = f"./{name}" if name.startswith("-") else name
    assert done.stdout.strip() == repr(["show", shown])
