"""The HTTP endpoint on which a process shows its metrics.

METRICS_PORT is the first port: each process on a host takes the first that is free from there on,
so that workers, beat and gateways need no number each. worker/metrics/targets.py tells Prometheus
which they are.
"""

import errno
import logging
from importlib.metadata import version

from prometheus_client import start_http_server

from telemetry.metrics import BUILD
from worker.metrics.registry import REGISTRY
from worker.metrics.targets import address_of, announce
from worker.settings import MetricsSettings

logger = logging.getLogger(__name__)

MOST_PROCESSES = 200
"""So many ports from METRICS_PORT on are tried."""


def show_metrics(settings: MetricsSettings, role: str) -> int | None:
    """Show the metrics of this process until it ends; the port, None where none is asked for.

    `role` is what the process is: worker, beat, gateway. A process that cannot show its metrics
    says so in the log and does its work.
    """
    if settings.port is None:
        return None
    BUILD.labels(version("griot")).set(1)
    for port in range(settings.port, min(settings.port + MOST_PROCESSES, 65_536)):
        try:
            start_http_server(port, settings.host, registry=REGISTRY)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                continue
            logger.warning("metrics are not shown on %s:%d: %s", settings.host, port, exc)
            return None
        address = address_of(settings.host, port)
        logger.info("metrics are shown on http://%s/metrics", address)
        if settings.targets is not None:
            announce(settings.targets, address, role)
        return port
    logger.warning("metrics are not shown: %d ports from METRICS_PORT are taken", MOST_PROCESSES)
    return None
