"""A connection to a Ray cluster: a running one, or one of this machine that only this run reaches.

Whoever reaches a cluster without a token can run code in it. The cluster that is started here has a
token, listens on loopback alone, has no dashboard, and knows no key: its processes start with an
environment without secrets, which the workers are handed by name.
"""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from autocoa_bench.errors import UserError, import_extra
from autocoa_bench.util.secrets import environment_secrets
from autocoa_bench.util.text import one_line

_MODE, _ADDRESS = "RAY_AUTH_MODE", "RAY_ADDRESS"
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


class Secrets(dict[str, str]):
    """Variables of the environment that no log shows."""

    def __repr__(self) -> str:
        return "Secrets(***)"


class Cluster(NamedTuple):
    """The library, connected to a cluster, and the secrets that its workers lack."""

    ray: Any
    secrets: Secrets


def connect() -> Cluster:
    """Join the cluster of RAY_ADDRESS or one that runs on this machine, or else start one here.

    Raises UserError.
    """
    ray = import_extra("ray", "spreading a run over a Ray cluster", "ray")
    if ray.is_initialized():
        return Cluster(ray, Secrets())
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if _joins(ray, **quiet):
            _warn_without_token()
            return Cluster(ray, Secrets())
        _make_token()
        with _loopback(), _hidden_secrets() as hidden:
            ray.init("local", include_dashboard=False, **quiet)
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise UserError(f"cannot use a Ray cluster: {one_line(str(error), 400)}") from None
    return Cluster(ray, hidden)


def _joins(ray: Any, **options: Any) -> bool:
    """Join a cluster; False where none is named and none runs here."""
    address = os.environ.get(_ADDRESS, "")
    if address == "local":
        return False
    try:
        # Without an address, Ray reads the variable, or else starts a cluster of its own.
        ray.init(None if address else "auto", **options)
    except ConnectionError:
        if address:
            raise
        return False
    return True


def _warn_without_token() -> None:
    if os.environ.get(_MODE, "").lower() not in ("token", "k8s"):
        print(
            "warning: this Ray cluster asks for no token: whoever reaches it can run code in it "
            f"and read its files; start it with {_MODE}=token, and set that here",
            file=sys.stderr,
        )


def _make_token() -> None:
    """Make the token that Ray would make, but readable by its owner alone."""
    os.environ.pop(_MODE, None)  # the clusters that others start may have another mode
    file = Path.home() / ".ray" / "auth_token"
    if any(name in os.environ for name in _TOKENS) or file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        suppress(FileExistsError),
        os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream,
    ):
        stream.write(secrets.token_hex(32))


@contextmanager
def _loopback() -> Iterator[None]:
    """Let a cluster listen on loopback, as it does by default on macOS and Windows."""
    constants: Any = import_module("ray._private.ray_constants")
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _hidden_secrets() -> Iterator[Secrets]:
    """The environment without secrets, for the processes that start meanwhile."""
    hidden = Secrets(
        item for item in environment_secrets().items() if not item[0].startswith("RAY_")
    )
    for name in hidden:
        del os.environ[name]
    try:
        yield hidden
    finally:
        os.environ.update(hidden)
