"""Consoles: every one of the project is made here, and none parses text as rich's markup."""

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from autocoa_bench.util.secrets import redact
from autocoa_bench.util.streams import FilteredStream
from autocoa_bench.util.text import printable


class _FilteredConsole(Console):
    """A console without markup, emoji codes and links, whose texts are printable."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    @property
    def file(self) -> IO[str]:
        """The stream under a filtered one, which would take out rich's own colours."""
        file = super().file
        return file.stream if isinstance(file, FilteredStream) else file

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render_str(self, text: str, **options: Any) -> Text:
        # Earlier than in `render`, so that tables measure what they show.
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            plain = style.update_link(None) if style and style.link else style
            yield Segment(text if control else printable(text), plain, control)


def stdout_console() -> Console:
    """A console for the result of a command."""
    return _FilteredConsole()


def stderr_console() -> Console:
    """A console for progress and warnings."""
    return _FilteredConsole(stderr=True)


def styled(text: str, style: str = "") -> Text:
    """Text as any console prints it: printable, without secrets, and never markup."""
    return Text(printable(redact(text)), style)
