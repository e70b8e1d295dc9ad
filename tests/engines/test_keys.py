"""Keys: where they may come from, and that they are shown nowhere."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest

from autocoa_bench.engines.openai.model_server import (
    KEY_VARIABLES,
    headers_from_file,
    key_from_file,
)
from autocoa_bench.errors import UserError
from autocoa_bench.runs.run_folder import load_run
from autocoa_bench.search.remote.access import TOKEN, Access
from autocoa_bench.types import Passage, SearchSpec
from autocoa_bench.util import http_client
from autocoa_bench.util.http_client import APIKey
from support.commands import Cli, caller, refused
from support.mock_server import Fault, MockServer
from support.search_server import served
from support.towns import reply, write_task

KEY = "sk-proj/a+secret=of&a-user"


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEY_VARIABLES, "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http_client, "BACKOFF_BASE", 0.0)
    monkeypatch.setattr(http_client, "OUTAGE_WAITS", (0.0, 0.0))
    monkeypatch.setattr(http_client, "PATIENCE", -1.0)
    tasks, corpus = write_task(tmp_path, 4)
    words = ["run", "--solver", "agent:shots=0", "--tasks", tasks, "--corpus", corpus]
    return caller(monkeypatch, capsys, *words, "--model", "mock", "--out", "out")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o600)
    return file


def written(folder: Path) -> Iterator[bytes]:
    for file in folder.rglob("*"):
        if file.is_file() and file.name != "key":
            yield file.read_bytes()


def test_a_key_comes_from_a_file(cli: Cli, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLES[0], "another key")
    with MockServer(reply) as server:
        done = cli("--base-url", server.url, "--key-file", str(key_file))
    assert done.code == 0, done.err
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_file_that_others_can_use_is_refused(cli: Cli, key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with MockServer(reply) as server:
        done = cli("--base-url", server.url, "--key-file", str(key_file))
    refused(done, f"open to other users (mode {mode:04o})", "chmod 600")
    assert KEY not in done.err
    assert not server.headers


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_key_that_is_refused(cli: Cli, key_file: Path, status: Fault) -> None:
    with MockServer(reply, fault=lambda number: status) as server:
        done = cli("--base-url", server.url, "--key-file", str(key_file))
    refused(done, f"refuses the key (HTTP {status}", *KEY_VARIABLES, "--key-file")


@pytest.mark.parametrize(
    "message", ["API key not valid. Please pass a valid API key.", "Incorrect API key provided"]
)
def test_a_key_that_is_refused_with_400_is_known_by_the_words(cli: Cli, message: str) -> None:
    with MockServer(reply, refusal=lambda body: message) as server:
        done = cli("--base-url", server.url)
    refused(done, "asks for a key (HTTP 400", *KEY_VARIABLES)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b" \n", "is empty"),
        (b"k" * 5000, "longer than 4096 bytes"),
        (f"{KEY}\n{KEY}".encode(), "a line break"),
        (b"\xff" + KEY.encode(), "a letter beyond"),
    ],
)
def test_a_file_that_holds_no_key_is_refused_and_not_repeated(
    key_file: Path, content: bytes, problem: str
) -> None:
    key_file.write_bytes(content)
    with pytest.raises(UserError, match=problem) as raised:
        key_from_file(key_file)
    assert KEY not in str(raised.value)


def test_a_key_file_that_is_not_there(cli: Cli) -> None:
    refused(cli("--base-url", "http://h:1", "--key-file", "none"), "cannot read the key file")


def test_a_key_file_without_a_server_is_refused(cli: Cli, key_file: Path) -> None:
    refused(cli("--key-file", str(key_file)), "give --base-url")


ECHOES: list[Fault] = ["400", "401", "402", "403", "404", "429", "500", "html", "error", "garbage"]


Spelling = Literal["plainly", "as HTML and URL", "as JSON"]


@pytest.mark.parametrize(
    ("fault", "spelt"),
    [*product(ECHOES, ["plainly", "as HTML and URL"]), ("500", "as JSON")],
)
def test_a_reply_that_repeats_the_key(
    cli: Cli, key_file: Path, tmp_path: Path, fault: Fault, spelt: Spelling
) -> None:
    # The probe is answered, so that each fault reaches the records, or ends the run.
    with MockServer(reply, fault=lambda number: fault if number >= 3 else None) as server:
        server.spelt = spelt
        done = cli("--base-url", server.url, "--key-file", str(key_file), "--concurrency", "1")
    output = done.out + done.err + b"".join(written(tmp_path)).decode(errors="replace")
    assert "Bearer ***" in output
    for spelling in ("sk-proj", "secret", "a-user"):
        assert spelling not in output


def test_a_model_that_repeats_the_key_is_recorded_without_it(
    cli: Cli, key_file: Path, tmp_path: Path
) -> None:
    with MockServer(lambda body: f"</think>\\boxed{{{KEY}}}") as server:
        assert cli("--base-url", server.url, "--key-file", str(key_file)).code == 0
    assert not any(KEY.encode() in content for content in written(tmp_path))


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_a_redirect_to_another_address(cli: Cli, key_file: Path, status: Fault) -> None:
    with MockServer(reply) as elsewhere, MockServer(reply) as server:
        server.fault = lambda number: status
        server.location = f"{elsewhere.url}/v1/chat/completions?key={KEY}"
        done = cli("--base-url", server.url, "--key-file", str(key_file))
    refused(done, f"redirects to {elsewhere.url}/v1/chat/completions (HTTP {status})", "--base-url")
    assert KEY not in done.err
    assert not elsewhere.headers


def test_a_placeholder_hides_nothing() -> None:
    assert APIKey("none").redact('{"stop_reason": none}') == '{"stop_reason": none}'


def test_a_key_shows_itself_in_no_representation() -> None:
    assert KEY not in repr(APIKey(KEY))
    assert KEY not in f"{APIKey(KEY)}"


class _Echo:
    """A search engine whose passage repeats the query."""

    spec = SearchSpec("echo", "", "", 0, {}, 100)

    async def search(self, query: str) -> tuple[Passage, ...]:
        return (Passage("1", "", query),)

    async def close(self) -> None:
        pass


SEARCH_TOKEN = "search-secret-0123456789"
JUDGE_KEY = "judge-secret-0123456789"


@pytest.mark.parametrize("crash", [False, True])
def test_no_key_is_in_any_file_or_output_of_any_stage(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    key_file: Path,
    crash: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(TOKEN, SEARCH_TOKEN)
    monkeypatch.setenv(KEY_VARIABLES[1], JUDGE_KEY)
    call = caller(monkeypatch, capsys)
    tasks, _ = write_task(tmp_path, 4)
    answers = {"model": KEY, "judge": JUDGE_KEY}

    def model(body: dict[str, Any]) -> str:
        if crash:
            raise RuntimeError(f"crashed with {KEY}")
        return f"</think>\\boxed{{{answers['model']}}}"

    outputs = []
    access = Access("127.0.0.1", SEARCH_TOKEN)
    with (
        MockServer(model) as server,
        MockServer(lambda _: f"{answers['judge']} Verdict: incorrect") as judge,
        served(_Echo(), access=access) as search,
    ):
        run = ["run", "--solver", "agent:shots=0", "--tasks", tasks, "--model", "mock"]
        run += ["--base-url", server.url, "--key-file", str(key_file), "--search", search.url]
        judging = ["--judge", "mock", "--judge-base-url", judge.url]
        outputs += [call(*run, "--out", "out", "--record", "tape", *judging)]
        outputs += [call(*run, "--out", "again", "--replay", "tape")]
        outputs += [call("score", "out", *judging)]
        for command in (("show",), ("report", "--html", "p.html"), ("export", "--out", "logs")):
            outputs += [call(command[0], "out", *command[1:])]
        outputs += [call("judge", "audit", "out/records.jsonl", *judging)]
        sent = {headers.get("Authorization") for headers in server.headers}
        assert sent == {f"Bearer {KEY}"}
        assert crash or {h.get("Authorization") for h in judge.headers} == {f"Bearer {JUDGE_KEY}"}
    assert crash or not [done.err for done in outputs[:6] if done.code]
    text = "".join(done.out + done.err for done in outputs)
    everything = text + b"".join(written(tmp_path)).decode(errors="replace")
    assert "records.jsonl" in {file.name for file in tmp_path.rglob("*")}
    for secret in (KEY, JUDGE_KEY, SEARCH_TOKEN):
        assert secret not in everything


BASIC = "c2VjcmV0OnBhc3N3b3Jk"
TENANT = "tenant-0123-secret"


@pytest.fixture
def headers_file(tmp_path: Path) -> Path:
    """A file named as `written` expects of secrets."""
    folder = tmp_path / "private"
    folder.mkdir()
    file = folder / "key"
    file.write_text(f"# of the gateway\nAuthorization: Basic {BASIC}\n\nX-Tenant:{TENANT}\n")
    file.chmod(0o600)
    return file


def test_headers_of_a_file_are_in_every_request(cli: Cli, headers_file: Path) -> None:
    with MockServer(reply) as server:
        done = cli("--base-url", server.url, "--headers", str(headers_file))
    assert done.code == 0, done.err
    sent = {(headers["Authorization"], headers["X-Tenant"]) for headers in server.headers}
    assert sent == {(f"Basic {BASIC}", TENANT)}
    settings = load_run(Path("out")).info.spec.engine.settings
    assert settings == {"headers": "Authorization, X-Tenant"}


def test_a_header_replaces_the_key_of_the_environment(
    cli: Cli, headers_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLES[0], KEY)
    with MockServer(reply) as server:
        assert cli("--base-url", server.url, "--headers", str(headers_file)).code == 0
    assert {headers["Authorization"] for headers in server.headers} == {f"Basic {BASIC}"}


def test_two_authorizations_are_refused(cli: Cli, headers_file: Path, key_file: Path) -> None:
    files = ("--headers", str(headers_file), "--key-file", str(key_file))
    refused(cli("--base-url", "http://h:1", *files), "an Authorization header", "--key-file")


@pytest.mark.parametrize("fault", ["400", "401", "500", "html", "error", "garbage"])
def test_headers_are_in_no_file_or_output(
    cli: Cli, headers_file: Path, tmp_path: Path, fault: Fault
) -> None:
    def echo(body: dict[str, Any]) -> str:
        return f"</think>\\boxed{{{TENANT}}} {BASIC}"

    with MockServer(echo, fault=lambda number: fault if number >= 2 else None) as server:
        saved = ("--save-config", "run.toml", "--record", "tape")
        done = cli("--base-url", server.url, "--headers", str(headers_file), *saved)
    output = done.out + done.err + b"".join(written(tmp_path)).decode(errors="replace")
    assert "X-Tenant" in output
    assert "***" in output
    for secret in (BASIC, TENANT):
        assert secret not in output


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        (f"X-Tenant {TENANT}", "line 1 of"),
        (f"X Tenant: {TENANT}", "is not a header"),
        (f"X-Tenant: {TENANT}é", "the value of X-Tenant contains"),
        (f"X-Tenant: {TENANT}\nx-tenant: {TENANT}", "line 2 of"),
        (f"Host: {TENANT}", "the header Host is set by requests"),
        (f"X-Tenant: {TENANT * 1000}", "is longer than 16384 bytes"),
    ],
)
def test_a_file_of_headers_that_cannot_be_sent_is_refused_without_its_values(
    headers_file: Path, content: str, problem: str
) -> None:
    headers_file.write_text(content)
    with pytest.raises(UserError, match=problem) as raised:
        headers_from_file(headers_file)
    assert TENANT not in str(raised.value)


def test_a_file_of_headers_that_others_can_read_is_refused(cli: Cli, headers_file: Path) -> None:
    headers_file.chmod(0o644)
    done = cli("--base-url", "http://h:1", "--headers", str(headers_file))
    refused(done, "the headers file", "open to other users (mode 0644)")


def test_headers_without_a_server_are_refused(cli: Cli, headers_file: Path) -> None:
    refused(cli("--headers", str(headers_file)), "--headers", "give --base-url")
