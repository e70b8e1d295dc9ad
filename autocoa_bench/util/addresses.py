"""Addresses of servers: which are usable, which proxy leads there, and what is wrong with TLS."""

import asyncio
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from autocoa_bench.errors import UserError

CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The environment variables that name a file of certificates to trust."""

_PROXY_VARIABLES = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY"
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104
"""The addresses that a server listens at, and the one at which this machine reaches it."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_SPEAKS_TLS = re.compile(
    r"HTTP request (?:was sent )?to (?:an? )?HTTPS|plain HTTP request|instead use the HTTPS|"
    r"requires TLS|use https",
    re.IGNORECASE,
)
_CERTIFICATE_PROBLEMS = {
    9: "is not valid yet: check the clock of this machine",
    10: "has expired: the server needs a new one, or this machine's clock is wrong",
    18: "is self-signed",
    **dict.fromkeys((19, 20, 21), "comes from an authority that is not trusted here"),
}
"""By OpenSSL's code of a failed verification."""
_UNTRUSTED = (18, 19, 20, 21)
_OTHER_HOST = (62, 64)


def server_address(url: str, name: str, example: str, hint: str = "") -> SplitResult:
    """The parts of an http or https address that has a host and a path, but no more.

    An address that a server listens at (0.0.0.0) becomes the one that reaches it. `name` is what
    messages call the address, and `hint` what to do with anything else in it. Raises UserError,
    without repeating credentials.
    """
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname or ""
        is_usable = parts.scheme in ("http", "https") and parts.port != 0 and _is_host(host)
    except ValueError:  # an unreadable port or bracket
        is_usable = False
    if not is_usable:
        raise UserError(
            f"{name} '{url.rpartition('@')[2]}' is not an http:// or https:// address; give one "
            f"such as {example}"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UserError(
            f"{name} ({parts.hostname}) has more than host, port and path; "
            f"{hint or 'leave the rest out'}"
        )
    written = f"[{unquote(host)}]" if ":" in host else host.rstrip(".")
    port = "" if parts.port is None else f":{parts.port}"
    return parts._replace(netloc=_LOOPBACK.get(host, written) + port)


def _is_host(host: str) -> bool:
    if not host or re.search(r"[\s\\<>^`{|}\"]", host) or not host.isprintable():
        return False
    if _address(host) is not None:
        return True
    if re.fullmatch(r"[\d.]+|0x[\da-f]+", host):  # 127.1 or 2130706433, which clients read unlike
        return False
    try:
        return bool(host.rstrip(".").encode("idna"))
    except UnicodeError:  # a label that is empty or too long
        return False


def proxy_of(parts: SplitResult) -> str | None:
    """The proxy that the environment names for an address; none for this machine itself.

    Raises UserError, without repeating credentials, for a proxy that cannot be used.
    """
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxies = getproxies()
    if is_local(host) or _is_exempt(host, port, proxies.get("no", "")) or proxy_bypass(host):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    try:
        proxy_parts = urlsplit(proxy)
        is_http = proxy_parts.scheme in ("http", "https")
        is_usable = is_http and bool(proxy_parts.hostname) and proxy_parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise UserError(
            f"the proxy '{proxy.rpartition('@')[2]}' of the environment ({_PROXY_VARIABLES}) is "
            f"not an http:// or https:// address, and SOCKS is not supported; give another one, or "
            f"NO_PROXY={host} to do without"
        )
    return proxy


def is_local(host: str) -> bool:
    """True for a name or an address of this machine alone."""
    address = _address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether a list has a host: as a name, domain, network (CIDR) or `*`, perhaps with a port."""
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        match = re.fullmatch(r"(\[[^\]]+\]|[^:]+)(?::(\d+))?", entry)
        name, own_port = (match[1], match[2]) if match else (entry, None)
        name = name.strip("[]").removeprefix("*.").strip(".")
        if not name or (own_port and int(own_port) != port):
            continue
        if name == "*" or host == name or host.endswith(f".{name}") or _is_in(host, name):
            return True
    return False


def _is_in(host: str, network: str) -> bool:
    address = _address(host)
    try:
        return address is not None and address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(unquote(host))
    except ValueError:
        return None


def tls_context() -> ssl.SSLContext:
    """What https connections trust: the system's certificates and those of the environment.

    Raises UserError for a file of certificates that cannot be read.
    """
    context = ssl.create_default_context()
    for name in CERTIFICATE_VARIABLES:
        if path := os.environ.get(name):
            try:
                kind = "capath" if Path(path).is_dir() else "cafile"
                context.load_verify_locations(**{kind: path})
            except (OSError, ssl.SSLError):
                raise UserError(
                    f"{name} names '{path}', which is no readable file of certificates (PEM)"
                ) from None
    return context


async def speaks_tls(host: str, port: int, seconds: float) -> bool:
    """True if a server answers a greeting of TLS within some seconds."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        opened = asyncio.open_connection(host, port, ssl=context)
        _, writer = await asyncio.wait_for(opened, seconds)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def refuses_plain_http(text: str) -> bool:
    """True if an error reply says that its port is for https."""
    return _SPEAKS_TLS.search(text) is not None


def tls_problem(error: BaseException, host: str) -> str | None:
    """What is wrong between us and a server, and what to do, for an error that no retry helps.

    None for any other error.
    """
    # aiohttp's own errors are of these types, too, but without the details.
    problem = list(_causes(error))[-1]
    if not isinstance(problem, ssl.SSLError):
        return None
    if isinstance(problem, ssl.SSLCertVerificationError):
        code = problem.verify_code
        message = f"cannot be verified ({problem.verify_message.rstrip('.')})"
        text = _CERTIFICATE_PROBLEMS.get(code, message)
        if code in _OTHER_HOST:
            text = f"is for another host than '{host}'; give the name that it is for"
        elif code in _UNTRUSTED:
            text += f"; to trust it, set {CERTIFICATE_VARIABLES[0]} to a PEM file that contains it"
        return f"its TLS certificate {text}"
    if problem.reason in _NO_TLS:
        return "it speaks no TLS at that port; give the address with http://"
    if "PROTOCOL" in (problem.reason or ""):
        return "it speaks only another version of TLS than this machine allows"
    return None


def connection_problem(error: BaseException) -> str:
    """A failed connection in a few words."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            name = getattr(error, "host", "") or "of the server"
            return f"the name '{name}' has no address here ({cause.strerror})"
    number = getattr(error, "errno", None)
    text = os.strerror(number) if number and number > 0 else str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it wraps."""
    while error is not None:
        yield error
        inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
        error = inner if isinstance(inner, BaseException) and inner is not error else None
