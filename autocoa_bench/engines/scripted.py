"""An engine that replays a script: for tests, without a model or a socket."""

from collections.abc import Callable, Iterable

from autocoa_bench.engines.turns import first_stop
from autocoa_bench.errors import EngineFault
from autocoa_bench.types import Completion, EngineSpec, Generate, Sampling

Reply = Callable[[Generate, Sampling], str | Completion]


class ScriptedEngine:
    """Completions from a function of the request, or from texts in order.

    A text is cut at the first stop string, which is part of it only with `keep_stop`, and at
    `max_tokens`; a token is a run of text between spaces. A `Completion` is returned as it is.
    `requests` records all requests.
    """

    def __init__(self, reply: Reply | Iterable[str], *, keep_stop: bool = False) -> None:
        self._reply = reply if callable(reply) else _in_order(reply)
        self._keep_stop = keep_stop
        self.requests: list[Generate] = []

    async def start(self) -> EngineSpec:
        """Return the spec; there is nothing to prepare."""
        return EngineSpec(engine="scripted", model="scripted", protocol="scripted")

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return the script's next `n` replies. Raises EngineFault at the end of the script."""
        self.requests.append(request)
        replies = [self._reply(request, sampling) for _ in range(n)]
        return [
            reply if isinstance(reply, Completion) else self._complete(reply, request)
            for reply in replies
        ]

    async def close(self) -> None:
        """Do nothing; there is nothing to release."""

    def _complete(self, text: str, request: Generate) -> Completion:
        stop_string = first_stop(text, request.stop)
        position = len(text) if stop_string is None else text.find(stop_string)
        if stop_string is not None and self._keep_stop:
            position += len(stop_string)
        tokens = text[:position].split(" ")
        is_too_long = len(tokens) > request.max_tokens
        opening = " ".join(message.content for message in request.prompt.opening)
        return Completion(
            text=" ".join(tokens[: request.max_tokens]),
            stop_reason="length" if is_too_long else "stop",
            stop_string=None if is_too_long else stop_string,
            prompt_tokens=len(f"{opening} {request.prompt.continuation}".split()),
            completion_tokens=min(len(tokens), request.max_tokens),
        )


def _in_order(texts: Iterable[str]) -> Reply:
    remaining = iter(list(texts))

    def reply(*_: Generate | Sampling) -> str:
        try:
            return next(remaining)
        except StopIteration:
            raise EngineFault("script-ended", "the script has no text left") from None

    return reply
