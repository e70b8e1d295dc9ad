"""Search servers on real sockets: our own, and one that is scripted to misbehave."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiohttp import web

from autocoa_bench.search import SearchEngine
from autocoa_bench.search.remote.access import Access
from autocoa_bench.search.remote.connections import Limits
from autocoa_bench.search.remote.server import application, listen

App = Callable[[], web.Application]


class Served:
    """An application on a loopback port, in a thread of its own; a context manager."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.url = ""

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        runner, self.url = await listen(self._app(), "127.0.0.1", 0)
        ready.set()
        await self._stop.wait()
        await runner.cleanup()


def served(
    engine: SearchEngine,
    top_k: int = 3,
    access: Access | None = None,
    limits: Limits | None = None,
) -> Served:
    """Our own server over an engine."""
    return Served(lambda: application(engine, top_k, access, limits))


class Scripted(Served):
    """A foreign server: `reply` answers a path and a body, `asked` keeps them. No /info."""

    def __init__(self, reply: Callable[[str, Any], web.Response | Awaitable[Any]]) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._reply = reply
        super().__init__(self._make)

    def _make(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.post("/{path:.*}", self._answer)])
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append((request.path, body))
        found = self._reply(request.path, body)
        if isinstance(found, web.StreamResponse):
            return found
        return await found  # type: ignore[no-any-return]


def as_json(content: Any, status: int = 200) -> web.Response:
    """A JSON reply."""
    return web.Response(text=json.dumps(content), status=status, content_type="application/json")
