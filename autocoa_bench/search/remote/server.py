"""A search engine as an HTTP server, in the protocols that published clients speak."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from autocoa_bench.errors import SearchFault, ServerDown, UserError
from autocoa_bench.search.batching import QueryBatcher
from autocoa_bench.search.engine import SearchEngine
from autocoa_bench.search.remote.openapi import describe
from autocoa_bench.search.remote.protocols import SERVED_PATHS, BadRequest, ServerInfo, read_request
from autocoa_bench.types import SearchSpec

LONGEST_BODY = 16 << 20

_GRACE_SECONDS = 3.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(engine: SearchEngine, top_k: int) -> web.Application:
    """The server of an engine; `top_k` is for requests that ask for no number of passages."""
    app = web.Application(middlewares=[_errors_as_json], client_max_size=LONGEST_BODY)
    batches = QueryBatcher(engine)
    info = ServerInfo("autocoa-bench", msgspec.structs.replace(engine.spec, top_k=top_k))

    async def answer(request: web.Request) -> web.Response:
        wanted = read_request(request.path, await request.read())
        found = await batches.search(wanted.queries, wanted.top_k or top_k)
        return _json(wanted.reply(found))

    def constant(content: object) -> Handler:
        async def tell(_: web.Request) -> web.Response:
            return _json(content)

        return tell

    async def close(_: web.Application) -> None:
        batches.close()
        await engine.close()

    app.add_routes([web.post(path, answer) for path in SERVED_PATHS])
    app.add_routes(
        [
            web.get("/health", constant({"status": "healthy"})),
            web.get("/info", constant(info)),
            web.get("/openapi.json", constant(describe(top_k))),
        ]
    )
    app.on_cleanup.append(close)
    return app


async def listen(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, str]:
    """Start to serve; returns what to clean up in the end, and the address.

    Port 0 is any free one. Raises UserError where it cannot listen there.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise UserError(
            f"cannot listen at {host}, port {port} ({error.strerror or error}); "
            "give another --host or --port"
        ) from None
    bound = runner.addresses[0][1]
    return runner, f"http://{f'[{host}]' if ':' in host else host}:{bound}"


async def serve(
    engine: SearchEngine, top_k: int, host: str, port: int, ready: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is told the address. Raises UserError."""
    runner, url = await listen(application(engine, top_k), host, port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        ready(url)
        await stop.wait()
    finally:
        await runner.cleanup()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def engine_summary(spec: SearchSpec) -> str:
    """An engine and its corpus in a few words."""
    of = f" over {spec.corpus} ({spec.passages:,} passages)" if spec.passages else ""
    return f"{spec.engine}{of}"


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is refused says why, in the `detail` that FastAPI's clients know."""
    try:
        return await handler(request)
    except BadRequest as error:
        return _json({"detail": str(error)}, 400)
    except ServerDown as error:  # of the server that our engine asks
        return _json({"detail": str(error)}, 503)
    except SearchFault as fault:
        return _json({"detail": f"the search engine failed ({fault.kind}): {fault}"}, 503)
    except web.HTTPRequestEntityTooLarge:
        return _json({"detail": f"a body of more than {LONGEST_BODY >> 20} MiB"}, 413)
    except web.HTTPException as error:
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        known = "POST " + ", ".join(SERVED_PATHS) + "; GET /health, /info, /openapi.json"
        return _json({"detail": f"{error.reason}; served: {known}"}, error.status, allowed)


def _json(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        content_type="application/json",
        headers=headers,
    )
