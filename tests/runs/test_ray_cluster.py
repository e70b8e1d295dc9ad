"""A Ray cluster of this machine is reached by its run alone; one that others reach is warned of."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.runs.ray_cluster import Secrets, connect

KEY = "sk-of-the-test-0123456789"


class FakeRay:
    """Keeps how it was started, and the environment that its processes would inherit."""

    exceptions = SimpleNamespace(RayError=type("RayError", (Exception,), {}))

    def __init__(self, running: bool, mode: str | None = None) -> None:
        self.calls: list[str | None] = []
        self.environment: dict[str, str] = {}
        self.loopback = False
        self._running = running
        self._mode = mode

    def is_initialized(self) -> bool:
        return False

    def init(self, address: str | None, **options: Any) -> None:
        self.calls.append(address)
        if address == "auto" and not self._running:
            raise ConnectionError("none")
        constants = sys.modules["ray._private.ray_constants"]
        self.loopback = not constants.ENABLE_RAY_CLUSTER  # type: ignore[attr-defined]
        self.environment = dict(os.environ)
        self.options = options
        if self._mode:
            os.environ["RAY_AUTH_MODE"] = self._mode


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[FakeRay], FakeRay]:
    constants = SimpleNamespace(ENABLE_RAY_CLUSTER=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")

    def install(ray: FakeRay) -> FakeRay:
        monkeypatch.setitem(sys.modules, "ray", ray)
        monkeypatch.setitem(sys.modules, "ray._private.ray_constants", constants)
        return ray

    return install


def test_a_cluster_of_this_machine_has_a_token_and_loopback_and_no_dashboard(
    install: Callable[[FakeRay], FakeRay], tmp_path: Path
) -> None:
    ray = install(FakeRay(running=False))
    connect()
    assert ray.calls == ["auto", "local"]
    assert (ray.loopback, ray.options["include_dashboard"]) == (True, False)
    assert "RAY_AUTH_MODE" not in ray.environment  # Ray's own default is a token
    token = tmp_path / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) == 64


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_API_KEY", "{}"),
        ("AUTOCOA_BENCH_API_KEY", "{}"),
        ("AUTOCOA_BENCH_SEARCH_TOKEN", "{}"),
        ("HF_TOKEN", "{}"),
        ("AWS_SECRET_ACCESS_KEY", "{}"),
        ("HF_ENDPOINT", "https://me:{}@hub.example"),
        ("HTTPS_PROXY", "http://me:{}@proxy.example:3128"),
    ],
)
def test_no_key_is_in_the_environment_of_ray(
    install: Callable[[FakeRay], FakeRay], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    value = value.format(KEY)
    monkeypatch.setenv(name, value)
    ray = install(FakeRay(running=False))
    cluster = connect()
    assert KEY not in str(ray.environment)
    assert cluster.secrets[name] == value
    assert os.environ[name] == value
    assert KEY not in repr(cluster)


def test_secrets_show_nothing() -> None:
    assert KEY not in f"{Secrets(a=KEY)!r} {Secrets(a=KEY)}"


@pytest.mark.parametrize(("mode", "warns"), [("disabled", True), ("token", False), ("k8s", False)])
def test_a_cluster_that_asks_for_no_token_is_warned_of(
    install: Callable[[FakeRay], FakeRay],
    capsys: pytest.CaptureFixture[str],
    mode: str,
    warns: bool,
) -> None:
    ray = install(FakeRay(running=True, mode=mode))
    assert connect().secrets == {}
    assert ray.calls == ["auto"]
    assert ("asks for no token" in capsys.readouterr().err) is warns


def test_a_cluster_that_is_named_and_does_not_answer_is_said(
    install: Callable[[FakeRay], FakeRay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    ray = install(FakeRay(running=False))

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("nobody at \x1b[31m10.0.0.1:6379")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(UserError, match=r"cannot use a Ray cluster: nobody at .\[31m10.0.0.1"):
        connect()


_LISTENERS = """
import os, socket, sys
from autocoa_bench.runs.ray_cluster import connect
ray, secrets = connect()
@ray.remote
class Worker:
    def look(self, secrets):
        return os.environ.get("OPENAI_API_KEY"), repr(secrets)
print(ray.get(Worker.remote().look.remote(secrets)))
pids = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        pids[int(pid)] = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    except OSError:
        pass
own = {os.getpid()}
while grown := {pid for pid, parent in pids.items() if parent in own} - own:
    own |= grown
sockets = set()
for pid in own:
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            sockets.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    except OSError:
        pass
    if pid == os.getpid():
        continue
    for file in ("environ", "cmdline"):
        content = open(f"/proc/{pid}/{file}", "rb").read()
        print(file, os.environ["OPENAI_API_KEY"].encode() in content)
for name in ("tcp", "tcp6"):
    for line in open(f"/proc/net/{name}").read().splitlines()[1:]:
        cells = line.split()
        if cells[3] == "0A" and f"socket:[{cells[9]}]" in sockets:
            print("listens", cells[1].partition(":")[0])
"""


@pytest.mark.slow
def test_every_process_of_a_real_cluster_listens_on_loopback_and_holds_no_key(
    tmp_path: Path,
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra 'ray')")
    environment = {name: value for name, value in os.environ.items() if "RAY_" not in name}
    environment |= {"HOME": str(tmp_path), "OPENAI_API_KEY": KEY, "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(
        [sys.executable, "-c", _LISTENERS], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "(None, 'Secrets(***)')"
    addresses = {line.split()[1] for line in lines if line.startswith("listens")}
    v4 = "".join(f"{byte:02X}" for byte in reversed(socket.inet_aton("127.0.0.1")))
    assert addresses <= {v4, f"0000000000000000FFFF0000{v4}"}
    assert addresses
    assert {"environ False", "cmdline False"} <= set(lines)
    assert not {"environ True", "cmdline True"} & set(lines)
