"""What the client of model servers reads of addresses, redirects and keys."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from autocoa_bench.errors import UserError
from autocoa_bench.util.http_retry import server_address

KEY_VARIABLES = ("AUTOCOA_BENCH_API_KEY", "OPENAI_API_KEY")

_LONGEST_KEY = 4096
_SHORTEST_SECRET = 8
"""A shorter key is a placeholder such as `EMPTY`, which may stand in a reply by chance."""


class Key:
    """An API key, possibly empty, that shows itself nowhere but in a request's header."""

    def __init__(self, text: str = "") -> None:
        self._text = text.strip()
        key = self._text
        spelt = {
            key,
            json.dumps(key)[1:-1],
            key.replace("/", "\\/"),
            html.escape(key),
            quote(key, ""),
        }
        # The longest first: one may hold another.
        spellings = sorted(spelt, key=len, reverse=True)
        self._spellings = spellings if len(key) >= _SHORTEST_SECRET else []

    def __repr__(self) -> str:
        return "Key(***)" if self else "Key()"

    def __bool__(self) -> bool:
        return bool(self._text)

    def headers(self) -> dict[str, str]:
        """The header that carries it; none for an empty key."""
        return {"Authorization": f"Bearer {self._text}"} if self._text else {}

    def hidden_in(self, text: str) -> str:
        """A text without the key, also as JSON, HTML and URLs spell it."""
        for spelling in self._spellings:
            text = text.replace(spelling, "***")
        return text

    def hidden_in_bytes(self, data: bytes) -> bytes:
        """The same of a body."""
        for spelling in self._spellings:
            data = data.replace(spelling.encode(), b"***")
        return data


def key_from_environment() -> Key:
    """The API key, or an empty one where the environment has none.

    Raises UserError, without the key, where it cannot stand in a header.
    """
    for name in KEY_VARIABLES:
        if os.environ.get(name, "").strip():
            return _key(os.environ[name], f"the key in {name}")
    return Key()


def key_from_file(path: Path) -> Key:
    """The key that a file holds, and nothing else. Raises UserError, without the key.

    As ssh does, it refuses a file that anybody but its owner can read.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LONGEST_KEY + 1)
    except OSError as error:
        raise UserError(f"cannot read the key file '{path}': {error.strerror}") from None
    if mode & 0o077:
        raise UserError(
            f"the key file '{path}' is open to other users (mode {mode & 0o777:04o}): "
            f"chmod 600 '{path}'"
        )
    if len(content) > _LONGEST_KEY or not content.strip():
        problem = "is empty" if not content.strip() else f"is longer than {_LONGEST_KEY} bytes"
        raise UserError(f"the key file '{path}' {problem}; put the key in it, and nothing else")
    return _key(content.decode("utf-8", "replace"), f"the key in '{path}'")


def _key(text: str, what: str) -> Key:
    text = text.strip()
    if not (text.isascii() and text.isprintable()):
        raise UserError(
            f"{what} holds a line break, a control character or a letter beyond ASCII; "
            "copy it again"
        )
    return Key(text)


def normalised_url(base_url: str) -> str:
    """A base URL without trailing slash, `/v1` added where it has no path. Raises UserError."""
    parts = server_address(base_url)
    if parts is None:
        raise UserError(
            f"base URL '{base_url.rpartition('@')[2]}' is no http:// or https:// address; "
            "give one such as http://127.0.0.1:8000/v1"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UserError(
            f"the base URL of {parts.hostname} has more than host, port and path; "
            f"a key belongs in {KEY_VARIABLES[0]}"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


def redirect_target(url: str, location: str) -> str:
    """Where a redirect of a URL leads: scheme, host and path, without what a query may hold."""
    try:
        parts = urlsplit(urljoin(url, location))
    except ValueError:
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    said = f"{parts.scheme}://{host}{parts.path}"[:200]
    return "".join(char if char.isprintable() else "?" for char in said)
