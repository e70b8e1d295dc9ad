"""Stopping a process in the middle of its work, at a request that it sends."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from support.mock_server import Body, Reply


def heed_ctrl_c() -> None:
    """For Popen's `preexec_fn`: a background job ignores SIGINT, one under nohup SIGHUP, and
    their children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def has_ended(process: int) -> bool:
    """Whether a process is gone, or a zombie that nobody has collected."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Interrupter:
    """The replies of a model that sends `process`, which asks it, a signal.

    The signal is sent at the request that uses up `requests`, before the reply to it.
    """

    def __init__(self, reply: Reply, number: signal.Signals, requests: int = 0) -> None:
        self.reply = reply
        self.number = number
        self.requests = requests
        self.process: subprocess.Popen[bytes] | subprocess.Popen[str] | None = None

    def __call__(self, body: Body) -> str:
        """The reply to a request; called in the server's thread."""
        self.requests -= 1
        if self.requests == 0:
            assert self.process is not None
            self.process.send_signal(self.number)
        return self.reply(body)
