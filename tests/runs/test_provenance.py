"""What a resumed run says of its sessions."""

from msgspec.structs import replace

from autocoa_bench.runs.provenance import changes, current_session
from autocoa_bench.types import Environment

BEFORE = Environment("2026-01-01", "http://a.example:1", 1, "abc", {"numpy": "2.0"})


def test_a_session_knows_its_packages() -> None:
    session = current_session("", 8)
    assert session.versions.keys() >= {"python", "autocoa-bench", "msgspec"}
    assert session.concurrency == 8


def test_equal_sessions_have_no_changes() -> None:
    assert list(changes(BEFORE, replace(BEFORE, started="2026-01-02"))) == []


def test_another_server_package_or_revision_is_named() -> None:
    now = Environment("", "http://b.example:1", 1, "def", {"numpy": "2.1"})
    assert list(changes(BEFORE, now)) == [
        "the server was http://a.example:1 and is http://b.example:1",
        "numpy was 2.0 and is 2.1",
        "the code was abc and is def",
    ]
