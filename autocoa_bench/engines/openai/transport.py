"""HTTP to a model server: one request, its retries, and when to hold the server for down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from autocoa_bench.engines.openai import context_errors, protocol
from autocoa_bench.engines.openai.addresses import KEY_VARIABLES, Key, redirect_target
from autocoa_bench.errors import CONTEXT, EngineFault, UserError
from autocoa_bench.util.http_retry import (
    Failure,
    Outage,
    Sleep,
    proxy_for,
    read_body,
    reason,
    retry_seconds,
    retrying,
    server_message,
)

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

PROBE_SECONDS = 20.0
"""How long a probe, or a question about the server itself, waits for its reply."""

_CONNECT_SECONDS = 10.0
_RETRIED = {408, 409, 429}
_REDIRECTS = {301, 302, 303, 307, 308}
NO_SUCH_PATH = frozenset({404, 405, 501})
# Servers close idle connections after 5 s (uvicorn, llama.cpp); ours must go first, or a request
# meets a connection that is just being closed.
_KEEPALIVE_SECONDS = 4.0
_LONGEST_REPLY = 64 << 20

T = TypeVar("T")


class Status(Exception):
    """A reply with an error status that another try cannot better."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Transport:
    """Requests to one server, at most `concurrency` at once, each of at most `timeout` seconds.

    A failed one is tried again at most `retries` times, with exponential backoff and full jitter,
    or after what the server's Retry-After says. No redirect is followed, and the key is taken out
    of all that comes back.
    """

    def __init__(
        self,
        root: str,
        key: Key,
        *,
        concurrency: int,
        timeout: float,
        retries: int,
        spared: Callable[[], bool],
        sleep: Sleep,
    ) -> None:
        self._root = root
        self._key = key
        self._concurrency = concurrency
        self._timeout = timeout
        self._retries = retries
        self._sleep = sleep
        self._outage = Outage(f"the model server at {root}", spared, sleep)
        self._proxy = proxy_for(root)
        self._session: ClientSession | None = None
        self._slots = asyncio.Semaphore(concurrency)

    def open(self) -> None:
        """Make ready to send."""
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

        self._session = ClientSession(
            connector=TCPConnector(limit=self._concurrency, keepalive_timeout=_KEEPALIVE_SECONDS),
            headers={"Content-Type": "application/json", **self._key.headers()},
            timeout=ClientTimeout(total=self._timeout),
            cookie_jar=DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def retrying(self, attempt: Callable[[], Awaitable[T]], retries: int | None = None) -> T:
        """The first success of `attempt`. Raises EngineFault once the retries are spent."""
        tries = self._retries if retries is None else retries
        try:
            return await retrying(self._in_turn(attempt), tries, self._sleep)
        except Failure as failure:
            raise EngineFault(failure.kind, str(failure)) from None

    async def enduring(
        self, attempt: Callable[[], Awaitable[T]], probe: Callable[[], Awaitable[object]]
    ) -> T:
        """The same through an outage of about a minute (see `net.Outage`).

        `probe` is a request that any server up can answer. Raises EngineFault where the failure
        is the request's own, and ServerDown where the server stays down.
        """

        async def is_up() -> bool:
            try:
                await self._in_turn(probe)()
            except Status:
                return True
            except (Failure, EngineFault):
                return False
            return True

        try:
            return await self._outage.enduring(self._in_turn(attempt), is_up, self._retries)
        except Failure as failure:
            raise EngineFault(failure.kind, str(failure)) from None

    def _in_turn(self, attempt: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        """A try once a slot is free. It raises Failure for a reply that cannot be read."""

        async def once() -> T:
            async with self._slots:
                try:
                    return await attempt()
                except protocol.BadReply as error:
                    raise Failure("bad-reply", str(error)) from None

        return once

    async def exchange(
        self, method: str, url: str, body: bytes | None = None, timeout: float | None = None
    ) -> bytes:
        """One request and the body of its reply.

        Raises Failure, Status, EngineFault of the kind `context`, or UserError.
        """
        from aiohttp import ClientError, ClientTimeout

        assert self._session is not None, "start() comes before generate()"
        total = min(self._timeout, timeout or self._timeout)
        try:
            async with self._session.request(
                method,
                url,
                data=body,
                proxy=self._proxy,
                allow_redirects=False,
                timeout=ClientTimeout(total=total, sock_connect=_CONNECT_SECONDS),
            ) as response:
                data = self._key.hidden_in_bytes(await read_body(response, _LONGEST_REPLY))
                if response.status == 200:
                    return data
                error = self._error(url, response, data)
        except TimeoutError:
            raise Failure("timeout", f"no reply within {total:g} s") from None
        except (ClientError, OSError, UnicodeError) as failed:
            raise Failure("connection", reason(failed, self._key.hidden_in)) from None
        raise error

    def _error(self, url: str, response: ClientResponse, data: bytes) -> Exception:
        status = response.status
        message = self._key.hidden_in(server_message(data))
        if status in (401, 402, 403):
            problem = "refuses the key" if self._key else "asks for a key"
            return UserError(
                f"{self._root} {problem} (HTTP {status}: {message}); set {KEY_VARIABLES[0]} or "
                f"{KEY_VARIABLES[1]} to a valid one, or give --key-file"
            )
        if status in _REDIRECTS:
            location = self._key.hidden_in(response.headers.get("Location", ""))
            return UserError(
                f"{url} redirects to {redirect_target(url, location)} (HTTP {status}); redirects "
                "are not followed: give the address as --base-url"
            )
        if context_errors.too_long(status, message):
            return EngineFault(CONTEXT, f"HTTP {status}: {message}{context_errors.counts(data)}")
        if status in _RETRIED or (status >= 500 and status not in NO_SUCH_PATH):
            after = response.headers.get("Retry-After") if status in (429, 503) else None
            return Failure(f"http-{status}", f"HTTP {status}: {message}", retry_seconds(after))
        return Status(status, message)
