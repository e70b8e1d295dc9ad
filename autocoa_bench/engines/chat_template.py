"""Rendering of chat templates, which are programs that came with a model.

transformers runs them in a sandbox without files or network; the limits of time and size are ours.
"""

import ctypes
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from autocoa_bench.errors import UserError

SECONDS = 10.0
"""The time for one conversation; real templates take milliseconds."""
LONGEST = 16 << 20
"""The most characters of a rendered conversation."""


class _TimeIsUp(BaseException):
    """Raised inside a template; no handler of `Exception` on the way holds it up."""


def render(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, open_turn: bool = False
) -> str:
    """The messages as the tokenizer's chat template writes them; `open_turn` adds the head of the
    assistant's next turn.

    Raises UserError where the template fails, or exceeds the limits.
    """
    own = "use another model, or put a chat_template.jinja of your own beside it"
    name = f"the chat template of '{tokenizer.name_or_path}'"
    try:
        with _time_limit(SECONDS):
            text = str(
                tokenizer.apply_chat_template(
                    list(messages), add_generation_prompt=open_turn, tokenize=False
                )
            )
    except (_TimeIsUp, RecursionError):
        raise UserError(f"{name} does not end (limit: {SECONDS:g} s); {own}") from None
    except MemoryError:
        raise UserError(f"{name} needs more memory than there is; {own}") from None
    except Exception as error:  # noqa: BLE001, a template raises whatever its expressions raise
        problem = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name} fails: {problem[:400]}") from None
    if len(text) > LONGEST:
        raise UserError(f"{name} writes more than {LONGEST >> 20} million characters; {own}")
    return text


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _TimeIsUp in this thread, whichever it is, between two of its Python instructions."""
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    thread = ctypes.c_ulong(threading.get_ident())
    lock = threading.Lock()
    has_ended = False

    def stop() -> None:
        with lock:
            if not has_ended:
                raise_in(thread, ctypes.py_object(_TimeIsUp))

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            has_ended = True
            raise_in(thread, None)  # it was raised, but the template ended first
