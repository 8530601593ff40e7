"""Metrics where they are asked for: without METRICS_PORT a process loads nothing that shows them.

That is prometheus-client with a web server, 30 modules.
"""

from importlib import import_module

from worker.settings import MetricsSettings


def show_metrics_if_wanted(settings: MetricsSettings, role: str) -> None:
    """Show the metrics of a process that is no worker; `role` as in `show_metrics`."""
    if settings.port is not None:
        import_module("worker.metrics.endpoint").show_metrics(settings, role)


def show_worker_metrics_if_wanted(
    settings: MetricsSettings, concurrency: int, *, has_redis: bool = False
) -> None:
    """Show the metrics of a worker, as `show_worker_metrics`."""
    if settings.port is not None:
        shown = import_module("worker.metrics.process").show_worker_metrics
        shown(settings, concurrency, has_redis=has_redis)
