"""A folder served as one dataset of the Hugging Face Hub, in the Hub's own protocol."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlsplit

from support.local_server import serve_locally

NAME = "ann/towers"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""The one commit at which the files are."""


def hub_server(folder: Path) -> AbstractContextManager[str]:
    """The address (HF_ENDPOINT) of a Hub that has this folder as the dataset `ann/towers`."""
    return serve_locally(type("Hub", (_Handler,), {"folder": folder}))


class _Handler(BaseHTTPRequestHandler):
    folder: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        about = f"/api/datasets/{NAME}"
        if path.startswith(f"{about}/tree/{COMMIT}"):
            self._tree(path.removeprefix(f"{about}/tree/{COMMIT}").strip("/"))
        elif path in (about, f"{about}/revision/{COMMIT}"):
            names = [{"rfilename": str(file)} for file in self._files()]
            self._send(json.dumps({"id": NAME, "sha": COMMIT, "siblings": names}).encode())
        elif path.startswith(f"/datasets/{NAME}/resolve/{COMMIT}/"):
            self._file(self.folder / path.removeprefix(f"/datasets/{NAME}/resolve/{COMMIT}/"))
        else:
            self._send(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def _files(self) -> list[Path]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.folder) for path in files)

    def _tree(self, below: str) -> None:
        """What lies directly in a folder of the repository."""
        entries = [
            {"type": "directory", "path": str(path.relative_to(self.folder)), "oid": "b" * 40}
            if path.is_dir()
            else {
                "type": "file",
                "path": str(path.relative_to(self.folder)),
                "size": path.stat().st_size,
                "oid": "a" * 40,
            }
            for path in sorted((self.folder / below).iterdir())
        ]
        self._send(json.dumps(entries).encode())

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._send(b"", 404, {"X-Error-Code": "EntryNotFound"})
            return
        content = path.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if self.command == "GET" and (part := self.headers.get("Range")):
            first, _, last = part.removeprefix("bytes=").partition("-")
            end = min(int(last or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
            self._send(content[int(first) : end + 1], 206, headers)
        else:
            self._send(content, 200, headers)

    def _send(self, body: bytes, status: int = 200, headers: dict[str, str] = {}) -> None:  # noqa: B006
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
