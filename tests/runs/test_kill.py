"""kill -9 at any moment loses nothing that was recorded, and resuming repeats none of it."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.interrupt import Interrupter
from support.mock_server import MockServer, is_probe
from support.towns import reply, town_of, write_task

pytestmark = pytest.mark.slow

QUESTIONS = 160
KILLS = 10


def records(run: Path) -> dict[str, Any]:
    """The records by question, without times."""
    by_question = {}
    for line in (run / "records.jsonl").read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            record = json.loads(line)
            record.pop("seconds")
            record.pop("crc32")
            for step in record["trajectory"]["steps"]:
                step.pop("generate_seconds", None)
                step.pop("search_seconds", None)
            by_question[record["question"]["id"]] = record
    return by_question


def start(server: MockServer, folder: Path, out: Path) -> "subprocess.Popen[bytes]":
    tasks, corpus = write_task(folder, QUESTIONS)
    command = [sys.executable, "-m", "autocoa_bench", "run", "--solver", "agent:shots=0"]
    command += ["--tasks", tasks, "--corpus", corpus, "--model", "mock", "--base-url", server.url]
    command += ["--concurrency", "8", "--out", str(out)]
    environment = {**os.environ, "AUTOCOA_BENCH_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(process: "subprocess.Popen[bytes]") -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def test_ten_kills_leave_the_records_of_an_uninterrupted_run(tmp_path: Path) -> None:
    rng, killer = random.Random(7), Interrupter(reply, signal.SIGKILL)
    with MockServer(killer) as server:
        finish(start(server, tmp_path, tmp_path / "whole"))
        recorded: set[int] = set()
        for _ in range(KILLS):
            before = len(server.requests)
            killer.requests = rng.randint(12, 45)
            killer.process = process = start(server, tmp_path, tmp_path / "killed")
            process.communicate(timeout=120)
            assert process.returncode == -signal.SIGKILL
            numbers = {town_of(body) for body in server.requests[before:] if not is_probe(body)}
            assert not numbers & recorded, "a recorded question was asked again"
            recorded |= {int(key[1:]) for key in records(tmp_path / "killed")}
        assert 0 < len(recorded) < QUESTIONS
        finish(start(server, tmp_path, tmp_path / "killed"))
    assert records(tmp_path / "killed") == records(tmp_path / "whole")
