"""What a worker process shows of itself, beside what is counted where it happens."""

from tasks.process.worker.services import worker_services
from telemetry.labels import AGENTS
from telemetry.metrics import CONCURRENCY, LATENESS
from worker.lateness import loop_watch
from worker.metrics.endpoint import show_metrics
from worker.metrics.exporter import export_redis
from worker.metrics.registry import REGISTRY
from worker.metrics.targets import Cleaner
from worker.settings import MetricsSettings


def show_worker_metrics(
    settings: MetricsSettings, concurrency: int, *, has_redis: bool = False
) -> None:
    """Show the metrics of this worker, or of this process of its pool; with `has_redis` those too
    of what lies in Redis."""
    services = worker_services()
    AGENTS.know(services.settings.profiles.by_id)
    CONCURRENCY.set(concurrency)
    LATENESS.labels("max").set_function(lambda: loop_watch().seen().max_ms / 1000)
    LATENESS.labels("p99").set_function(lambda: loop_watch().seen().p99_ms / 1000)
    if has_redis:
        export_redis(services.settings)
        if settings.targets is not None:
            REGISTRY.register(Cleaner(settings.targets))
    show_metrics(settings, "maintenance" if has_redis else "worker")
