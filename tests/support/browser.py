"""A headless Chromium, driven over its DevTools protocol with nothing but aiohttp."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
WAIT = 60.0
"""Seconds after which a browser that says nothing has failed."""


def chromium() -> str | None:
    """A Chromium on the PATH, or the one that AUTOCOA_BENCH_CHROMIUM names."""
    named = os.environ.get("AUTOCOA_BENCH_CHROMIUM")
    return named or next((found for found in map(shutil.which, NAMES) if found), None)


class Browser:
    """One tab. `errors` are the console's; `addresses` all that was asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self._loop = loop
        self._socket = socket
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        self.addresses: list[str] = []

    def call(self, method: str, **params: Any) -> Any:
        """A command of the protocol, and its result."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, params), WAIT))

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            said = await self._socket.receive_json()
            if said.get("id") != number:
                self._note(said.get("method"), said.get("params", {}))
            elif "error" in said:
                raise RuntimeError(f"{method}: {said['error']['message']}")
            else:
                return said["result"]

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.addresses.append(params["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            thrown = params["exceptionDetails"]
            self.errors.append(thrown.get("exception", {}).get("description", thrown["text"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str([each.get("value") for each in params["args"]]))

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript, awaited if it is a promise."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Wait for an expression to be true. Raises TimeoutError."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            if self.run(f"Boolean({script})"):
                return
            time.sleep(0.05)
        raise TimeoutError(f"never true: {script}; the console says {self.errors}")

    def open(self, address: str) -> None:
        """Load a page anew."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def look(self, width: int, height: int, dark: bool = False) -> None:
        """The window's size, and whether dark colours are preferred."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, file: Path, whole: bool = False) -> None:
        """Write what the window shows, or the whole page, as a PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A Chromium with its profile under `folder`; closed at the end."""
    program = chromium()
    assert program is not None
    process = subprocess.Popen(
        [
            program,
            "--headless",
            "--no-sandbox",  # Chromium refuses to sandbox as root, which CI is
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder / 'profile'}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    loop = asyncio.new_event_loop()
    try:
        port = _port(folder / "profile" / "DevToolsActivePort", process)
        session, socket = loop.run_until_complete(_connect(port))
        tab = Browser(loop, socket)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        try:
            yield tab
        finally:
            loop.run_until_complete(session.close())
    finally:
        loop.close()
        process.terminate()
        process.wait(WAIT)


def _port(file: Path, process: subprocess.Popen[bytes]) -> str:
    """The port that Chromium has chosen, once it has written it down."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end and process.poll() is None:
        if file.exists() and (content := file.read_text()):
            return content.split()[0]
        time.sleep(0.05)
    raise RuntimeError(f"Chromium did not start (it ended with {process.poll()})")


async def _connect(port: str) -> tuple[aiohttp.ClientSession, Any]:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = await answer.json(content_type=None)
    address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
    return session, await session.ws_connect(address, max_msg_size=0)
