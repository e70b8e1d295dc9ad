"""HTML that no text can break out of: all text is escaped except markup made here."""

from html import escape

from autocoa_bench.util.text import printable


class Html(str):
    """Markup that `tag` and `joined` include as it is; they escape any other text."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | float | None) -> Html:
    """An element. Attributes that are None are left out; write `class_` and `aria_label`."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(printable(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{pairs}>{joined(*children)}</{name}>")


def joined(*children: str) -> Html:
    """Elements and texts one after the other."""
    return Html("".join(c if isinstance(c, Html) else escape(printable(c)) for c in children))
