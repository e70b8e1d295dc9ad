"""A report's plots as inline SVG: the figures of `render.plot_figures` in the page's colours."""

from collections.abc import Mapping, Sequence
from re import findall, sub
from xml.etree import ElementTree

from autocoa_bench.report.page.markup import Html, joined, tag
from autocoa_bench.report.render.plot_figures import COLOURS, INK, PAPER, QUIET, RULE, Mark, svg
from autocoa_bench.report.render.plots import IntervalPlot, Plot, StackPlot

_VARIABLES = {
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    **{colour: f"var(--{number})" for number, colour in enumerate(COLOURS)},
}
"""The variables of page.css, which have a light and a dark value, by the colour in the figures."""

_SCALE = 1.6
"""CSS pixels per point: text of 8 points becomes 13 pixels high."""

_DROPPED = ("metadata", "style")


def figures(plots: Sequence[Plot]) -> Html:
    """The plots of a table side by side; empty without plots."""
    if not plots:
        return joined()
    kind = "panels" if isinstance(plots[0], IntervalPlot) else "pair"
    return tag("div", *(figure for plot in plots for figure in _figures(plot)), class_=kind)


def _figures(plot: Plot) -> list[Html]:
    """A figure per panel or plot, whose caption is HTML and so wraps with the page."""
    if isinstance(plot, IntervalPlot):
        return [
            _figure(caption, IntervalPlot(plot.name, {"": panel}))
            for caption, panel in plot.panels.items()
        ]
    caption = plot.caption
    if isinstance(plot, StackPlot):
        caption += " (each part links to its trajectories)"
    return [_figure(caption, plot._replace(caption=""))]


def _figure(caption: str, plot: Plot) -> Html:
    content, marks = svg(plot, salt=f"{plot.name} {caption}")
    root = ElementTree.fromstring(content)  # noqa: S314 - matplotlib wrote it
    referenced = set(findall(rb"#([\w.-]+)", content))
    # Ids that nothing refers to would only repeat from figure to figure.
    children = [_element(child, marks, {name.decode() for name in referenced}) for child in root]
    width, height = (float(length) for length in root.attrib["viewBox"].split()[2:])
    # An image has its numbers as its label; links must stay reachable one by one.
    links = any(mark.query for mark in marks.values())
    words = "; ".join(mark.text for mark in marks.values())
    drawing = tag(
        "svg",
        *children,
        role="group" if links else "img",
        aria_label=caption if links else words,
        viewBox=root.attrib["viewBox"],
        width=f"{_SCALE * width:.0f}",
        height=f"{_SCALE * height:.0f}",
        class_="chart",
    )
    return tag("figure", tag("figcaption", caption), drawing)


def _element(element: ElementTree.Element, marks: Mapping[str, Mark], referenced: set[str]) -> Html:
    """An SVG element and its children as markup; a marked one gets a tooltip or becomes a link.

    The page's policy forbids `style`, so that its properties become attributes.
    """
    # HTML spells names without their namespace.
    name = element.tag.rpartition("}")[2]
    if name in _DROPPED:
        return joined()
    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    properties = [pair.split(": ", 1) for pair in attributes.pop("style", "").split("; ") if pair]
    # Without a family of their own the texts have the page's font.
    attributes |= {key: value for key, value in properties if key != "font-family"}
    for key, value in attributes.items():
        if key in ("fill", "stroke"):
            attributes[key] = _VARIABLES.get(value, value)
        elif key in ("d", "x", "y", "transform"):  # two decimals of a point are enough
            attributes[key] = sub(r"(\.\d\d)\d+", r"\1", " ".join(value.split()))
    id_ = attributes.pop("id", "")
    if id_ in referenced:
        attributes["id"] = id_
    children = [_element(child, marks, referenced) for child in element]
    mark = marks.get(id_)
    if mark is None:
        return tag(name, (element.text or "").strip(), *children, **attributes)
    title = tag("title", mark.text)
    if not mark.query:
        return tag(name, title, *children, **attributes)
    href = f"#trajectories?{mark.query}"
    return tag("a", title, *children, href=href, aria_label=mark.text)
