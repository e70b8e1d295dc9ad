"""A search server as a search engine: the protocols of Search-R1, AutoCoA and FlashRAG."""

import asyncio
from typing import Literal

import msgspec

from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.search.corpus import corpus_file, corpus_sha256
from autocoa_bench.search.remote import protocols
from autocoa_bench.search.remote.access import environment_token
from autocoa_bench.types import Passage, SearchSpec
from autocoa_bench.util.addresses import server_address
from autocoa_bench.util.error_text import excerpt
from autocoa_bench.util.http_client import (
    PROBE_TIMEOUT,
    APIKey,
    BadReply,
    HTTPClient,
    StatusError,
)

_CONNECTIONS = 64
_PROBE = "Who wrote Hamlet?"

_ENDINGS: dict[str, tuple[protocols.Protocol, ...]] = {
    "/retrieve": ("search-r1", "autocoa"),
    "/batch_search": ("flashrag",),
    "/search": ("flashrag",),
}
"""The protocols that use each path."""


class SearchServerClient(HTTPClient):
    """An HTTPClient whose failed requests are faults of the search."""

    server = "the search server"
    fault_type = SearchFault
    longest_reply = 32 << 20


class HTTPSearch:
    """A search engine behind an address; satisfies `autocoa_bench.search.SearchEngine`.

    A path in the address selects the protocol; otherwise the protocols are tried in order. The
    project's own server (`serve-search`) describes at /info what it searches, so that its `spec`
    equals that of the same engine in this process; other servers are identified by address and
    protocol alone. `corpus`, if given, must be what the project's own server searches. `timeout`
    (seconds a request) and `retries` are those of `HTTPClient`. The constructor contacts the
    server and must not run inside an event loop.
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
        parts = server_address(url, "the search server's address", "--search http://127.0.0.1:8000")
        path = parts.path.rstrip("/")
        ending = next((ending for ending in _ENDINGS if path.endswith(ending)), "")
        self._root = f"{parts.scheme}://{parts.netloc}{path.removesuffix(ending)}"
        self._http = SearchServerClient(
            self._root,
            concurrency=_CONNECTIONS,
            timeout=timeout,
            retries=retries,
            key=APIKey(environment_token()),
        )
        auto = _ENDINGS.get(ending, tuple(protocols.PATHS))
        candidates = auto if protocol == "auto" else (protocol,)
        self._protocol, server_spec = asyncio.run(self._identify(candidates, top_k))
        self._url = self._root + protocols.PATHS[self._protocol]
        settings: dict[str, str | int | float] = {"url": self._root, "protocol": self._protocol}
        spec = server_spec or SearchSpec("http", "", "", 0, settings, top_k)
        self.spec = msgspec.structs.replace(spec, top_k=top_k)
        if corpus and server_spec is None:
            raise UserError(
                f"the search server at {self._root} does not report its corpus, so it cannot be "
                f"checked against '{corpus}'; leave --corpus out"
            )
        if corpus and spec.corpus_sha256 != corpus_sha256(corpus_file(corpus)):
            raise UserError(
                f"the search server at {self._root} searches '{spec.corpus}' ({spec.passages:,} "
                f"passages), which is not '{corpus}'; leave --corpus out or start the server with "
                "that corpus"
            )

    async def search(self, query: str) -> tuple[Passage, ...]:
        """At most top-k passages, best first.

        Raises SearchFault once the retries are spent, and ServerDown if the server is down.
        """
        try:
            return await self._http.retry_through_outage(
                lambda: self._post(query), lambda: self._post(_PROBE, PROBE_TIMEOUT)
            )
        except StatusError as error:
            raise SearchFault(error.kind, str(error)) from None

    async def close(self) -> None:
        await self._http.close()

    async def _post(self, query: str, timeout: float | None = None) -> tuple[Passage, ...]:
        """One attempt at a search."""
        top_k = self.spec.top_k
        body = protocols.request_body(self._protocol, query, top_k)
        data = await self._http.send("POST", self._url, body, timeout)
        try:
            return protocols.read_reply(self._protocol, data, top_k)
        except protocols.BadSearchReply as error:
            raise BadReply(f"{self._url}: {error}; got {excerpt(data)}") from None

    async def _identify(
        self, candidates: tuple[protocols.Protocol, ...], top_k: int
    ) -> tuple[protocols.Protocol, SearchSpec | None]:
        """The protocol that the server speaks, and its spec if it reports one."""
        try:
            reply = await self._ask("GET", "/info", timeout=PROBE_TIMEOUT)
            if isinstance(reply, bytes) and (spec := protocols.read_info(reply)):
                return candidates[0], spec
            problems = []
            readable: list[protocols.Protocol] = []
            for protocol in candidates:
                path = protocols.PATHS[protocol]
                reply = await self._ask(
                    "POST", path, protocols.request_body(protocol, _PROBE, top_k)
                )
                try:
                    if isinstance(reply, Exception):
                        raise reply
                    protocols.read_reply(protocol, reply, top_k)
                    readable.append(protocol)
                    if protocols.has_shape(protocol, reply):
                        return protocol, None
                except (protocols.BadSearchReply, StatusError, SearchFault) as error:
                    problems.append(f"{path} as {protocol}: {error}")
            if readable:
                return readable[0], None
        except SearchFault as fault:
            raise UserError(
                f"no search server at {self._root}: {fault}; start one (autocoa-bench "
                "serve-search) or check the address"
            ) from None
        finally:
            await self.close()
        raise UserError(
            f"{self._root} answers, but not as a search server ({'; '.join(problems)}); check the "
            f"address or name the protocol ({', '.join(protocols.PATHS)}): "
            f"--search http:url={self._root},protocol=..."
        )

    async def _ask(
        self, method: str, path: str, body: bytes | None = None, timeout: float | None = None
    ) -> bytes | Exception:
        """The body of the reply to a first request, or the server's refusal."""
        url = self._root + path
        try:
            return await self._http.retry(
                lambda: self._http.send(method, url, body, timeout), retries=1
            )
        except (StatusError, SearchFault) as error:
            if not error.kind.startswith("http-"):
                raise
            return error
