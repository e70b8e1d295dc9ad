"""Trainings in processes of their own: killed at a chosen place, or several that train together.

The processes are forked from a server that has imported PyTorch once, so each starts at once. The
server itself computes nothing, so there are no threads that a fork would lose.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rich.console import Console

from agent_model.training.metrics import StepMetrics

Train = Callable[[Any, Path, Console], Path]
"""`sft.train` or `grpo.train.train`."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["agent_model.training.sft", "agent_model.training.grpo.train"])


def resumed_step(before: Sequence[StepMetrics], after: Sequence[StepMetrics]) -> int:
    """The step that the later of two sessions resumed from, by their rows of metrics.csv.

    Rows of steps that were not repeated are the same in their measured times, too.
    """
    pairs = zip(before, after, strict=False)
    repeated = (i for i, (old, new) in enumerate(pairs) if old != new)
    return next(repeated, min(len(before), len(after)))


def kill_at(place: str, train: Train, config: Any, out: Path) -> None:
    """Train up to a place such as `4-row` or `12-checkpoint`, and kill the process there."""
    reader, writer = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_train_to, args=(place, train, config, out, writer))
    process.start()
    writer.close()
    try:
        assert reader.recv() == "reached"  # EOFError if the process ends before
    finally:
        process.kill()
        process.join()


def train_together(train: Train, config: Any, outs: Sequence[Path]) -> list[str]:
    """Train in as many processes as there are folders; returns each one's error, empty if none."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    readers, processes = [], []
    for rank, out in enumerate(outs):
        reader, writer = _CONTEXT.Pipe(duplex=False)
        environment = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": len(outs),
            "LOCAL_WORLD_SIZE": len(outs),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "ACCELERATE_USE_CPU": "true",
            "AUTOCOA_BENCH_CACHE": os.environ.get("AUTOCOA_BENCH_CACHE", ""),
        }
        arguments = (train, config, out, environment, writer)
        processes.append(_CONTEXT.Process(target=_train_rank, args=arguments))
        readers.append(reader)
        processes[-1].start()
        writer.close()
    errors = [str(reader.recv()) for reader in readers]
    for process in processes:
        process.join()
    return errors


def _train_to(place: str, train: Train, config: Any, out: Path, writer: Connection) -> None:
    from agent_model.training import metrics, model

    step, stage = place.split("-")
    append, save = metrics.MetricsFile.append, model.Policy.save
    last = [0]

    def wait() -> None:
        writer.send("reached")
        signal.pause()

    def append_and_wait(self: Any, row: StepMetrics) -> None:
        append(self, row)
        last[0] = row.step
        if stage == "row" and row.step == int(step):
            wait()

    def save_and_wait(self: Any, folder: Path, *rest: Any) -> None:
        save(self, folder, *rest)
        if stage == "checkpoint" and last[0] == int(step):
            wait()

    metrics.MetricsFile.append = append_and_wait  # type: ignore[method-assign]
    model.Policy.save = save_and_wait  # type: ignore[method-assign]
    train(config, out, Console(file=io.StringIO()))


def _train_rank(
    train: Train, config: Any, out: Path, environment: dict[str, Any], writer: Connection
) -> None:
    os.environ.update({name: str(value) for name, value in environment.items()})
    try:
        train(config, out, Console(file=io.StringIO()))
        writer.send("")
    except BaseException as error:
        writer.send(f"{type(error).__name__}: {error}")
        raise
