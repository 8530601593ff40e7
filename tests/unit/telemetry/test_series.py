"""What is counted is shown as prometheus-client would show it."""

import gc
import threading
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.registry import Collector

from telemetry.metrics import CATALOGUE, Described
from telemetry.series import Amounts, Count, Labelled, Reading
from worker.metrics.registry import family_of

AMOUNTS = (0.0, 0.01, 0.010001, 0.5, 3.0, 3.0, 1000.0)
BOUNDS = (0.01, 0.5, 2.0, 1_000_000.0)


class One(Collector):
    """Shows one metric."""

    def __init__(self, described: Described) -> None:
        self.described = described

    def collect(self) -> Iterable[Metric]:
        """It."""
        assert self.described.series is not None
        return [family_of(self.described, self.described.series)]


def shown(registry: CollectorRegistry) -> list[str]:
    """What a reader of the metrics sees, but for when prometheus-client has made them."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


@pytest.mark.parametrize("is_at_once", [False, True])
def test_a_histogram_reads_as_prometheus_clients(is_at_once: bool) -> None:
    """In every bucket, their number and their sum; one by one and many at once."""
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("gap", "A gap", ("model",), buckets=BOUNDS, registry=theirs)
    series = Labelled(lambda: Amounts(BOUNDS))
    ours.register(One(Described("gap", "histogram", "A gap", ("model",), series, BOUNDS)))
    for amount in AMOUNTS:
        histogram.labels('m"\n').observe(amount)
        if not is_at_once:
            series.labels('m"\n').observe(amount)
    if is_at_once:
        series.labels('m"\n').observe_all(AMOUNTS)
        series.labels('m"\n').observe_all(())
    assert shown(ours) == shown(theirs)


def test_counters_and_gauges_read_as_prometheus_clients() -> None:
    """Also those without labels, which are there before anything is counted."""
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    counter = Counter("jobs", "Jobs", ("agent", "end"), registry=theirs)
    gauge = Gauge("now", "Now", registry=theirs)
    counts, levels = Labelled(Count), Labelled(Reading)
    level = levels.labels()
    ours.register(One(Described("jobs_total", "counter", "Jobs", ("agent", "end"), counts)))
    ours.register(One(Described("now", "gauge", "Now", (), levels)))
    assert shown(ours) == shown(theirs)
    counter.labels("a", "ok").inc()
    counts.labels("a", "ok").inc()
    counter.labels("b", "ok").inc(2.5)
    counts.labels("b", "ok").inc(2.5)
    gauge.set(7)
    level.set(7)
    gauge.dec()
    level.dec()
    with level.raised():
        assert level.read() == 7
    assert shown(ours) == shown(theirs)
    level.set_function(lambda: 3)
    gauge.set_function(lambda: 3)
    assert shown(ours) == shown(theirs)


def test_nothing_is_lost_among_threads() -> None:
    """Four of them, and finalizers that run in the midst of it."""
    count, level, amounts = Count(), Reading(), Amounts(BOUNDS)

    def add() -> None:
        for _ in range(2000):
            count.inc()
            amounts.observe(0.2)
            with level.raised():
                gc.collect(0)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers, _ = amounts.read()
    assert (count.read(), numbers[1], level.read()) == (8000, 8000, 0)


def test_a_series_is_made_once_however_many_threads_ask() -> None:
    """What a second one counted would be lost."""
    series, begin = Labelled(Count), threading.Barrier(8)

    def count() -> None:
        begin.wait()
        for number in range(50):
            series.labels(str(number)).inc()

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.read() for _, one in series.series()} == {8}


def test_each_metric_of_the_catalogue_has_a_name_of_its_own() -> None:
    """And those that are counted have as many labels as their series are asked for."""
    assert len({one.name for one in CATALOGUE}) == len(CATALOGUE)
    for one in CATALOGUE:
        for values, _ in one.series.series() if one.series is not None else ():
            assert len(values) == len(one.labels)
