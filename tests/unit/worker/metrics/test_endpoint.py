"""Where a process shows its metrics: nowhere, on its port, on the next one."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.ports import free_port
from tests.support.metrics.shown import scraped, targets, total
from worker.metrics import endpoint
from worker.metrics.endpoint import show_metrics
from worker.settings import MetricsSettings


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_without_a_port_there_is_no_thread() -> None:
    """Nor anything that listens."""
    before = threading.active_count()
    assert show_metrics(MetricsSettings(_env_file=None), "worker") is None
    assert threading.active_count() == before


def test_a_port_that_is_taken_leads_to_the_next(taken: int, tmp_path: Path) -> None:
    """And the file for Prometheus names that one."""
    given = {"METRICS_PORT": taken, "METRICS_TARGETS": tmp_path}
    port = show_metrics(MetricsSettings(_env_file=None, **given), "worker")
    assert port is not None
    assert port > taken
    assert targets(tmp_path) == {"worker": [f"127.0.0.1:{port}"]}
    assert total(scraped(f"127.0.0.1:{port}"), "griot_concurrency") >= 0
    assert total(scraped(f"127.0.0.1:{port}"), "griot_build_info") == 1


def test_an_address_that_is_none_costs_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The process does its work."""
    settings = MetricsSettings(_env_file=None, METRICS_PORT=free_port(), METRICS_HOST="203.0.113.1")
    assert show_metrics(settings, "worker") is None
    assert "metrics are not shown on 203.0.113.1" in caplog.text


def test_where_all_ports_are_taken_the_process_goes_on(
    taken: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without metrics."""
    monkeypatch.setattr(endpoint, "MOST_PROCESSES", 1)
    settings = MetricsSettings(_env_file=None, METRICS_PORT=taken)
    assert show_metrics(settings, "worker") is None
    assert "1 ports from METRICS_PORT are taken" in caplog.text
