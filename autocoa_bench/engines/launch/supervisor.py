"""Runs a command until its own standard input closes; a script that `engines.child` starts.

However the process at the other end of that pipe goes (an exception, SIGTERM, `kill -9`), the
kernel closes it, and the command is stopped: first by SIGTERM, then by SIGKILL, and with it all
that it has started. Imports nothing of this project, so as to be there at once.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

STOP_SECONDS = 15.0
"""How long a command may take to stop of its own accord."""


def supervise(command: list[str]) -> int:
    """Run a command to its end; returns its exit code, as shells tell it."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    threading.Thread(target=_stop_when_left, args=(child,), daemon=True).start()
    code = child.wait()
    _kill_group(child.pid)
    return code if code >= 0 else 128 - code


def _stop_when_left(child: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 4096):
        pass
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        _kill_group(child.pid)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses for zombies
        os.killpg(leader, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
