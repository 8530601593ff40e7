"""Every metric, as docs/metrics.md shows it: made from the catalogue in telemetry/metrics.py.

`python -m deploy.reference` writes it anew; tests/unit/structure/test_metrics_document.py holds it
to the code.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import ProcessCollector

from telemetry.metrics import CATALOGUE, SECONDS, SHORT_SECONDS, TOKENS, Described, Kind

METRICS = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
BEGIN, END = "<!-- metrics: made by deploy/metrics_document.py -->\n", "<!-- /metrics -->\n"


def metrics_document() -> str:
    """The whole of docs/metrics.md, all but its tables kept."""
    head, _, rest = METRICS.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + "".join(_tables()) + END + tail


def _tables() -> Iterator[str]:
    yield "\n## What each process measures\n\n"
    yield from _table(one for one in CATALOGUE if one.series is not None)
    yield f"\nBuckets, in seconds: {_numbers(SECONDS)} for the model's calls, turns and tools; "
    yield f"{_numbers(SHORT_SECONDS)} for the rest. In tokens: {_numbers(TOKENS)}.\n"
    yield "\n## What each process uses\n\n"
    yield from _table(
        Described(*_name_and_kind(one.name, one.type), one.documentation.rstrip("."), ())
        for one in ProcessCollector(registry=None).collect()
    )
    yield "\n## What lies in Redis\n\n"
    yield from _table(one for one in CATALOGUE if one.series is None)
    yield "\n"


def _table(metrics: Iterable[Described]) -> Iterator[str]:
    yield "| Name | Kind | Labels | What |\n| --- | --- | --- | --- |\n"
    for one in metrics:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        yield f"| `{one.name}` | {one.kind} | {labels} | {one.says} |\n"


def _name_and_kind(name: str, kind: str) -> tuple[str, Kind]:
    return (f"{name}_total", "counter") if kind == "counter" else (name, "gauge")


def _numbers(bounds: Iterable[float]) -> str:
    return " ".join(f"{one:.12g}" for one in bounds)
