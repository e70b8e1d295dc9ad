"""Kills a training run at a chosen place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

_BLOCKING = """
import signal, sys
from agent_model.training import metrics, model

at, stage = sys.argv.pop(1).split("-")
reached = [0]
add, save = metrics.MetricsFile.append, model.Policy.save

def added(self, row):
    add(self, row)
    reached[0] = row.step
    if stage == "row" and row.step == int(at):
        wait()

def saved(self, folder, *rest):
    save(self, folder, *rest)
    if stage == "checkpoint" and reached[0] == int(at):
        wait()

def wait():
    print("reached", flush=True)
    signal.pause()

metrics.MetricsFile.append, model.Policy.save = added, saved
from autocoa_bench.cli import main
main()
"""
"""The command line, standing still at step N after its row, or while its checkpoint is written."""


def kill_at(where: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a training command up to a place such as `4-row` or `12-checkpoint`, and kill it there
    (SIGKILL)."""
    line = [sys.executable, "-c", _BLOCKING, where, *arguments]
    with subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"reached\n"
        process.kill()
