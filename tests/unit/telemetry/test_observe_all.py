"""Amounts that are observed at once."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from telemetry.metrics import observe_all

AMOUNTS = (0.0, 0.01, 0.010001, 0.5, 3.0, 3.0, 1000.0)


def shown(*, is_at_once: bool) -> bytes:
    """What a reader of the metric sees after these amounts."""
    registry = CollectorRegistry()
    histogram = Histogram("gap", "A gap", ("model",), buckets=(0.01, 0.5, 2.0), registry=registry)
    series = histogram.labels("m")
    if is_at_once:
        observe_all(series, AMOUNTS)
        observe_all(series, ())
    else:
        for amount in AMOUNTS:
            series.observe(amount)
    lines = generate_latest(registry).splitlines()
    return b"\n".join(line for line in lines if b"_created" not in line)


def test_many_amounts_at_once_count_as_each_by_itself() -> None:
    """In every bucket, their number and their sum."""
    assert shown(is_at_once=True) == shown(is_at_once=False)
