"""Elements of a page, and the page around them. Pure."""

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<style>
:root { color-scheme: light dark; --line: #8886; }
:root { --good: #2e7d32; --bad: #c62828; --mute: #767676; }
body { font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 1.5rem; }
th, td { border-bottom: 1px solid var(--line); padding: 0.3rem 0.6rem; text-align: left; }
th { font-weight: 600; } td { vertical-align: top; }
.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); } .mute { color: var(--mute); }
svg { display: block; width: 100%; height: auto; margin: 0.5rem 0; }
svg text { font-size: 12px; fill: currentColor; }
svg .good { fill: var(--good); color: inherit; } svg .bad { fill: var(--bad); color: inherit; }
svg .goal, svg .axis { stroke: currentColor; stroke-width: 1; }
svg .curve { fill: none; stroke: #1565c0; stroke-width: 2; }
</style>
"""


def element(tag: str, *content: Element | str, **attributes: object) -> Element:
    """An element with text and elements in it; `class_` and `text_anchor` are written `class` and
    `text-anchor`."""
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    made = Element(tag, {names[name]: str(value) for name, value in attributes.items()})
    for part in content:
        if isinstance(part, Element):
            made.append(part)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + part
        else:
            made.text = (made.text or "") + part
    return made


def table(head: Sequence[str], rows: Iterable[Sequence[Element | str]]) -> Element:
    """A table; what is no cell yet becomes one."""
    made = element("table")
    above = SubElement(made, "thead")
    above.append(element("tr", *(element("th", name, scope="col") for name in head)))
    body = SubElement(made, "tbody")
    for row in rows:
        cells = (cell if isinstance(cell, Element) else element("td", cell) for cell in row)
        body.append(element("tr", *cells))
    return made


def page(title: str, *content: Element) -> str:
    """A whole page, which is well-formed XML too."""
    body = element("body", element("h1", title), *content)
    # An element without content is closed by a tag of its own: HTML knows no other way.
    shown = tostring(body, encoding="unicode", short_empty_elements=False)
    name = tostring(element("title", title), encoding="unicode")
    return f"{_HEAD}{name}\n</head>\n{shown}\n</html>\n"
