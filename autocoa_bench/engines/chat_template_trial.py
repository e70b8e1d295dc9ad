"""The first rendering of a chat template, as a program whose memory and time are limited.

A template can ask one operation for gigabytes or hours (`'a' * 10**10`, `9 ** (9 ** 9)`), and no
exception interrupts an operation. What is rendered does not matter here, only what it takes.
Standard input: JSON with `template`, `variables`, `memory` (bytes) and `seconds`.
"""

import json
import resource
import signal
import sys
from contextlib import suppress
from typing import Any

NEEDS_MEMORY = 3
"""The exit code where the memory does not suffice. A process that takes too long is killed by
SIGPROF; any other result means that the template keeps to the limits, whatever it renders."""


def main() -> int:
    """Render the template; return the exit code."""
    request = json.load(sys.stdin)
    with suppress(ImportError):
        return _render(**request)
    return 0


def _render(template: str, variables: dict[str, Any], memory: int, seconds: float) -> int:
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """`{% generation %}` marks the assistant's part, for training."""

        tags = {"generation"}  # noqa: RUF012, as in the class above it

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(
        value, ensure_ascii=False, indent=options.get("indent")
    )
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda shape: shape
    with suppress(ValueError, OSError):  # the limit is lower already, or the system has none
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        environment.from_string(template).render(**variables)
    except MemoryError:
        return NEEDS_MEMORY
    except Exception:  # noqa: BLE001, it is rendered again in the process that reports errors
        return 0
    return 0


def _raise(message: str) -> None:
    raise ValueError(message)


if __name__ == "__main__":
    sys.exit(main())
