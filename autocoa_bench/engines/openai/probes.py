"""Whether a server's chat template keeps what a model has thought, as its prompt counts show."""

from collections.abc import Awaitable, Callable, Sequence

from autocoa_bench.types import Message

_THOUGHT = "\n".join(f"The number {number} comes after {number - 1}." for number in range(1, 9))
_LEAST = 32  # tokens that the thought has at least

Count = Callable[[Sequence[Message]], Awaitable[int | None]]
"""The tokens of a prompt of messages, None if the server does not say."""


async def drops_thoughts(count: Count, last: Message | None) -> bool:
    """True if thoughts are missing from the prompt of an assistant message that has them.

    `last` is the message after it, None to continue the assistant's message itself. False also
    where the counts tell nothing.
    """
    user, end = Message("user", "Hi"), () if last is None else (last,)
    thoughtful = f"<think>\n{_THOUGHT}\n</think>\n\nok"
    whole = await count((user, Message("assistant", thoughtful), *end))
    if whole is None:
        return False
    bare = await count((user, Message("assistant", "ok"), *end))
    if bare is None or whole - bare >= _LEAST:
        return False
    # Servers that count in another way, or not at all, show it by a user's message.
    longer = Message("user", f"Hi\n{_THOUGHT}")
    more = await count((longer, Message("assistant", "ok"), *end))
    return more is not None and more - bare >= _LEAST
