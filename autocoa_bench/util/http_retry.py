"""What clients of HTTP servers share: proxies, errors, retries, and replies of bounded size."""

from __future__ import annotations

import asyncio
import math
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from autocoa_bench.errors import UNREADABLE, ServerDown

if TYPE_CHECKING:
    from aiohttp import ClientResponse

T = TypeVar("T")

Sleep = Callable[[float], Awaitable[None]]

RETRY_AFTER_CAP = 60.0
BACKOFF_BASE = 0.5
BACKOFF_CAP = 20.0
"""Seconds."""

OUTAGE_WAITS = (0, 1, 2, 4, 8, 15, 15, 15)
"""Seconds before each probe of a server that seems down. Together a minute: long enough for
llama.cpp or vLLM without compilation to start again, short enough not to keep a person waiting."""

SPARED_PROBES = 3
"""So many of those probes, 3 s of waiting, where other servers can take over."""

_USERINFO = re.compile(r"//[^/\s@]*@")


class Failure(Exception):
    """A try that another may better: its fault's kind, and the seconds the server asks for."""

    def __init__(self, kind: str, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.after = after


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    retries: int,
    sleep: Sleep = asyncio.sleep,
) -> T:
    """The first success of `attempt`, with exponential backoff and full jitter between tries.

    Raises the last Failure once the retries are spent.
    """
    tries = 0
    while True:
        try:
            return await attempt()
        except Failure as failure:
            tries += 1
            if tries > retries:
                raise
            after = failure.after
        # Full jitter: many requests that failed together must not come back together.
        longest = min(BACKOFF_CAP, BACKOFF_BASE * 2 ** (tries - 1))
        await sleep(random.uniform(0, longest) if after is None else after)


class Outage:
    """Tells a request's own failures from its server's, for the requests of one event loop."""

    def __init__(
        self,
        server: str,
        spared: Callable[[], bool] = lambda: False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`server` is named in the message, such as `the search server at http://...`.

        `spared` says whether other servers can take over.
        """
        self._server = server
        self._spared = spared
        self._sleep = sleep
        self._down = ""
        self._answers = 0
        self._recoveries = 0
        self._probing = asyncio.Lock()

    async def enduring(
        self,
        attempt: Callable[[], Awaitable[T]],
        probe: Callable[[], Awaitable[bool]],
        retries: int,
    ) -> T:
        """The first success of `attempt`, through an outage of about a minute.

        Where its tries are spent, the server may be down: `probe` asks what any server up can
        answer, and says whether it did. If so, one more try decides; if the server comes back, the
        request has all its tries once again. Raises Failure where the failure is the request's
        own, and ServerDown where the server stays down.
        """
        tries, last, recovered = retries, False, False
        while True:
            recoveries = self._recoveries
            try:
                found = await retrying(attempt, tries, self._sleep)
            except Failure as failure:
                if last:
                    raise
                back = await self._came_back(recoveries, probe, str(failure))
                if back and recovered:  # it may be this very request that brings the server down
                    raise
                tries, last, recovered = (retries, False, True) if back else (0, True, recovered)
            except Exception:  # a refusal is an answer too
                self._answered()
                raise
            else:
                self._answered()
                return found

    def _answered(self) -> None:
        self._answers += 1
        self._down = ""

    async def _came_back(
        self, recoveries: int, probe: Callable[[], Awaitable[bool]], said: str
    ) -> bool:
        """Whether the server was down and is back; False where it is up. Raises ServerDown."""
        async with self._probing:
            if self._recoveries != recoveries:
                return True
            if not self._down:
                answers = self._answers
                for number, wait in enumerate(OUTAGE_WAITS):
                    if number == SPARED_PROBES and self._spared():
                        break
                    await self._sleep(wait)
                    if await probe():
                        self._recoveries += number > 0
                        return number > 0
                    if self._answers != answers:  # so busy that the probe had no turn
                        return False
                self._down = (
                    f"{self._server} has answered nothing for a minute or more ({said}); what was "
                    "recorded is safe, and the same command resumes once it is back"
                )
            raise ServerDown(self._down)


async def read_body(response: ClientResponse, longest: int) -> bytes:
    """A reply's body. Raises Failure for one of more than `longest` bytes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > longest:
            raise Failure("bad-reply", f"a reply of more than {longest >> 20} MiB")
    return b"".join(chunks)


def server_address(url: str) -> SplitResult | None:
    """The parts of an http or https address with a host; None for anything else."""
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port or a bracket that cannot be read
        return None
    return parts if usable else None


def server_message(data: bytes) -> str:
    """What an error's body says, as one line of at most 300 characters."""
    try:
        found = msgspec.json.decode(data)
    except UNREADABLE:
        return excerpt(data)
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(key):
            found = cast("dict[str, Any]", found)[key]
    return excerpt(found.encode() if isinstance(found, str) else msgspec.json.encode(found))


def excerpt(data: bytes | Sequence[int]) -> str:
    """The first 300 characters of a body, as one line."""
    text = " ".join(bytes(data[:1200]).decode("utf-8", "replace").split())[:300]
    return "".join(char if char.isprintable() else "?" for char in text)


def proxy_for(base_url: str) -> str | None:
    """The proxy that the environment names for a host; never one for this machine itself."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1" or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


def reason(error: Exception, hidden: Callable[[str], str] = str) -> str:
    """A connection error in a few words, `hidden` taking out what they must not quote."""
    number = getattr(error, "errno", None)
    said = os.strerror(number) if number and number > 0 else str(error) or type(error).__name__
    said = _USERINFO.sub("//", hidden(" ".join(said.split())))[:200]
    return said[:1].lower() + said[1:]


def retry_seconds(retry_after: str | None) -> float | None:
    """A Retry-After header (seconds or an HTTP date) as seconds from now, capped."""
    if retry_after is None:
        return None
    try:
        wait = float(retry_after)
    except ValueError:
        try:
            wait = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError, TypeError):
            return None
    if not math.isfinite(wait):
        return None
    return min(wait, RETRY_AFTER_CAP) if wait > 0 else 0.0
