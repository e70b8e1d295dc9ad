"""Fingerprints of files: of their bytes, computed once, and errors that say what to do."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.util import fingerprint as module
from autocoa_bench.util.fingerprint import fingerprint


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))


def test_a_fingerprint_is_of_the_bytes_and_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content" * 400_000)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert fingerprint(path) == expected
    monkeypatch.setattr(module, "_sha256", lambda path, size: pytest.fail("hashed again"))
    assert fingerprint(path) == expected


def test_a_changed_file_has_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    before = fingerprint(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert fingerprint(path) != before


def test_a_link_has_the_fingerprint_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert fingerprint(tmp_path / "link") == fingerprint(tmp_path / "file")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none' cannot be read: No such file"):
        fingerprint(tmp_path / "none")
    with pytest.raises(UserError, match="is not a regular file; give the path of a data file"):
        fingerprint(tmp_path)
