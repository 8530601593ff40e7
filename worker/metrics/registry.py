"""What a process shows Prometheus: its own counts, and what its operating system says of it."""

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from telemetry.metrics import CATALOGUE, Described, Series
from telemetry.series import Amounts


class Counted(Collector):
    """Everything of the catalogue that this process counts."""

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that it is not asked when it is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """What it has come to until now."""
        for one in CATALOGUE:
            if one.series is not None:
                yield family_of(one, one.series)


REGISTRY = CollectorRegistry()
"""All metrics of this process."""

REGISTRY.register(ProcessCollector(registry=None))
REGISTRY.register(Counted())


def gauge_family(described: Described) -> GaugeMetricFamily:
    """A gauge to be filled with what was read."""
    return GaugeMetricFamily(described.name, described.says, labels=described.labels)


def family_of(described: Described, series: Series) -> Metric:
    """A metric with what its series have come to."""
    name, says, labels = described.name, described.says, described.labels
    if described.kind == "histogram":
        return _histogram(described, series)
    kind = CounterMetricFamily if described.kind == "counter" else GaugeMetricFamily
    family = kind(name, says, labels=labels)
    for values, one in series.series():
        if not isinstance(one, Amounts):
            family.add_metric(values, one.read())
    return family


def _written(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # it has no types


def _histogram(described: Described, series: Series) -> Metric:
    family = HistogramMetricFamily(described.name, described.says, labels=described.labels)
    bounds = [_written(bound) for bound in (*described.buckets, math.inf)]
    for values, one in series.series():
        if isinstance(one, Amounts):
            numbers, total = one.read()
            family.add_metric(values, [*zip(bounds, accumulate(numbers), strict=True)], total)
    return family
