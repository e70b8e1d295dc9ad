"""Secrets of the environment, kept out of what libraries write: messages, logs, subprocesses."""

import logging
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

_NAME = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)$", re.IGNORECASE)
_USERINFO = re.compile(r"//([^/\s]*)@")
_SHORTEST = 8
"""A shorter value is a placeholder such as `EMPTY`, which a text may contain by chance."""


def environment_secrets() -> dict[str, str]:
    """The variables with a secret: by their names, or as URLs with a user and a password."""
    return {
        name: value
        for name, value in os.environ.items()
        if _NAME.search(name) or _USERINFO.search(value)
    }


def is_secret_name(name: str) -> bool:
    """True for a name such as `api_key` or `HF_TOKEN`, whose value is a secret."""
    return _NAME.search(name) is not None


def redact(text: str) -> str:
    """The text without the secrets of the environment."""
    for secret in _spellings():
        text = text.replace(secret, "***")
    return text


@contextmanager
def redacted_logs(library: str) -> Iterator[None]:
    """Keep secrets out of what a library logs meanwhile."""
    loggers = (logging.getLogger(library), logging.getLogger())
    handlers = [handler for logger in loggers for handler in logger.handlers]
    for handler in handlers:
        handler.addFilter(_redact_record)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_redact_record)


def _redact_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = redact(record.getMessage()), ()
    return True


def _spellings() -> list[str]:
    """All that must not be shown; the longest first, because one may contain another."""
    spellings: set[str] = set()
    for name, value in environment_secrets().items():
        if _NAME.search(name) and len(value.strip()) >= _SHORTEST:
            spellings.add(value.strip())
        for userinfo in _USERINFO.findall(value):
            plain = unquote(userinfo)
            password = userinfo.rpartition(":")[2]
            spellings |= {part for part in (password, unquote(password)) if len(part) >= _SHORTEST}
            if ":" in userinfo:
                spellings |= {f"{userinfo}@", f"{plain}@", b64encode(plain.encode()).decode()}
    return sorted(spellings, key=len, reverse=True)
