"""Metrics as Prometheus reads them: of this process, and of others by their files for file_sd."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from worker.metrics.registry import REGISTRY


def own_text() -> str:
    """What this process would show."""
    return generate_latest(REGISTRY).decode()


def total(text: str, name: str, **labels: str) -> float:
    """The sum over all series of `name` that have these labels; of a histogram that of its counts.
    0 where there are none."""
    # To parse the thousands of lines of all others took a third of a second.
    of_it = "".join(line for line in text.splitlines(keepends=True) if name in line)
    return sum(
        sample.value
        for family in text_string_to_metric_families(of_it)
        for sample in family.samples
        if sample.name in (name, f"{name}_count") and labels.items() <= sample.labels.items()
    )


@contextmanager
def moves(name: str, **labels: str) -> Iterator[None]:
    """The block has to raise this metric of this process."""
    before = total(own_text(), name, **labels)
    yield
    assert total(own_text(), name, **labels) > before, name


def targets(folder: Path) -> dict[str, list[str]]:
    """The addresses in a folder of METRICS_TARGETS, by role."""
    found: dict[str, list[str]] = {}
    for path in folder.glob("griot-*.json"):
        for entry in json.loads(path.read_text()):
            found.setdefault(entry["labels"]["role"], []).extend(entry["targets"])
    return found


def scraped(address: str) -> str:
    """What a process shows."""
    answer = httpx.get(f"http://{address}/metrics", trust_env=False, timeout=20)
    return answer.raise_for_status().text
