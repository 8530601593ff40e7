"""Grafana's dashboard: made from the code, shaped as Grafana reads it, asking for what there is.

No Grafana is at hand where it is made and tested, so nobody has seen what it looks like there. The
queries themselves are tried in tests/e2e/monitoring.
"""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from deploy.monitoring.dashboard import DASHBOARD, dashboard_text
from deploy.monitoring.panels import Panel, Query
from deploy.monitoring.rows import ROWS
from tests.support.metrics.promql import unknown_names
from tests.support.source_tree import ROOT

SCHEMA = Path(__file__).parent / "dashboard.schema.json"
SHOWN: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
PANELS = [panel for row in ROWS for panel in row.panels]
QUERIES = [query for panel in PANELS for query in panel.queries]


def recorded(expression: str) -> str:
    """Without the names that the rules record (tests/unit/deploy/test_alerts.py)."""
    return re.sub(r"\bgriot:\w+:\w+", "recorded", expression)


def test_the_dashboard_is_that_of_the_code() -> None:
    """Written anew by: python -m deploy.monitoring.dashboard."""
    assert DASHBOARD.read_text("utf-8") == dashboard_text()


def test_the_dashboard_has_grafanas_shape() -> None:
    """Every field by a schema of Grafana's dashboard model; none that it does not know."""
    checker = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text("utf-8")))
    assert [f"{one.instance_path}: {one.message}" for one in checker.iter_errors(SHOWN)] == []


def test_panels_have_their_own_number_and_place() -> None:
    """Grafana moves what overlaps, and mixes up what has the same number."""
    panels = SHOWN["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    places = [one["gridPos"] for one in panels]
    assert all(one["x"] + one["w"] <= 24 for one in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression)
def test_a_panel_asks_for_what_there_is(query: Query) -> None:
    """Metrics and labels of the catalogue; and its legend names labels that its series have."""
    assert unknown_names(recorded(query.expression)) == []
    for label in re.findall(r"{{(\w+)}}", query.legend):
        in_rules = "griot:slo_missed" in query.expression and label in ("agent", "slo")
        assert (
            in_rules
            or label in ("instance", "role")
            or re.search(rf"\b{label}\b", query.expression)
        )


def test_the_marks_ask_for_what_there_is() -> None:
    """A start of a process, and the agents to choose from."""
    [mark] = SHOWN["annotations"]["list"]
    assert unknown_names(mark["expr"]) == []
    agents = SHOWN["templating"]["list"][1]["query"]["query"]
    assert unknown_names(re.findall(r"label_values\((\w+),", agents)[0]) == []


def test_each_question_of_an_operator_has_its_row() -> None:
    """The five that the dashboard is for."""
    assert {
        "Why does this user wait?",
        "Which server is slow?",
        "What did the last deploy change?",
        "Will memory last the week?",
        "Who fills the queue?",
    } <= {row.question for row in ROWS}


def test_the_questions_of_the_document_lead_to_panels() -> None:
    """Each panel that docs/operations.md names is there, in the row of its question."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    rows = {row.question: {panel.title for panel in row.panels} for row in ROWS}
    asked = re.findall(r"^\| ([^|]+\?) \| [^|]*\| \*\*([^*]+)\*\*", text, re.MULTILINE)
    assert len(asked) == 5
    assert [(question, title) for question, title in asked if title not in rows[question]] == []


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_says_what_its_lines_are(panel: Panel) -> None:
    """Those of a chart by a legend each."""
    assert all(one.legend for one in panel.queries) is (panel.kind == "timeseries")
