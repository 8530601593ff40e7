"""The page of a run of the benchmark."""

import json
from collections import Counter
from xml.etree.ElementTree import Element, fromstring

import pytest

from bench import report
from bench.html.charts import FURTHEST, Bar, bars, curve
from bench.html.report import html
from bench.rows import Row, Target
from tests.support.faults import soak_page

ROWS = [
    Row("start", "worker start to <first> job", 1.25, "s", Target(2, 0.6), "1.1–1.3 s & more"),
    Row("throughput", "chat job / taskiq job", None, "x", Target(0.3, 1, at_least=True), "none"),
    Row("throughput", "chat job / no-op", 1.5, "x", Target(0.5, 1.2, at_least=True)),
    Row("throughput", "worker's memory", 113.0, "MB"),
]  # fmt: skip


@pytest.fixture(scope="module")
def shown() -> str:
    """The page of these rows, by way of JSON."""
    return html(json.loads(json.dumps(report.document(ROWS, {"cores": 2}))))


@pytest.fixture(scope="module")
def tree(shown: str) -> Element:
    """The same page as a tree, which only something well formed becomes."""
    return fromstring(shown.replace("<!DOCTYPE html>", ""))  # noqa: S314  # it is our own


def texts(tree: Element, tag: str) -> list[str]:
    """What stands in all elements of a kind."""
    return ["".join(found.itertext()) for found in tree.iter(tag)]


def test_every_row_is_shown(tree: Element) -> None:
    """With its value, its bounds and what lies behind it; also one that could not be measured."""
    cells = texts(tree, "td")
    for row in ROWS:
        at = cells.index(row.what)
        assert cells[at + 1] == row.measured
        assert cells[at + 4] == row.detail
    assert {"≤ 0.6 not yet", "≥ 1.2 ok"} <= set(cells), "in words: not everybody sees the colours"
    assert {"cores", "2"} <= set(cells)
    assert "1 of 3 goals are reached, 1 could not be measured." in texts(tree, "p")


def test_a_chart_has_a_bar_for_each_row_with_a_goal(tree: Element) -> None:
    """Green where it is kept; none where there is no value or no goal."""
    kinds = [rect.get("class") for rect in tree.iter("rect")]

    assert kinds == ["bad", "good"]


def test_the_file_stands_alone(shown: str, tree: Element) -> None:
    """Nothing runs in it and nothing is fetched."""
    assert "<script" not in shown
    assert "://" not in shown
    assert not [tag for tag in tree.iter() if "src" in tag.attrib or "href" in tag.attrib]


def test_no_element_is_closed_in_a_way_that_html_does_not_know(shown: str) -> None:
    """A browser reads `<td/>` as an open cell."""
    _, _, body = shown.partition("<body>")

    assert "/>" not in body


def test_a_bar_that_is_far_from_its_goal_is_cut() -> None:
    """The others could not be seen beside it."""
    chart = bars("x", [Bar("far", 50.0, "5 s"), Bar("near", FURTHEST, "1 s")])

    far, near = (rect.get("width") for rect in chart.iter("rect"))
    assert far == near
    assert "5 s (cut)" in texts(chart, "text")


@pytest.mark.parametrize("values", [[], [0.0], [1.0, 5.0, 3.0]])
def test_a_curve_has_a_point_for_each_value(values: list[float]) -> None:
    """Also where there is only one, or none."""
    (line,) = curve("x", "MB", values).iter("polyline")

    assert len((line.get("points") or "").split()) == len(values)


def test_a_soak_has_a_page_too() -> None:
    """Each round, each kind of fault, and the verdict."""
    faults = Counter(kill_worker=7)
    rounds = [soak_page.Round(300, 310 + i, faults, 140_000_000 + i, 40) for i in range(3)]

    page = soak_page.html("every promise was kept", rounds)

    tree = fromstring(page.replace("<!DOCTYPE html>", ""))  # noqa: S314  # it is our own
    cells = texts(tree, "td")
    assert {"310", "311", "312", "140 MB", "kill_worker", "21"} <= set(cells)
    assert texts(tree, "p") == ["every promise was kept"]
