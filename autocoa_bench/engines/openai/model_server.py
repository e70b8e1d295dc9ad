"""The HTTP client of a model server: its address, its API key, and the meaning of its errors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import urljoin, urlsplit

from autocoa_bench.engines.openai import refusals
from autocoa_bench.errors import CONTEXT, EngineFault, UserError
from autocoa_bench.util.addresses import server_address
from autocoa_bench.util.gate import Sleep
from autocoa_bench.util.http_client import APIKey, HTTPClient, StatusError
from autocoa_bench.util.text import one_line

if TYPE_CHECKING:
    from aiohttp import ClientResponse

KEY_VARIABLES = ("AUTOCOA_BENCH_API_KEY", "OPENAI_API_KEY")

_REDIRECTS = {301, 302, 303, 307, 308}
_LONGEST_KEY = 4096
_LONGEST_HEADERS = 16384
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_OWN_HEADERS = frozenset(
    (
        *("host", "content-length", "content-type", "content-encoding", "transfer-encoding"),
        *("connection", "te", "trailer", "upgrade", "expect", "accept-encoding"),
    )
)
_KEY = re.compile(
    r"(?:invalid|incorrect|expired)[ _]api[ _]?key|api[ _]?key[ _](?:is )?"
    r"(?:not valid|invalid|expired)",
    re.IGNORECASE,
)


class ClientOptions(TypedDict, total=False):
    """Options of `HTTPClient` that engines pass on.

    By default a request may take 600 seconds and has five retries.
    """

    timeout: float
    retries: int
    has_replacement: Callable[[], bool]
    sleep: Sleep


class ModelServerClient(HTTPClient):
    """An HTTPClient that raises UserError for a refused key and for a redirect.

    A prompt that is too long is an EngineFault of the kind `context`.
    """

    server = "the model server"
    fault_type = EngineFault

    def error_of(self, reply: ClientResponse, body: bytes) -> Exception:
        error = super().error_of(reply, body)
        status = reply.status
        if not isinstance(error, StatusError):
            return error
        message = error.message
        # A 403 may concern a prompt rather than the key.
        is_about_key = status in (401, 403) and not refusals.is_filtered(status, error.text)
        if is_about_key or (status == 400 and _KEY.search(error.text)):
            problem = "refuses the key" if self.key else "asks for a key"
            return UserError(
                f"{self.root} {problem} (HTTP {status}: {message}); set {KEY_VARIABLES[0]} or "
                f"{KEY_VARIABLES[1]} to a valid one, or give --key-file"
            )
        if status in _REDIRECTS:
            target = _redirect_target(self.key.redact(reply.headers.get("Location", "")), reply)
            return UserError(
                f"{reply.url} redirects to {target} (HTTP {status}); redirects are not followed: "
                "give the address as --base-url"
            )
        return error

    def refusal_of(
        self, status: int, message: str, text: str, headers: Mapping[str, str]
    ) -> Exception | None:
        if refusals.too_long(status, text):
            sizes = refusals.sizes(message, text)
            return EngineFault(CONTEXT, f"HTTP {status}: {message}{sizes}")
        return super().refusal_of(status, message, text, headers)


def normalised_url(base_url: str) -> str:
    """A base URL without trailing slash, with `/v1` if it has no path. Raises UserError."""
    parts = server_address(
        base_url, "the base URL", "http://127.0.0.1:8000/v1", f"a key belongs in {KEY_VARIABLES[0]}"
    )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


def key_from_environment() -> APIKey:
    """The API key of the environment, or an empty one.

    Raises UserError, without repeating the key, if it cannot be sent in a header.
    """
    for name in KEY_VARIABLES:
        if os.environ.get(name, "").strip():
            return _checked_key(os.environ[name], f"the key in {name}")
    return APIKey()


def key_from_file(path: Path) -> APIKey:
    """The API key in a file that contains nothing else.

    Raises UserError, without repeating the key, also where others than the owner can read the file.
    """
    content = _private_content(path, "key file", _LONGEST_KEY)
    if not content.strip():
        raise UserError(f"the key file '{path}' is empty; put the key in it, and nothing else")
    return _checked_key(content.decode("utf-8", "replace"), f"the key in '{path}'")


def headers_from_file(path: Path) -> dict[str, str]:
    """The headers in a file, `Name: value` in each line; blank lines and those with # are none.

    Raises UserError, without repeating a value, where `key_from_file` would refuse the file, and
    for headers that cannot be sent or that requests have already.
    """
    headers: dict[str, str] = {}
    lines = _private_content(path, "headers file", _LONGEST_HEADERS).decode("utf-8", "replace")
    for number, line in enumerate(lines.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        place = f"line {number} of '{path}'"
        if not (colon and value and _HEADER_NAME.fullmatch(name)):
            raise UserError(f"{place} is not a header; write 'Name: value' in each line")
        if not (value.isascii() and value.isprintable()):
            raise UserError(
                f"{place}: the value of {name} contains a control character, or a letter beyond "
                "ASCII; copy it again"
            )
        if name.lower() in _OWN_HEADERS or name.lower() in map(str.lower, headers):
            problem = "is set by requests" if name.lower() in _OWN_HEADERS else "is there twice"
            raise UserError(f"{place}: the header {name} {problem}; remove it")
        headers[name] = value
    if not headers:
        raise UserError(f"the headers file '{path}' is empty; write 'Name: value' in each line")
    return headers


def _private_content(path: Path, noun: str, longest: int) -> bytes:
    """The content of a file with secrets, at most `longest` bytes. Raises UserError.

    Like ssh, it refuses a file that anybody but its owner can read.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(longest + 1)
    except OSError as error:
        raise UserError(f"cannot read the {noun} '{path}': {error.strerror}") from None
    if mode & 0o077:
        raise UserError(
            f"the {noun} '{path}' is open to other users (mode {mode & 0o777:04o}): "
            f"chmod 600 '{path}'"
        )
    if len(content) > longest:
        raise UserError(f"the {noun} '{path}' is longer than {longest} bytes")
    return content


def _checked_key(text: str, name: str) -> APIKey:
    text = text.strip()
    if not (text.isascii() and text.isprintable()):
        raise UserError(
            f"{name} contains a line break, a control character or a letter beyond ASCII; "
            "copy it again"
        )
    return APIKey(text)


def _redirect_target(location: str, reply: ClientResponse) -> str:
    """The scheme, host and path of a redirect's target; its query may hold secrets."""
    try:
        parts = urlsplit(urljoin(str(reply.url), location))
    except ValueError:
        return "an unreadable address"
    return one_line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200])
