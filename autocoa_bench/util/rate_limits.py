"""Reading of rate limits: how long a server wants us to wait, and whether waiting helps at all.

The patterns cover families of wordings; tests/util/test_rate_limits.py lists what servers say.
"""

import math
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LIMIT_STATUSES = frozenset({429, 498, 529})
"""Too many requests; the codes of Groq and of Anthropic for a server without room."""
_LIMITED = re.compile(
    r"rate[ _-]?limit\w*(?:[ _]exceed|[ _]reach|[ _]error|ed\b|:|$)|rateLimitExceeded"
    r"|too many (?:requests|concurrent)|throttl|resource_?exhausted|slow down"
    r"|(?:tokens|requests) per (?:min|sec)|exceeded[^.]{0,30}rate limit|concurrency limit",
    re.IGNORECASE,
)
_OVERLOADED = re.compile(
    r"overload|(?:over|at|no|insufficient|exceeded|temporarily at)[ _-]?(?:full |its |available )?"
    r"capacity|capacity (?:temporarily )?exceeded|high demand|too busy|server[ _]busy|is busy"
    r"|queue is full|no (?:healthy|available) (?:upstream|workers?|backends?|instances?)"
    r"|try again later|heavy load",
    re.IGNORECASE,
)
_A_MINUTE = re.compile(
    r"(?:per|/) ?_?(?:min|sec)|per_?min|\bR[PT]M\b|\b[TR]PM\b|\b[TR]PS\b|a minute|thrott|rate limit"
    r"|rate_limit(?!s\b)|concurren",
    re.IGNORECASE,
)
_A_DAY = re.compile(
    r"(?:per|/) ?_?(?:day|month|week)\b|per_?(?:day|month|week)(?![a-z])|PerDay|PerMonth"
    r"|\b(?:RPD|TPD|RPMo)\b"
    r"|\b(?:daily|weekly|monthly)\b[^.]{0,40}\b(?:limit|quota|usage|allowance|credits|requests)"
    r"|(?:limit|quota)[^.]{0,20}\b(?:for (?:today|the day|this month)|today)\b",
    re.IGNORECASE,
)
_UNPAID = re.compile(
    r"insufficient[_ ](?:user_|account )?(?:quota|credits?|balance|funds)|balance[^.]{0,20}too low"
    r"|balance is (?:insufficient|exhausted)|top[ -]up|add a payment method|no active subscription"
    r"|(?:please|to) upgrade|upgrade (?:your|to)|usage cap|hard limit"
    r"|billing[_ ](?:hard[_ ]limit|not[_ ]active|error)"
    r"|account is not active|account[^.]{0,30}(?:suspended|in arrears|overdue)"
    r"|arrearage|payment required|out of (?:credits?|budget|funds)|no (?:remaining )?credits"
    r"|not enough (?:credits?|balance|quota)|quota is not enough|(?:can only|cannot) afford"
    r"|requires more credits|\bkey limit exceeded"
    r"|(?:exceed\w*|reached|hit)[^.]{0,40}(?:budget|spend(?:ing)? limit|credits)"
    r"|used all (?:available|your) credits|(?:budget|spending limit)[^.]{0,20}(?:exceed|reach)"
    r"|over (?:the |its )?budget|余额不足|欠费|额度已用完",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"exceeded your current quota|exceeded_current_quota"
    r"|quota[^.]{0,30}(?:exhausted|exceeded|used up)"
    r"|exceeded[^.]{0,30}\bquota|usage limits?\b|(?:hit|reached) your[^.]{0,20}limit",
    re.IGNORECASE,
)
_UNITS = (0.0, 0.0, 0.001, 1.0, 60.0, 3600.0, 86400.0)
"""Seconds by the number of the group of `_PART` that holds the unit."""
_UNIT = (
    r"(?:(ms|milliseconds?|msecs?)|(s|secs?|seconds?)|(m|mins?|minutes?)|(h|hrs?|hours?)"
    r"|(d|days?))(?![a-zA-Z])"
)
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s*{_UNIT}", re.IGNORECASE)
_DURATION = rf"((?:\d+(?:\.\d+)?\s*{_UNIT}(?:,?\s*(?:and\s*)?)?)+|\d+(?:\.\d+)?(?![\d.]*\w))"
_NAMED_WAIT = re.compile(
    r"(?:(?:try|retry|available|wait|reset\w*|again|back|allowed)\b[^.\d]{0,40}?"
    r"\b(?:in|after|for|about)"
    r"|retry_?(?:delay|after(?:_(?:seconds|ms))?)\W{0,4}|\bwait|reset (?:after|in)|cooldown)"
    r"\W{0,3}"
    rf"(?:about |another |at least |approximately )?{_DURATION}",
    re.IGNORECASE,
)


_IN_A_WHILE = re.compile(rf"\bin ((?:\d+(?:\.\d+)?\s*{_UNIT}\s*)+)", re.IGNORECASE)


def is_limit(status: int, text: str) -> bool:
    """True if a reply refuses a request because the server has too many of them.

    `text` is all that the reply says.
    """
    if status in _LIMIT_STATUSES:
        return True
    if status in (400, 403) or status >= 500 or status == 200:
        if _LIMITED.search(text):
            return True
        return status in (200, 500, 502, 503) and _OVERLOADED.search(text) is not None
    return False


def is_exhausted(status: int, text: str) -> bool:
    """True if a reply says that nothing is left to spend, so that waiting for minutes is in vain.

    A limit a day counts. Some servers call a limit a minute a quota, too: that is none.
    """
    if status == 402:
        return True
    if status < 400 or status in (404, 405, 413):
        return False
    is_refusal = status in (403, 429) or (status >= 500 and is_limit(status, text))
    if is_refusal and _A_DAY.search(text):
        return True
    if _A_MINUTE.search(text):
        return False
    if _UNPAID.search(text):
        return True
    return _QUOTA.search(text) is not None and _NAMED_WAIT.search(text) is None


def named_wait(headers: Mapping[str, str], text: str) -> float | None:
    """The seconds that a reply asks to wait, by its headers or its text; None if it does not."""
    waits = (
        _scaled(headers.get("retry-after-ms"), 0.001),
        retry_seconds(headers.get("Retry-After", ""), headers.get("Date", "")),
        _wait_in_text(text),
        _reset_seconds(headers),
    )
    return next((max(0.0, wait) for wait in waits if wait is not None), None)


def retry_seconds(retry_after: str, date: str = "") -> float | None:
    """A Retry-After header (seconds or an HTTP date) as seconds from now.

    `date` is the server's own clock, whose error then does not matter.
    """
    if not retry_after:
        return None
    try:
        wait = float(retry_after)
    except ValueError:
        try:
            now = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError, TypeError):
            now = time.time()
        try:
            wait = parsedate_to_datetime(retry_after).timestamp() - now
        except (ValueError, OverflowError, TypeError):
            return seconds_of(retry_after)
    return max(0.0, wait) if math.isfinite(wait) else None


def seconds_of(duration: str) -> float | None:
    """A duration such as `6m0s`, `250ms` or `1 minute and 5 seconds` in seconds."""
    parts = list(_PART.finditer(duration))
    if not parts or _PART.sub("", duration).strip(" ,and"):
        return None
    return sum(float(part[1]) * _UNITS[part.lastindex or 0] for part in parts)


def _wait_in_text(text: str) -> float | None:
    match = _NAMED_WAIT.search(text)
    if match is None:
        match = _IN_A_WHILE.search(text)
        return seconds_of(match[1]) if match else None
    if re.fullmatch(r"[\d.]+", match[1]):  # without a unit: seconds, unless the name says more
        return _scaled(match[1].rstrip("."), 0.001 if "ms" in match[0].lower() else 1.0)
    return seconds_of(match[1])


def _reset_seconds(headers: Mapping[str, str]) -> float | None:
    """The time until a limit is reset that is used up; the shortest, if none says so."""
    resets = dict(_resets(headers))
    used_up = [wait for name, wait in resets.items() if _remaining(headers, name) == 0]
    return max(used_up) if used_up else min(resets.values(), default=None)


def _resets(headers: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    for name, value in headers.items():
        lower = name.lower()
        if "ratelimit" not in lower.replace("-", "") or "reset" not in lower:
            continue
        wait = seconds_of(value)
        if wait is None:
            wait = _scaled(value, 1.0)
            if wait is not None and wait > 1e11:  # a time in milliseconds
                wait = wait / 1000 - time.time()
            elif wait is not None and wait > 1e9:  # a time in seconds
                wait -= time.time()
        if wait is None:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                continue
            wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
            wait -= time.time()
        yield lower, max(0.0, wait)


def _remaining(headers: Mapping[str, str], reset: str) -> float | None:
    return _scaled(headers.get(reset.replace("reset", "remaining")), 1.0)


def _scaled(number: str | None, unit: float) -> float | None:
    try:
        value = float(number) * unit if number is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
