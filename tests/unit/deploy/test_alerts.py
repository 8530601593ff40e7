"""The alert rules: their names are those of the metrics, and each tells its reader what to do."""

from pathlib import Path

import pytest
import yaml

from tests.support.metrics.promql import unknown_names
from tests.support.source_tree import anchors

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "monitoring"
RULES = [
    rule
    for path in sorted((FOLDER / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]


def name_of(rule: dict[str, str]) -> str:
    """As a test is called by it."""
    return rule.get("alert") or rule["record"]


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_rule_asks_for_what_there_is(rule: dict[str, str]) -> None:
    """Metrics and labels of the catalogue, and what other rules record."""
    recorded = {one["record"] for one in RULES if "record" in one}
    expression = rule["expr"]
    for name in sorted(recorded, key=len, reverse=True):
        expression = expression.replace(name, "recorded")
    assert "griot:" not in expression
    assert unknown_names(expression) == []


@pytest.mark.parametrize("rule", ALERTS, ids=name_of)
def test_an_alert_leads_to_its_runbook(rule: dict[str, dict[str, str]]) -> None:
    """To a heading that is there; and it says how soon somebody must look."""
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/runbooks.md"
    assert anchor in anchors(ROOT / page)
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_each_runbook_has_its_alert() -> None:
    """A section that no alert leads to is read by nobody."""
    page = ROOT / "docs" / "runbooks.md"
    led_to = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in ALERTS}
    headings = anchors(page)
    assert headings - led_to == {"runbooks-what-to-do-when-an-alert-fires"}


@pytest.mark.parametrize("rule", ALERTS, ids=name_of)
def test_an_alert_is_tried_both_ways(rule: dict[str, str]) -> None:
    """promtool's files have a case where it fires and one where it does not."""
    tried = [
        bool(one.get("exp_alerts"))
        for path in (FOLDER / "rule_tests").glob("*.yml")
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]
        for one in case["alert_rule_test"]
        if one["alertname"] == rule["alert"]
    ]
    assert {True, False} <= set(tried)


def test_a_name_that_nobody_shows_is_found() -> None:
    """Of a metric and of a label, wherever it stands."""
    assert unknown_names('sum by (agent) (rate(griot_attempts_total{outcome="failed"}[5m]))') == []
    assert unknown_names("griot_attempts") == ["griot_attempts"]
    assert unknown_names('griot_attempts_total{model="m"}') == ["griot_attempts_total{model}"]
    assert unknown_names("sum by (model) (griot_attempts_total)") == ["model"]
