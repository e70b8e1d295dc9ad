"""The gate of a server: how many requests are in flight, and when none may start."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable

Sleep = Callable[[float], Awaitable[None]]

# All times are in seconds.
PATIENCE = 3600.0
"""The longest time that rate limits are waited for while no request is answered."""
FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
"""The longest wait for a limit that does not say how long it lasts."""
_NAMED_WAITS = 3
"""The number of waits that a server may name in a row before they grow by themselves."""
_WAIT_A_REFUSAL = 0.1
"""The least wait of a request for each time that it was refused."""


class Gate:
    """Admits requests to a server, in order; none while a rate limit is waited for.

    Each limit that requests meet halves the number of them in flight, and each answer adds a
    little to it, up to `most` (additive increase, multiplicative decrease).
    """

    def __init__(self, most: int, sleep: Sleep) -> None:
        """`sleep` waits for a number of seconds."""
        self.waited = 0.0
        """The seconds of waiting for limits since the last answer."""
        self.allowed = float(most)
        """The number of requests that may be in flight."""
        self._most = most
        self._sleep = sleep
        self._in_flight = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._limits = 0
        self._limits_since_answer = 0
        self._reopening: asyncio.Future[None] | None = None
        self._reopens_at = 0.0
        self._extension = 0.0

    async def enter(self, *, first: bool = False) -> int:
        """Wait for a place, before all others if `first`; returns a ticket for `wait`."""
        if self._reopening is None and not self._queue and self._in_flight < int(self.allowed):
            self._in_flight += 1
            return self._limits
        turn = asyncio.get_running_loop().create_future()
        (self._queue.appendleft if first else self._queue.append)(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # admitted before it was cancelled
                self.leave()
            raise
        return self._limits

    def leave(self) -> None:
        """Give a place back."""
        self._in_flight -= 1
        if self._queue:
            self._admit()

    def note_answer(self) -> None:
        """Record that the server has answered a request."""
        if self._limits_since_answer:
            self.waited, self._limits_since_answer = 0.0, 0
        if self.allowed < self._most:
            self.allowed = min(self._most, self.allowed + 1 / self.allowed)

    async def wait(self, ticket: int, seconds: float | None, refusals: int) -> float:
        """Close the gate until a limit is over that a request has met; returns the wait.

        `seconds` is the wait that the server names, and `refusals` counts those of the request. Of
        the requests that were in flight together, only the first to meet the limit counts as one.
        """
        if ticket == self._limits:
            self._limits += 1
            self._limits_since_answer += 1
            self.allowed = max(1.0, self.allowed / 2)
        wait = self._wait_of(seconds, refusals)
        now = asyncio.get_running_loop().time
        if self._reopening is not None:
            self._extension = max(self._extension, now() + wait - self._reopens_at)
            await asyncio.shield(self._reopening)
            return wait
        self._reopening = asyncio.get_running_loop().create_future()
        remaining = wait
        try:
            while remaining > 0:
                self._reopens_at, self._extension = now() + remaining, 0.0
                self.waited += remaining
                await self._sleep(remaining)
                remaining = self._extension
        finally:
            self._reopening.set_result(None)
            self._reopening = None
            self._admit()
        return wait

    def _wait_of(self, seconds: float | None, refusals: int) -> float:
        """The wait for a limit, with jitter: other programs may wait for the same one."""
        limits = self._limits_since_answer
        wait = _backoff(limits) if seconds is None else seconds * random.uniform(1.0, 1.1)
        if limits > _NAMED_WAITS:
            wait = max(wait, _backoff(limits - _NAMED_WAITS))
        return max(wait, _WAIT_A_REFUSAL * (refusals - 1))

    def _admit(self) -> None:
        while self._reopening is None and self._queue and self._in_flight < int(self.allowed):
            turn = self._queue.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)


def _backoff(limits: int) -> float:
    return random.uniform(0.5, 1.0) * min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (limits - 1))
