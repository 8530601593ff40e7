"""The measurements, by name, in the order in which they run."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from bench.arena import Arena
from bench.measures import (
    archive,
    dearest,
    fairness,
    gateway,
    handover,
    history,
    idle,
    live,
    micro,
    million,
    on_off,
    priority,
    relay,
    resting,
    scaling,
    start,
    throughput,
    wide,
    written,
)
from bench.rows import Row
from bench.size import Size

Measure: TypeAlias = Callable[[Arena, Size], list[Row]]

MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "throughput": throughput.measure,
        "encryption": on_off.encryption,
        "metrics": on_off.metrics,
        "traces": on_off.traces,
        "wide": wide.measure,
        "scaling": scaling.measure,
        "resting": resting.measure,
        "written": written.measure,
        "idle": idle.measure,
        "relay": relay.measure,
        "live": live.measure,
        "history": history.measure,
        "handover": handover.measure,
        "fairness": fairness.measure,
        "priority": priority.measure,
        "start": start.measure,
        "gateway": gateway.measure,
        "micro": micro.measure,
        "dearest": dearest.measure,
    }
)
"""What `make bench` measures."""

LONG: Mapping[str, Measure] = MappingProxyType(
    {"million": million.measure, "archive": archive.measure}
)
"""What takes minutes and is measured on request only."""
