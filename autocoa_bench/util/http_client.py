"""The HTTP client of model servers and search servers: one session with one retry policy.

docs/faults.md describes what happens on every fault, row by row.
"""

from __future__ import annotations

import asyncio
import html
import json
import random
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

from autocoa_bench.errors import Fault, ServerDown, UserError
from autocoa_bench.util.addresses import (
    connection_problem,
    proxy_of,
    refuses_plain_http,
    speaks_tls,
    tls_context,
    tls_problem,
)
from autocoa_bench.util.error_text import error_inside, error_text, server_message
from autocoa_bench.util.gate import LONGEST_WAIT, PATIENCE, Gate, Sleep
from autocoa_bench.util.rate_limits import is_exhausted, is_limit, named_wait, retry_seconds

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, ClientTimeout

T = TypeVar("T")

Attempt = Callable[[], Awaitable[T]]
"""One try of a request; it can be repeated."""
# All times are in seconds.
BACKOFF_BASE = 0.5
BACKOFF_CAP = 20.0
PROBE_TIMEOUT = 20.0
"""The longest wait for the reply to a probe, or to a question about the server itself."""

OUTAGE_WAITS = (0, 1, 2, 4, 8, 15, 15, 15)
"""The waits before each probe of a server that seems to be down. They add up to a minute: long
enough for a restart of llama.cpp, or of vLLM without compilation."""

PROBES_WITH_REPLACEMENT = 3
"""The number of those probes (3 s of waiting) if other servers can take over the work."""

NO_SUCH_PATH = frozenset({404, 405, 501})

_CONNECT_TIMEOUT = 10.0
# Servers close idle connections after 5 s (uvicorn, llama.cpp). The client must close them first,
# or a request meets a connection that is just being closed.
_KEEPALIVE = 4.0
_RETRIED = frozenset({408, 409})
_SHORTEST_SECRET = 8
"""A shorter key is a placeholder such as `EMPTY`, which a reply may contain by chance."""
_USERINFO = re.compile(r"//[^/\s@]*@")


class TransientError(Exception):
    """A failed attempt that may succeed when it is repeated.

    `kind` is the kind of the fault (`timeout`, `connection`, `http-500`, `bad-reply`);
    `retry_after` is the wait in seconds that the server asked for, if it did, and `text` all that
    an error reply says.
    """

    def __init__(
        self, kind: str, message: str, retry_after: float | None = None, text: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        self.text = text


class RateLimited(TransientError):
    """A request that the server refuses because it has too many; waiting helps."""


class _OutOfPatience(Exception):
    """A request that has met rate limits for too long."""

    def __init__(self, limit: RateLimited) -> None:
        super().__init__(limit)
        self.limit = limit


class BadReply(TransientError):
    """A reply that is not what the protocol promises."""

    def __init__(self, message: str) -> None:
        super().__init__("bad-reply", message)


class StatusError(Exception):
    """A reply with an error status that will not change when the request is repeated.

    `text` is all that the reply says, and `message` an excerpt.
    """

    def __init__(self, status: int, message: str, text: str = "") -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.message = message
        self.text = text
        self.kind = f"http-{status}"


class APIKey:
    """An API key and further secret headers, which are visible nowhere but in requests.

    All may be missing. Of the header of the key and a further one of that name, the latter is sent.
    """

    def __init__(self, text: str = "", headers: Mapping[str, str] = MappingProxyType({})) -> None:
        key = text.strip()
        self._headers = dict(headers)
        if key and "authorization" not in map(str.lower, headers):
            self._headers["Authorization"] = f"Bearer {key}"
        # A header such as `Basic ...` names a scheme before its secret.
        secrets = {key, *headers.values(), *(value.split(" ")[-1] for value in headers.values())}
        spellings = {
            spelling
            for secret in secrets
            if len(secret) >= _SHORTEST_SECRET
            for spelling in _spellings(secret)
        }
        # The longest comes first, because one spelling may contain another.
        self._spellings = [text.encode() for text in sorted(spellings, key=len, reverse=True)]

    def __repr__(self) -> str:
        return "APIKey(***)" if self else "APIKey()"

    def __bool__(self) -> bool:
        return bool(self._headers)

    def with_headers(self, headers: Mapping[str, str]) -> APIKey:
        """This key and further headers."""
        authorization = self._headers.get("Authorization", "")
        return APIKey(authorization.removeprefix("Bearer "), headers)

    def headers(self) -> dict[str, str]:
        """The headers that carry the key and the other secrets."""
        return dict(self._headers)

    def redact(self, text: str) -> str:
        """A text without the key, as it is or as JSON, HTML and URLs spell it."""
        data = self.redact_bytes(text.encode("utf-8", "surrogatepass"))
        return data.decode("utf-8", "surrogatepass")

    def redact_bytes(self, data: bytes) -> bytes:
        """A body without the key, likewise."""
        for spelling in self._spellings:
            data = data.replace(spelling, b"***")
        return data


def _spellings(secret: str) -> set[str]:
    """A secret as it is, and as JSON, HTML and URLs spell it."""
    in_json = json.dumps(secret)[1:-1]
    return {secret, in_json, secret.replace("/", "\\/"), html.escape(secret), quote(secret, "")}


class HTTPClient:
    """Requests to one server, at most `concurrency` at once, each of at most `timeout` seconds.

    A failed request is repeated at most `retries` times, with exponential backoff and full jitter.
    A request that meets a rate limit is repeated as often as necessary: all requests wait for the
    limit together, and fewer are in flight afterwards. Redirects are not followed, and the key is
    redacted in everything that comes back. Connections belong to the running event loop and are
    opened by its first request.
    """

    server = "the server"
    """The noun for messages."""
    fault_type: type[Fault] = Fault
    """The exception of a request whose retries are spent."""
    longest_reply = 64 << 20
    """Bytes; longer replies are cut off and count as bad."""

    def __init__(
        self,
        root: str,
        *,
        concurrency: int,
        timeout: float,
        retries: int,
        key: APIKey | None = None,
        has_replacement: Callable[[], bool] = lambda: False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`has_replacement` tells whether another server can take over: if so, an outage is not
        waited out. `sleep` is for tests.
        """
        self.root = root
        self.key = key or APIKey()
        self._concurrency = concurrency
        self._timeout = timeout
        self._retries = retries
        self._has_replacement = has_replacement
        self._sleep = sleep
        self._parts = urlsplit(root)
        self._proxy = proxy_of(self._parts)
        self._connections: _Connections | None = None
        self._answering: set[str] = set()
        self._has_told_of_limits = False
        self._speaks_tls: bool | None = None

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.session.close()

    async def send(
        self, method: str, url: str, body: bytes | None = None, timeout: float | None = None
    ) -> bytes:
        """Send one request and return the body of its reply.

        `timeout` may shorten the client's own. Raises TransientError, StatusError, or what
        `error_of` returns.
        """
        from aiohttp import ClientError

        total = min(self._timeout, timeout or self._timeout)
        try:
            async with self._open().session.request(
                method,
                url,
                data=body,
                proxy=self._proxy,
                allow_redirects=False,
                timeout=_client_timeout(total),
            ) as response:
                # A server may echo the request with its header: in an error, or as a completion.
                data = self.key.redact_bytes(await _read_body(response, self.longest_reply))
                if response.status == 200:
                    self._answering.add(url)
                    return data
                error = self.error_of(response, data)
                is_missing = isinstance(error, StatusError) and error.status in NO_SUCH_PATH
                if is_missing and url in self._answering:  # routers lose their servers in passing
                    raise TransientError(f"http-{response.status}", str(error))
                raise error
        # The order matters: aiohttp's timeouts are both a TimeoutError and a ClientError.
        except TimeoutError:
            raise TransientError("timeout", f"no reply within {total:g} s") from None
        except (ClientError, OSError, UnicodeError) as problem:
            raise await self._connection_error(problem) from None

    async def _connection_error(self, problem: Exception) -> Exception:
        """The exception for a connection that failed, without credentials."""
        from aiohttp import (
            ClientConnectorError,
            ClientHttpProxyError,
            ClientProxyConnectionError,
            InvalidURL,
        )

        host, proxy = self._parts.hostname or "", urlsplit(self._proxy or "").hostname
        remedy = f"; check the proxy variables, or set NO_PROXY={host} to do without"
        if isinstance(problem, InvalidURL):
            return UserError(f"the address {self.root} cannot be used; check it")
        if isinstance(problem, ClientHttpProxyError):
            return self._proxy_refusal(problem.status)
        text = self._redact(connection_problem(problem))
        if isinstance(problem, ClientProxyConnectionError):
            return TransientError("connection", f"the proxy at {proxy}: {text}{remedy}")
        if advice := tls_problem(problem, host):
            return UserError(f"{self.server} at {self.root} cannot be used: {advice}")
        is_plain = self._parts.scheme == "http" and not (self._proxy or self._answering)
        if is_plain and not isinstance(problem, ClientConnectorError):
            if self._speaks_tls is None:
                port = self._parts.port or 80
                self._speaks_tls = await speaks_tls(host, port, _CONNECT_TIMEOUT)
            if self._speaks_tls:
                return self._tls_expected()
        return TransientError("connection", text)

    def _proxy_refusal(self, status: int) -> Exception:
        parts = urlsplit(self._proxy or "")
        if status != 407:
            problem = f"the proxy at {parts.hostname} answers HTTP {status}"
            return TransientError("connection", problem)
        return UserError(
            f"the proxy at {parts.hostname} asks for a name and a password (HTTP 407); set "
            f"{self._parts.scheme.upper()}_PROXY={parts.scheme}://NAME:PASSWORD@HOST:PORT, or "
            f"NO_PROXY={self._parts.hostname} to do without"
        )

    def _tls_expected(self) -> UserError:
        return UserError(
            f"{self.server} at {self.root} speaks TLS at that port; give the address with https://"
        )

    def _redact(self, text: str) -> str:
        return _USERINFO.sub("//", self.key.redact(" ".join(text.split())))[:200]

    def error_of(self, reply: ClientResponse, body: bytes) -> Exception:
        """The exception to raise for a reply with another status than 200.

        `body` is its body without the key; its headers may contain the key.
        """
        status, message = reply.status, self.key.redact(server_message(body))
        text = self.key.redact(error_text(body))
        if status == 407:
            return self._proxy_refusal(status)
        if refuses_plain_http(text) and self._parts.scheme == "http":
            return self._tls_expected()
        if refusal := self.refusal_of(status, message, text, reply.headers):
            return refusal
        if status in _RETRIED or (status >= 500 and status not in NO_SUCH_PATH):
            wait = retry_seconds(reply.headers.get("Retry-After", "")) if status == 503 else None
            wait = None if wait is None else min(wait, LONGEST_WAIT)
            return TransientError(f"http-{status}", f"HTTP {status}: {message}", wait, text)
        return StatusError(status, message, text)

    def error_in(self, body: bytes) -> Exception | None:
        """The exception for a body of status 200 that reports a refusal after all."""
        status, error = error_inside(body)
        if error is None:
            return None
        message, text = server_message(error), error_text(error)
        return self.refusal_of(status, message, text, {})

    def refusal_of(
        self, status: int, message: str, text: str, headers: Mapping[str, str]
    ) -> Exception | None:
        """The exception for a refusal that does not concern the request, but the time or the user.

        `text` is all that the reply says, and `message` an excerpt. None for other refusals.
        """
        problem = f"HTTP {status}: {message}"
        if is_exhausted(status, text):
            return UserError(
                f"{self.server} at {self.root} answers no more, as a quota, a credit or a limit a "
                f"day is used up ({problem}); all recorded results are safe, and the same command "
                "resumes once there is more"
            )
        if is_limit(status, text):
            return RateLimited(f"http-{status}", problem, named_wait(headers, text), text)
        return None

    async def retry(self, attempt: Attempt[T], retries: int | None = None) -> T:
        """The first success of `attempt`. Raises a fault once the retries are spent.

        `retries` may lower the client's own.
        """
        most = self._retries if retries is None else min(retries, self._retries)
        try:
            return await retry(lambda: self._in_turn(attempt), most, self._sleep)
        except _OutOfPatience as error:
            raise self._limited_for_good(error.limit) from None
        except TransientError as error:
            raise self.fault_type(error.kind, str(error)) from None

    async def retry_through_outage(self, attempt: Attempt[T], probe: Attempt[object]) -> T:
        """The first success of `attempt`, even if the server is down for up to a minute.

        Once the retries are spent, `probe` requests what any server that is up can answer. If the
        server was up all the time, one more attempt decides; if it was down and comes back, the
        request has all its retries once more. Raises a fault if the request itself is at fault, and
        ServerDown if the server stays down, or limits all requests for an hour.
        """
        outage = self._open().outage
        retries, is_last, has_recovered = self._retries, False, False
        while True:
            recoveries = outage.recoveries
            try:
                result = await retry(lambda: self._in_turn(attempt), retries, self._sleep)
            except _OutOfPatience as error:
                # The limit may be on this request alone.
                if (error.limit.retry_after or 0.0) <= PATIENCE and await _succeeds(probe):
                    raise self.fault_type(error.limit.kind, str(error.limit)) from None
                raise self._limited_for_good(error.limit) from None
            except TransientError as error:
                fault = self.fault_type(error.kind, str(error))
                if is_last:
                    raise fault from None
                came_back = await outage.await_recovery(
                    recoveries, lambda: self._is_up(probe), str(error)
                )
                # A request that fails again after a recovery may itself bring the server down.
                if came_back and has_recovered:
                    raise fault from None
                if came_back:
                    retries, has_recovered = self._retries, True
                else:
                    retries, is_last = 0, True
            except Exception:  # the server answered, even if with a refusal
                outage.note_answer()
                raise
            else:
                outage.note_answer()
                return result

    def _open(self) -> _Connections:
        """The connections of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._connections is None or self._connections.loop is not loop:
            from aiohttp import ClientSession, DummyCookieJar, TCPConnector

            session = ClientSession(
                connector=TCPConnector(
                    limit=self._concurrency,
                    keepalive_timeout=_KEEPALIVE,
                    ssl=tls_context() if self._parts.scheme == "https" else True,
                ),
                headers={"Content-Type": "application/json", **self.key.headers()},
                cookie_jar=DummyCookieJar(),
            )
            gate = Gate(self._concurrency, self._sleep)
            outage = _Outage(f"{self.server} at {self.root}", self._has_replacement, self._sleep)
            self._connections = _Connections(loop, session, gate, outage)
        return self._connections

    async def _in_turn(self, attempt: Attempt[T]) -> T:
        """Run an attempt once it has a place, so that its timeout does not include the wait.

        Rate limits are waited for. Raises _OutOfPatience.
        """
        gate = self._open().gate
        refusals, waited = 0, 0.0
        while True:
            ticket = await gate.enter(first=refusals > 0)
            try:
                result = await attempt()
                gate.note_answer()
                return result
            except RateLimited as limit:
                refusal = limit
            finally:
                gate.leave()
            refusals += 1
            self._tell_of_limits(refusal)
            if max(gate.waited, waited, refusal.retry_after or 0.0) > PATIENCE:
                raise _OutOfPatience(refusal)
            waited += await gate.wait(ticket, refusal.retry_after, refusals)

    def _tell_of_limits(self, limit: RateLimited) -> None:
        """Say once on standard error that requests wait, and for what."""
        if self._has_told_of_limits:
            return
        self._has_told_of_limits = True
        print(
            f"{self.server} at {self.root} limits the requests ({limit}): they wait for it, and "
            "fewer are sent at once",
            file=sys.stderr,
        )

    def _limited_for_good(self, limit: RateLimited) -> ServerDown:
        wait = limit.retry_after or 0.0
        problem = (
            f"asks to wait {wait / 3600:.1f} hours"
            if wait > PATIENCE
            else f"has refused all requests for {PATIENCE / 60:.0f} minutes because of its limits"
        )
        return ServerDown(
            f"{self.server} at {self.root} {problem} ({limit}); all recorded results are safe, and "
            "the same command resumes"
        )

    async def _is_up(self, probe: Attempt[object]) -> bool:
        try:
            with suppress(StatusError):  # a refusal is an answer
                await self._in_turn(probe)
        except (TransientError, Fault):
            return False
        return True


@dataclass
class _Outage:
    """Distinguishes the failures of single requests from an outage of their server."""

    _server: str
    _has_replacement: Callable[[], bool]
    _sleep: Sleep
    recoveries: int = 0
    _down_message: str = ""
    _answers: int = 0
    _probing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def note_answer(self) -> None:
        """Record that the server answered a request."""
        self._answers += 1
        self._down_message = ""

    async def await_recovery(
        self, recoveries: int, is_up: Callable[[], Awaitable[bool]], problem: str
    ) -> bool:
        """Probe the server: True if it was down and is back, False if it was up all the time.

        `recoveries` is the count when the failed request began, and `problem` its failure. Raises
        ServerDown. One request probes at a time; the others that failed meanwhile wait for its
        result.
        """
        async with self._probing:
            if self.recoveries != recoveries:
                return True
            if not self._down_message:
                answers = self._answers
                for number, wait in enumerate(OUTAGE_WAITS):
                    if number == PROBES_WITH_REPLACEMENT and self._has_replacement():
                        break
                    await self._sleep(wait)
                    if await is_up():
                        self.recoveries += number > 0
                        return number > 0
                    if self._answers != answers:
                        # Other requests are answered: the server is too busy for the probe.
                        return False
                self._down_message = (
                    f"{self._server} has answered nothing for a minute or more ({problem}); "
                    "all recorded results are safe, and the same command resumes once it is back"
                )
            raise ServerDown(self._down_message)


class _Connections(NamedTuple):
    """The part of a client that is bound to one event loop."""

    loop: asyncio.AbstractEventLoop
    session: ClientSession
    gate: Gate
    outage: _Outage


async def _succeeds(attempt: Attempt[object]) -> bool:
    try:
        await attempt()
    except (TransientError, StatusError, Fault):
        return False
    return True


async def retry(attempt: Attempt[T], retries: int, sleep: Sleep = asyncio.sleep) -> T:
    """The first success of `attempt`, with exponential backoff and full jitter between tries.

    Raises the last TransientError once the retries are spent.
    """
    tries = 0
    while True:
        try:
            return await attempt()
        except TransientError as error:
            tries += 1
            if tries > retries:
                raise
            wait = error.retry_after
        if wait is None:
            # Full jitter: many requests that failed together must not come back together.
            wait = random.uniform(0, min(BACKOFF_CAP, BACKOFF_BASE * 2 ** (tries - 1)))
        await sleep(wait)


@lru_cache(maxsize=16)
def _client_timeout(total: float) -> ClientTimeout:
    from aiohttp import ClientTimeout

    return ClientTimeout(total=total, sock_connect=_CONNECT_TIMEOUT)


async def _read_body(response: ClientResponse, longest: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > longest:
            raise BadReply(f"a reply of more than {longest >> 20} MiB")
    return b"".join(chunks)
