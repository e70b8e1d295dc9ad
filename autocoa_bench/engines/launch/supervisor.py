"""A script that runs a command until its own standard input closes.

`SubprocessServer` starts it. When the process at the other end of the pipe ends, in whatever way
(an exception, SIGTERM, `kill -9`), the kernel closes the pipe. The command and all processes that
it has started are then stopped, first by SIGTERM, then by SIGKILL. The script imports nothing of
this project, so that it starts at once.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

STOP_SECONDS = 15.0
"""The time that a command has to stop after SIGTERM."""


def supervise(command: list[str]) -> int:
    """Run a command to its end and return its exit code, 128 + N for signal N as in shells."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    threading.Thread(target=_stop_when_abandoned, args=(child,), daemon=True).start()
    code = child.wait()
    _kill_group(child.pid)
    return code if code >= 0 else 128 - code


def _stop_when_abandoned(child: "subprocess.Popen[bytes]") -> None:
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
