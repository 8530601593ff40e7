"""Charts in SVG. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from bench.html.elements import element
from bench.rows import shown

WIDTH = 900
LABEL = 400
BAR, GAP = 16, 8
HEIGHT = 180
MARGIN_LEFT, MARGIN = 70, 24
FURTHEST = 3.0
"""A bar that is longer than so many goals is cut there."""


@dataclass(frozen=True, slots=True)
class Bar:
    """`share` is the distance to the goal, which is 1: what is less keeps it."""

    label: str
    share: float
    text: str


def bars(title: str, items: Sequence[Bar]) -> Element:
    """Horizontal bars and the line of the goal."""
    step = BAR + GAP
    height = step * len(items) + MARGIN
    of_goal = (WIDTH - LABEL - 110) / FURTHEST
    made = _svg(title, height)
    for number, item in enumerate(items):
        top = number * step + 4
        length = max(1.0, min(item.share, FURTHEST) * of_goal)
        middle = top + BAR - 4
        made.append(element("text", item.label, x=LABEL - 8, y=middle, text_anchor="end"))
        kind = "good" if item.share <= 1 else "bad"
        made.append(element("rect", x=LABEL, y=top, width=f"{length:.1f}", height=BAR, class_=kind))
        cut = " (cut)" if item.share > FURTHEST else ""
        made.append(element("text", item.text + cut, x=f"{LABEL + length + 6:.1f}", y=middle))
    at = f"{LABEL + of_goal:.1f}"
    made.append(element("line", x1=at, x2=at, y1=0, y2=height - MARGIN + 6, class_="goal"))
    made.append(element("text", "the goal", x=at, y=height - 4, text_anchor="middle"))
    return made


def curve(title: str, unit: str, values: Sequence[float]) -> Element:
    """A value that changes from round to round, from 0 up."""
    made = _svg(title, HEIGHT + MARGIN)
    most = max([*values, 1.0])
    bottom, right = HEIGHT - MARGIN, WIDTH - MARGIN
    for value in (0.0, most / 2, most):
        y = f"{bottom - value / most * (bottom - MARGIN):.1f}"
        made.append(element("line", x1=MARGIN_LEFT, x2=right, y1=y, y2=y, class_="axis",
                            opacity=0.25))  # fmt: skip
        made.append(element("text", f"{shown(value)} {unit}".rstrip(), x=MARGIN_LEFT - 8, y=y,
                            text_anchor="end"))  # fmt: skip
    step = (right - MARGIN_LEFT) / max(1, len(values) - 1)
    points = " ".join(
        f"{MARGIN_LEFT + number * step:.1f},{bottom - value / most * (bottom - MARGIN):.1f}"
        for number, value in enumerate(values)
    )
    made.append(element("polyline", points=points, class_="curve"))
    made.append(element("text", "round 1", x=MARGIN_LEFT, y=HEIGHT))
    made.append(element("text", f"round {len(values)}", x=right, y=HEIGHT, text_anchor="end"))
    return made


def _svg(title: str, height: int) -> Element:
    return element(
        "svg",
        element("title", title),
        role="img",
        aria_label=title,
        viewBox=f"0 0 {WIDTH} {height}",
    )
