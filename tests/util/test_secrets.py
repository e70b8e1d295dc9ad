"""Keys and passwords of the environment are in nothing that libraries print, log or raise."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import Callable

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.tasks import resolve
from autocoa_bench.util.secrets import environment_secrets, redact, redacted_logs
from support.commands import caller, refused

PASSWORD = "p%40ss-word"
SPELLINGS = ("me:p%40ss-word@", "me:p@ss-word@", "p@ss-word", "bWU6cEBzcy13b3Jk")
TOKEN = "hf_0123456789abcdef"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"https://me:{PASSWORD}@hub.example")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def shown(text: str) -> list[str]:
    return [secret for secret in (*SPELLINGS, PASSWORD, TOKEN) if secret in text]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_password_is_redacted_however_it_is_spelt(spelling: str) -> None:
    assert not shown(redact(f"GET https://{spelling}hub.example/x: {spelling}"))


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("MY_API_KEY", "abcdefgh", True),
        ("some_password", "abcdefgh", True),
        ("http_proxy", "http://u:p@proxy:1", True),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("HF_HOME", "/home/key", False),
    ],
)
def test_secrets_are_told_from_other_variables(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, is_secret: bool
) -> None:
    monkeypatch.setenv(name, value)
    assert (name in environment_secrets()) is is_secret


def test_a_placeholder_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    monkeypatch.setenv("GIT_REMOTE", "ssh://git@host/x")
    assert redact("EMPTY git@host") == "EMPTY git@host"


URL = f"https://me:{PASSWORD}@hub.example/api/datasets"


def log_a_retry(*_: object, **__: object) -> None:
    """As huggingface_hub does where a request fails."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    logger.warning("'timed out' thrown while requesting HEAD %s", URL)
    raise OSError(None, f"cannot reach {URL} with {TOKEN}")


def warn(*_: object, **__: object) -> None:
    warnings.warn(f"{URL} {TOKEN}", stacklevel=1)
    raise ValueError(URL)


def print_all(*_: object, **__: object) -> None:
    print(URL, TOKEN)
    print(URL, TOKEN, file=sys.stderr)
    raise RuntimeError(f"{URL} {TOKEN}")


@pytest.mark.parametrize("fail", [log_a_retry, warn, print_all])
def test_no_message_of_the_hub_library_shows_a_password(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fail: Callable[..., None],
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "hf_hub_download", fail)
    done = caller(monkeypatch, capsys)("tasks", "pull", "hotpotqa@paper")
    refused(done, "cannot fetch")
    assert not shown(done.out + done.err)


def test_a_retry_that_is_logged_in_a_notebook_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    handler = logging.StreamHandler()  # as huggingface_hub's own, on the stderr of this test
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "handlers", [handler])
    monkeypatch.setattr(hub, "hf_hub_download", log_a_retry)
    [task] = resolve("hotpotqa@paper")
    with pytest.raises(UserError) as caught:
        task.load("test")
    text = capsys.readouterr().err
    assert "thrown while requesting HEAD https://***" in text
    assert not shown(text + str(caught.value))


def test_logs_are_as_before_afterwards() -> None:
    handler = logging.NullHandler()
    logging.getLogger("some.library").addHandler(handler)
    with redacted_logs("some.library"):
        assert handler.filters
    assert not handler.filters


_CRASH = """
import sys
from importlib import import_module
module = import_module("autocoa_bench.cli.main")
def crash():
    raise RuntimeError(sys.argv[1] + "\\x1b[31m")
module.app, module._add_plugins = crash, lambda: None
module.main()
"""


def test_a_traceback_shows_neither_a_password_nor_an_escape() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CRASH, f"{URL} {TOKEN}"], capture_output=True, text=True
    )
    assert "RuntimeError" in done.stderr
    assert not shown(done.stderr)
    assert "\x1b" not in done.stderr
