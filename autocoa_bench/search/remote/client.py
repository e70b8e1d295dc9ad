"""A retrieval server as a search engine: Search-R1's protocol, AutoCoA's or FlashRAG's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import msgspec

from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.search.corpus import corpus_file
from autocoa_bench.search.remote import protocols
from autocoa_bench.types import Passage, SearchSpec
from autocoa_bench.util.fingerprint import fingerprint
from autocoa_bench.util.http_retry import (
    Failure,
    Outage,
    excerpt,
    proxy_for,
    read_body,
    reason,
    retry_seconds,
    retrying,
    server_address,
    server_message,
)

if TYPE_CHECKING:
    from aiohttp import ClientSession

_CONNECT_SECONDS = 10.0
_PROBE_SECONDS = 20.0
_CONNECTIONS = 64
_RETRIED = {408, 409, 429}
# Servers close idle connections after 5 s (uvicorn); ours must go first.
_KEEPALIVE_SECONDS = 4.0
_LONGEST_REPLY = 32 << 20
_PROBE = "Who wrote Hamlet?"

_ENDINGS: dict[str, tuple[protocols.Protocol, ...]] = {
    "/retrieve": ("search-r1", "autocoa"),
    "/batch_search": ("flashrag",),
    "/search": ("flashrag",),
}


class _Refused(Exception):
    """A reply with an error status that another try cannot better."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.kind = f"http-{status}"


class HTTPSearch:
    """A search engine behind an address; satisfies `autocoa_bench.search.SearchEngine`.

    A path that a protocol is known by chooses it; else it is found out by asking, /retrieve before
    /search. Our own server (`serve-search`) says at /info what it searches, so that its `spec`
    equals that of the same engine in this process; another's is known by address and protocol
    alone. `corpus`, where it is given, must be what our server searches. `timeout` is seconds a
    request; a failed one is tried again at most `retries` times, and a server that answers nobody
    for a minute is down (see `net.Outage`). Made outside of an event loop.
    """

    brings_corpus = True
    """The corpus is the server's."""

    def __init__(
        self,
        corpus: str = "",
        *,
        top_k: int = 3,
        url: str = "",
        protocol: Literal["auto", "search-r1", "autocoa", "flashrag"] = "auto",
        timeout: float = 60.0,
        retries: int = 5,
    ) -> None:
        if not 1 <= top_k <= protocols.MOST_PASSAGES:
            raise UserError(f"top-k must be from 1 to {protocols.MOST_PASSAGES}, not {top_k}")
        if timeout <= 0 or retries < 0:
            raise UserError(f"needs timeout > 0 and retries >= 0, not {timeout:g} and {retries}")
        self._root, ending = _address(url)
        self._timeout = timeout
        self._retries = retries
        self._proxy = proxy_for(self._root)
        self._session: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outage: tuple[asyncio.AbstractEventLoop, Outage] | None = None
        candidates = _ENDINGS.get(ending, tuple(protocols.PATHS))
        if protocol != "auto":
            candidates = (protocol,)
        self._protocol, known = asyncio.run(self._recognise(candidates, top_k))
        self._url = self._root + protocols.PATHS[self._protocol]
        self._spec = _spec(known, self._root, self._protocol, top_k)
        if corpus:
            _check_corpus(corpus, self._root, known)

    @property
    def spec(self) -> SearchSpec:
        """What our own server says of its engine; else the address and the protocol."""
        return self._spec

    async def search(self, query: str) -> tuple[Passage, ...]:
        """At most top-k passages, best first.

        Raises SearchFault once the retries are spent, and ServerDown where the server is down.
        """
        outage = self._outage_here()
        try:
            return await outage.enduring(lambda: self._ask(query), self._is_up, self._retries)
        except (Failure, _Refused) as failure:
            raise SearchFault(failure.kind, str(failure)) from None

    async def _ask(self, query: str, timeout: float | None = None) -> tuple[Passage, ...]:
        """One try. Raises Failure or _Refused."""
        top_k = self._spec.top_k
        body = protocols.request_body(self._protocol, query, top_k)
        data = await self._exchange("POST", self._url, body, timeout)
        try:
            return protocols.read_reply(self._protocol, data, top_k)
        except protocols.BadSearchReply as error:
            raise Failure("bad-reply", f"{self._url}: {error}; got {excerpt(data)}") from None

    async def _is_up(self) -> bool:
        try:
            await self._ask(_PROBE, _PROBE_SECONDS)
        except _Refused:  # an answer too
            return True
        except Failure:
            return False
        return True

    def _outage_here(self) -> Outage:
        """The running event loop's."""
        loop = asyncio.get_running_loop()
        if self._outage is None or self._outage[0] is not loop:
            self._outage = (loop, Outage(f"the search server at {self._root}"))
        return self._outage[1]

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _recognise(
        self, candidates: tuple[protocols.Protocol, ...], top_k: int
    ) -> tuple[protocols.Protocol, SearchSpec | None]:
        """The protocol that the server speaks, and what it searches where it says that."""
        try:
            known = await self._info()
            if known is not None:
                return candidates[0], known
            refusals = []
            for protocol in candidates:
                refusal = await self._refusal(protocol, top_k)
                if not refusal:
                    return protocol, None
                refusals.append(f"{protocols.PATHS[protocol]} as {protocol}: {refusal}")
        except Failure as failure:
            raise UserError(
                f"no search server at {self._root}: {failure}; start one (autocoa-bench "
                "serve-search) or check the address"
            ) from None
        finally:
            await self.close()
        raise UserError(
            f"{self._root} answers, but not as a search server ({'; '.join(refusals)}); check the "
            f"address or name the protocol ({', '.join(protocols.PATHS)}): "
            f"--search http:url={self._root},protocol=..."
        )

    async def _info(self) -> SearchSpec | None:
        try:
            return protocols.read_info(await self._patiently("GET", f"{self._root}/info"))
        except (_Refused, Failure) as error:
            if not error.kind.startswith("http-"):
                raise
            return None

    async def _refusal(self, protocol: protocols.Protocol, top_k: int) -> str:
        """Why the server does not speak a protocol; empty if it does."""
        body = protocols.request_body(protocol, _PROBE, top_k)
        try:
            data = await self._patiently("POST", self._root + protocols.PATHS[protocol], body)
            protocols.read_reply(protocol, data, top_k)
        except Failure as failure:
            if not failure.kind.startswith("http-"):
                raise
            return str(failure)
        except (_Refused, protocols.BadSearchReply) as error:
            return str(error)
        return ""

    async def _patiently(self, method: str, url: str, body: bytes | None = None) -> bytes:
        async def attempt() -> bytes:
            return await self._exchange(method, url, body, None if body else _PROBE_SECONDS)

        return await retrying(attempt, min(1, self._retries))

    def _opened(self) -> ClientSession:
        """The running event loop's session."""
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector

        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop = loop
            self._session = ClientSession(
                connector=TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEPALIVE_SECONDS),
                headers={"Content-Type": "application/json"},
                cookie_jar=DummyCookieJar(),
            )
        return self._session

    async def _exchange(
        self, method: str, url: str, body: bytes | None = None, timeout: float | None = None
    ) -> bytes:
        """One request and the body of its reply. Raises Failure or _Refused."""
        from aiohttp import ClientError, ClientTimeout

        total = min(self._timeout, timeout or self._timeout)
        try:
            async with self._opened().request(
                method,
                url,
                data=body,
                proxy=self._proxy,
                allow_redirects=False,
                timeout=ClientTimeout(total=total, sock_connect=_CONNECT_SECONDS),
            ) as response:
                data = await read_body(response, _LONGEST_REPLY)
                status = response.status
                after = response.headers.get("Retry-After") if status in (429, 503) else None
        except TimeoutError:
            raise Failure("timeout", f"no reply within {total:g} s") from None
        except (ClientError, OSError, UnicodeError) as error:
            raise Failure("connection", reason(error)) from None
        if status == 200:
            return data
        if status in _RETRIED or (status >= 500 and status != 501):
            message = f"HTTP {status}: {server_message(data)}"
            raise Failure(f"http-{status}", message, retry_seconds(after))
        raise _Refused(status, server_message(data))


def _address(url: str) -> tuple[str, str]:
    """A server's root without trailing slash, and the path of a protocol. Raises UserError."""
    parts = server_address(url)
    if parts is None:
        raise UserError(
            f"the search engine 'http' needs a server's address, not '{url.rpartition('@')[2]}': "
            "--search http://127.0.0.1:8000"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UserError(
            f"the address of the search server at {parts.hostname} has more than host, port and "
            "path; leave the rest out"
        )
    path = parts.path.rstrip("/")
    ending = next((each for each in _ENDINGS if path.endswith(each)), "")
    return f"{parts.scheme}://{parts.netloc}{path.removesuffix(ending)}", ending


def _spec(
    known: SearchSpec | None, root: str, protocol: protocols.Protocol, top_k: int
) -> SearchSpec:
    if known is not None:
        return msgspec.structs.replace(known, top_k=top_k)
    return SearchSpec("http", "", "", 0, {"url": root, "protocol": protocol}, top_k)


def _check_corpus(corpus: str, root: str, known: SearchSpec | None) -> None:
    if known is None:
        raise UserError(
            f"the search server at {root} does not say which corpus it searches, so it cannot be "
            f"held to '{corpus}'; leave --corpus out"
        )
    if known.corpus_sha256 != fingerprint(corpus_file(corpus)):
        raise UserError(
            f"the search server at {root} searches '{known.corpus}' ({known.passages:,} passages), "
            f"which is not '{corpus}'; leave --corpus out or start the server over that one"
        )
