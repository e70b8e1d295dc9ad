"""HTML that cannot be broken out of: all text is escaped, unless it was made here."""

from __future__ import annotations

from html import escape


class Html(str):
    """Markup that may stand in a page as it is; any other text is escaped by `tag`."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | float | None) -> Html:
    """An element. Attributes that are None are left out; `class_` and `aria_label` are spelt so."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{pairs}>{joined(*children)}</{name}>")


def joined(*children: str) -> Html:
    """Elements and texts one after the other."""
    return Html("".join(one if isinstance(one, Html) else escape(one) for one in children))
