"""Limits of a server's connections: no slow, idle or greedy client keeps another from an answer."""

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web
from msgspec import Struct

_QUEUE = 1024
"""Connections that the system keeps waiting."""

_ACCEPTED_AT_ONCE = 8
"""asyncio takes some rounds of this many before the first of them can be closed again."""

_MOST = 4096
_OWN_FILES = 64
"""Descriptors that are left for the files and connections of the search engine."""


class Limits(Struct, frozen=True):
    """Seconds that a server waits for the head of a first request, for a body, and for a client to
    take a reply and send its next request; and the most connections, by default as many as this
    process has descriptors for.
    """

    head_seconds: float = 10.0
    body_seconds: float = 30.0
    reply_seconds: float = 120.0
    connections: int = 0


class Connections:
    """The open connections of a server.

    Those that wait for their client have a deadline. Where there are too many, the one that has
    waited longest is closed; a request that is being answered never is.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most = limits.connections or _descriptors()
        self._open: set[asyncio.BaseTransport] = set()
        self._deadlines: dict[asyncio.BaseTransport, float] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def protocol(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        """A protocol within the limits."""
        return _Connection(inner, self)

    async def answer(
        self, request: web.Request, handler: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The handler's response, once the body is here. Raises HTTPRequestTimeout."""
        transport = request.transport
        if transport is None:  # the client has gone
            return await handler()
        try:
            if not request.content.is_eof():
                self._expect(transport, self._limits.body_seconds + 1)
                await _read_in_time(request, self._limits.body_seconds)
            self._deadlines.pop(transport, None)
            return await handler()
        finally:
            if transport in self._open:
                self._expect(transport, self._limits.reply_seconds)

    def add(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch a connection."""
        if len(self._open) >= self._most:
            oldest = next(iter(self._deadlines), transport)
            self.remove(oldest)
            oldest.abort()  # type: ignore[attr-defined]
            if oldest is transport:
                return
        self._open.add(transport)
        self._expect(transport, self._limits.head_seconds)
        if self._sweep is None:
            self._end_overdue()

    def remove(self, transport: asyncio.BaseTransport) -> None:
        """Forget a connection; safe to call twice."""
        self._open.discard(transport)
        self._deadlines.pop(transport, None)

    def _expect(self, transport: asyncio.BaseTransport, seconds: float) -> None:
        self._deadlines.pop(transport, None)  # the dictionary's order is that of the waits
        self._deadlines[transport] = asyncio.get_running_loop().time() + seconds

    def _end_overdue(self) -> None:
        """Close what is overdue; called again as long as there are connections."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for transport, end in list(self._deadlines.items()):
            if end <= now:
                self.remove(transport)
                transport.abort()  # type: ignore[attr-defined]
        pause = min(1.0, self._limits.head_seconds / 4)
        self._sweep = loop.call_later(pause, self._end_overdue) if self._open else None


class _Connection(asyncio.Protocol):
    """A connection that is watched, in front of the protocol that reads its requests."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._transport: asyncio.BaseTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._inner.connection_made(transport)
        self._connections.add(transport)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.remove(self._transport)
        self._inner.connection_lost(error)


class LimitedSite(web.BaseSite):
    """An address that a runner serves within the limits."""

    def __init__(
        self, runner: web.BaseRunner, connections: Connections, host: str, port: int
    ) -> None:
        super().__init__(runner)
        self._connections = connections
        self._address = host, port

    @property
    def name(self) -> str:
        """The address."""
        return "{}:{}".format(*self._address)

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await super().start()
        make = self._runner.server
        assert make is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._connections.protocol(make()), *self._address, backlog=_ACCEPTED_AT_ONCE
        )
        for listening in self._server.sockets:
            # asyncio has one number for both; a full queue would delay clients by seconds.
            with socket.fromfd(listening.fileno(), listening.family, listening.type) as copy:
                copy.listen(_QUEUE)


async def _read_in_time(request: web.Request, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None


def _descriptors() -> int:
    """The descriptors of this process that connections may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST
    return max(8, min(_MOST, soft - 8 * _ACCEPTED_AT_ONCE - _OWN_FILES))
