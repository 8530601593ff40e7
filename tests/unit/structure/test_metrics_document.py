"""docs/metrics.md is the catalogue, and each metric of it moves in a test."""

import re
from pathlib import Path

from deploy.metrics_document import METRICS, metrics_document
from telemetry.metrics import CATALOGUE

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__)
PERSONAL = re.compile(r"session|job|user|text|prompt|message", re.IGNORECASE)


def test_the_document_is_the_catalogue() -> None:
    """To renew it: python -m deploy.reference."""
    assert METRICS.read_text() == metrics_document()


def test_each_metric_is_named_in_a_test_that_causes_it() -> None:
    """With real processes, or alone where its cause is rare; those of the process too."""
    tests = "\n".join(
        path.read_text()
        for kind in ("e2e", "contract", "unit")
        for path in (ROOT / "tests" / kind).rglob("test_*.py")
        if path != HERE
    )
    shown = re.findall(r"^\| `([a-z_]+)`", METRICS.read_text(), re.MULTILINE)
    assert len(shown) > len(CATALOGUE)
    assert [name for name in shown if f'"{name}"' not in tests] == []


def test_no_label_is_about_somebody() -> None:
    """Of the names of labels; what is in them is bounded by telemetry/labels.py."""
    named = {label for one in CATALOGUE for label in one.labels}
    assert {label for label in named if PERSONAL.search(label)} == set()


def test_a_name_says_its_unit_and_its_kind() -> None:
    """As Prometheus wants it: a time in seconds, a counter with _total, a gauge without."""
    for one in CATALOGUE:
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        if one.kind == "histogram":
            assert one.name.endswith(("_seconds", "_token_usage")), one.name
