"""A search engine as an HTTP server, in the protocols that published clients speak."""

import asyncio
import logging
import signal
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from autocoa_bench.errors import SearchFault, ServerDown, UserError
from autocoa_bench.search.batching import QueryBatcher
from autocoa_bench.search.engine import SearchEngine
from autocoa_bench.search.remote.access import Access, refusal
from autocoa_bench.search.remote.connections import Connections, LimitedSite, Limits
from autocoa_bench.search.remote.protocols import SERVED_PATHS, BadRequest, ServerInfo, read_request

LONGEST_BODY = 16 << 20

_GRACE_SECONDS = 3.0
_CONNECTIONS = web.AppKey("connections", Connections)
_LOG = logging.getLogger(__name__)


def _is_own_failure(record: logging.LogRecord) -> bool:
    """False for what a client did wrong: it has its reply, or has gone."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | ConnectionError)


_LOG.addFilter(_is_own_failure)


def application(
    engine: SearchEngine, top_k: int, access: Access | None = None, limits: Limits | None = None
) -> web.Application:
    """The web application of an engine; `top_k` is used where a request names no number."""
    access, connections = access or Access(), Connections(limits or Limits())

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if (refused := refusal(request, access)) is not None:
            status, reason = refused
            return _json({"detail": reason}, status, {"Connection": "close"})
        return await connections.answer(request, lambda: handler(request))

    app = web.Application(middlewares=[_errors_as_json, guard], client_max_size=LONGEST_BODY)
    app[_CONNECTIONS] = connections
    batcher = QueryBatcher(engine)
    openapi = msgspec.json.decode(Path(__file__).with_name("openapi.json").read_text())
    openapi["info"]["version"] = version("autocoa-bench")
    openapi["info"]["description"] = openapi["info"]["description"].format(top_k=top_k)
    pages: dict[str, object] = {
        "/health": {"status": "healthy"},
        "/info": ServerInfo("autocoa-bench", msgspec.structs.replace(engine.spec, top_k=top_k)),
        "/openapi.json": openapi,
    }

    async def answer(request: web.Request) -> web.Response:
        search = read_request(request.path, await request.read())
        results = await batcher.search(search.queries, search.top_k or top_k)
        return _json(search.reply(results))

    async def show_page(request: web.Request) -> web.Response:
        return _json(pages[request.path])

    async def close(_: web.Application) -> None:
        batcher.close()
        await engine.close()

    app.add_routes([web.post(path, answer) for path in SERVED_PATHS])
    app.add_routes([web.get(path, show_page) for path in pages])
    app.on_cleanup.append(close)
    return app


async def listen(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, str]:
    """Start to serve an application; return the runner to clean up at the end, and the URL.

    Port 0 picks any free port. Raises UserError where the server cannot listen there.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_LOG,
        shutdown_timeout=_GRACE_SECONDS,
        auto_decompress=False,
        lingering_time=1.0,
    )
    await runner.setup()
    connections = app.get(_CONNECTIONS)
    site = (
        web.TCPSite(runner, host, port)
        if connections is None
        else LimitedSite(runner, connections, host, port)
    )
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise UserError(
            f"cannot listen at {host}, port {port} ({error.strerror or error}); "
            "give another --host or --port"
        ) from None
    bound_port = runner.addresses[0][1]
    return runner, f"http://{f'[{host}]' if ':' in host else host}:{bound_port}"


async def serve(
    engine: SearchEngine, top_k: int, access: Access, port: int, ready: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is called with the URL. Raises UserError."""
    runner, url = await listen(application(engine, top_k, access), access.host, port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        ready(url)
        await stop.wait()
    finally:
        await runner.cleanup()


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors with their reason in `detail`, the field that FastAPI's clients read."""
    try:
        return await handler(request)
    except BadRequest as error:
        return _json({"detail": str(error)}, 400)
    except ServerDown as error:  # the server behind a remote engine
        return _json({"detail": str(error)}, 503)
    except SearchFault as fault:
        return _json({"detail": f"the search engine failed ({fault.kind}): {fault}"}, 503)
    except web.HTTPRequestEntityTooLarge:
        limit = f"{LONGEST_BODY >> 20} MiB"
        return _json({"detail": f"the body exceeds the limit of {limit}; send fewer queries"}, 413)
    except web.HTTPRequestTimeout:
        return _json({"detail": "the body came too slowly; send it faster"}, 408)
    except web.HTTPException as error:
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        paths = "POST " + ", ".join(SERVED_PATHS) + "; GET /health, /info, /openapi.json"
        return _json({"detail": f"{error.reason}; served: {paths}"}, error.status, allowed)


def _json(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    body = msgspec.json.encode(content)
    return web.json_response(body=body, status=status, headers=headers)
