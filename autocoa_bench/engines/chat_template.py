"""Rendering of chat templates, which are programs that came with a model.

transformers runs them in a sandbox without files or network; the limits of time and size are ours.
Each is tried in a process of its own first, whose single operations are limited as well.
"""

import ctypes
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from autocoa_bench.engines import chat_template_trial
from autocoa_bench.errors import UserError

SECONDS = 10.0
"""The time for one conversation; real templates take milliseconds."""
LONGEST = 16 << 20
"""The most characters of a rendered conversation."""
MEMORY = 1 << 30
"""The bytes of the process in which a template is tried."""

_tried: set[tuple[str, bool]] = set()
"""Templates, each with and without tools, for which they may take another way."""


class _TimeIsUp(BaseException):
    """Raised inside a template; no handler of `Exception` on the way holds it up."""


def render(
    tokenizer: Any,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    *,
    open_turn: bool = False,
) -> str:
    """The messages as the tokenizer's chat template writes them, with the `tools` that they offer;
    `open_turn` adds the head of the assistant's next turn.

    Raises UserError where the template fails, or exceeds the limits.
    """
    own = "use another model, or put a chat_template.jinja of your own beside it"
    name = f"the chat template of '{tokenizer.name_or_path}'"
    try:
        _try(tokenizer, messages, tools)
        with _time_limit(SECONDS):
            text = str(
                tokenizer.apply_chat_template(
                    list(messages),
                    tools=list(tools) if tools else None,
                    add_generation_prompt=open_turn,
                    tokenize=False,
                )
            )
    except (_TimeIsUp, RecursionError):
        raise UserError(f"{name} does not end (limit: {SECONDS:g} s); {own}") from None
    except MemoryError:
        raise UserError(f"{name} needs more memory than a template may use; {own}") from None
    except Exception as error:  # noqa: BLE001, a template raises whatever its expressions raise
        problem = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name} fails: {problem[:400]}") from None
    if len(text) > LONGEST:
        raise UserError(f"{name} writes more than {LONGEST >> 20} million characters; {own}")
    return text


def _try(
    tokenizer: Any,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
) -> None:
    """Render a template that is new to this process elsewhere.

    Raises what `render` catches where that takes too much memory or time.
    """
    named = tokenizer.chat_template  # one template, or several by name
    template = named if isinstance(named, str) else tokenizer.get_chat_template()
    if (template, bool(tools)) in _tried:
        return
    variables: dict[str, Any] = {"messages": list(messages), "add_generation_prompt": True}
    if tools:
        variables["tools"] = list(tools)
    request = {"template": template, "variables": {**tokenizer.special_tokens_map, **variables}}
    command = [sys.executable, "-P", chat_template_trial.__file__]
    limits = {"memory": MEMORY, "seconds": SECONDS}
    content = msgspec.json.encode({**request, **limits}, enc_hook=str)
    ended = subprocess.run(command, input=content, capture_output=True, check=False)  # noqa: S603
    if ended.returncode == -signal.SIGPROF:
        raise _TimeIsUp
    if ended.returncode == chat_template_trial.NEEDS_MEMORY:
        raise MemoryError
    _tried.add((template, bool(tools)))


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
