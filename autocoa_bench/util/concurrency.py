"""Many pieces of work, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Piece = TypeVar("Piece")


async def work_through(
    pieces: Iterable[Piece], work: Callable[[Piece], Awaitable[None]], concurrency: int
) -> None:
    """Do the work of every piece, `concurrency` at a time; whatever one raises stops all."""
    waiting = iter(pieces)

    async def hand() -> None:
        for piece in waiting:
            await work(piece)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(hand())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
