"""Commands that are stopped: by Ctrl-C, by SIGTERM, or by the end of their terminal (SIGHUP)."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import typer

from autocoa_bench.util.commands import own_command_line

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_safely(
    advice: str = "what was recorded is safe, and the same command resumes",
) -> Iterator[None]:
    """At Ctrl-C, SIGTERM or SIGHUP, print the command that resumes and exit with 130, 143 or 129.

    A command that leaves nothing to resume has no advice, and is not printed.
    A signal that the process ignores, as SIGHUP under nohup, stays ignored.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # What handles Ctrl-C, such as an event loop, handles the other signals in the same way.
        handler = signal.getsignal(signal.SIGINT)
        (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)

    try:
        with _handled(stop):
            yield
    except (KeyboardInterrupt, OSError) as error:
        # Writing to a terminal that is gone raises OSError while the command stops.
        if isinstance(error, OSError) and not received:
            raise
        parts = ["\nstopped"]
        if advice:
            parts.append(f"; {advice}")
            if command := own_command_line():
                parts.append(f":\n  {command}")
        with suppress(OSError):
            typer.echo("".join(parts), err=True)
        raise typer.Exit(128 + (received or [signal.SIGINT])[0]) from None


@contextmanager
def _handled(handler: object) -> Iterator[None]:
    """Install a handler of the signals; only the main thread can, others leave them alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = [number for number, action in earlier.items() if action == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, handler)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
