"""What a PromQL expression asks for: names of metrics and of labels, held to the catalogue."""

import re

from prometheus_client import ProcessCollector

from telemetry.metrics import CATALOGUE

OF_A_TARGET = {"job", "instance", "role", "le"}
"""Labels that Prometheus adds, and that of a histogram's buckets."""

_SELECTED = re.compile(r"\b((?:griot|gen_ai|process)_[a-z0-9_]+|up)\b\s*(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\b(?:by|on|without|ignoring|group_left)\s*\(([^)]*)\)")


def series() -> dict[str, set[str]]:
    """Every series that Griot's processes show, with its labels."""
    found: dict[str, set[str]] = {name: set() for name in ("up", *_of_a_process())}
    for one in CATALOGUE:
        ends = ("_bucket", "_sum", "_count") if one.kind == "histogram" else ("",)
        found |= {f"{one.name}{end}": set(one.labels) for end in ends}
    return found


def _of_a_process() -> set[str]:
    families = ProcessCollector(registry=None).collect()
    return {f"{one.name}_total" if one.type == "counter" else one.name for one in families}


def unknown_names(expression: str) -> list[str]:
    """Metrics and labels of the expression that nobody shows."""
    known = series()
    grouped = _GROUPED.findall(expression)
    plain = _GROUPED.sub(" ", re.sub(r'"[^"]*"', '""', expression))
    lost, labels = [], set(OF_A_TARGET)
    for name, selectors in _SELECTED.findall(plain):
        if name not in known:
            lost.append(name)
            continue
        labels |= known[name]
        wanted = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors)
        lost += [f"{name}{{{one}}}" for one in wanted if one not in known[name] | OF_A_TARGET]
    named = {label.strip() for group in grouped for label in group.split(",")} - {""}
    return lost + sorted(named - labels)
