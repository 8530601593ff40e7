"""Grafana's dashboard, as JSON: `python -m deploy.monitoring.dashboard` writes it anew.

It is made for Grafana's dashboard model of version 39 (Grafana 11), which later ones read and
migrate. tests/unit/deploy/test_dashboard.py holds the file to the code, its queries to the metrics
and its shape to a schema.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from deploy.monitoring.panels import Panel, Query
from deploy.monitoring.rows import ROWS

DASHBOARD = Path(__file__).resolve().parent / "grafana" / "dashboards" / "griot.json"
SCHEMA_VERSION = 39
WIDTH, HEIGHT, STAT_HEIGHT = 24, 8, 4
SOURCE = {"type": "prometheus", "uid": "${source}"}

Json = dict[str, object]


def dashboard() -> Json:
    """All of it."""
    return {
        "uid": "griot",
        "title": "Griot",
        "description": "A row for each question of an operator.",
        "tags": ["griot"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "templating": {"list": [_source_variable(), _agent_variable()]},
        "annotations": {"list": [_starts()]},
        "panels": list(_panels()),
    }


def _source_variable() -> Json:
    return {"type": "datasource", "name": "source", "label": "Prometheus", "query": "prometheus"}


def _agent_variable() -> Json:
    return {
        "type": "query",
        "name": "agent",
        "label": "Agent",
        "datasource": SOURCE,
        "query": {"query": "label_values(griot_attempts_total, agent)", "refId": "agent"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _starts() -> Json:
    """A mark where a process has started: its value is the time, in ms."""
    return {
        "name": "Starts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": 'process_start_time_seconds{job="griot"} * on (instance) group_left (version) '
        "griot_build_info * 1000",
        "useValueForTime": True,
        "titleFormat": "{{role}} {{version}} started",
        "textFormat": "{{instance}}",
    }


def _panels() -> Iterator[Json]:
    number, top = 1, 0
    for row in ROWS:
        yield {
            "id": number,
            "type": "row",
            "title": row.question,
            "collapsed": False,
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": top},
            "panels": [],
        }
        number, top = number + 1, top + 1
        is_stat = row.panels[0].kind == "stat"
        height, across = (STAT_HEIGHT, 6) if is_stat else (HEIGHT, 3)
        for at, panel in enumerate(row.panels):
            place = {
                **{"h": height, "w": WIDTH // across},
                **{"x": at % across * (WIDTH // across), "y": top + at // across * height},
            }
            yield {"id": number, "gridPos": place, **_panel(panel)}
            number += 1
        top += -(-len(row.panels) // across) * height


def _panel(panel: Panel) -> Json:
    is_stat = panel.kind == "stat"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.hint,
        "datasource": SOURCE,
        "targets": [_target(one, at) for at, one in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if is_stat else _CHART,
    }


_CHART: Json = {
    "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
    "tooltip": {"mode": "multi", "sort": "desc"},
}


def _target(query: Query, at: int) -> Json:
    return {
        "refId": chr(ord("A") + at),
        "datasource": SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.bad_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.bad_below}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    return {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}


def dashboard_text() -> str:
    """As the file has it."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write it anew."""
    DASHBOARD.write_text(dashboard_text(), "utf-8")


if __name__ == "__main__":
    main()
