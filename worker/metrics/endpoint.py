"""The HTTP endpoint on which a process shows its metrics.

METRICS_PORT is the first port: each process on a host takes the first that is free from there on,
so that workers, beat and gateways need no number each. What tells Prometheus which they are is a
file for each in METRICS_TARGETS, as its `file_sd_configs` read them.
"""

import atexit
import errno
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from prometheus_client import start_http_server

from telemetry.metrics import BUILD, REGISTRY
from worker.settings import MetricsSettings

logger = logging.getLogger(__name__)

MOST_PROCESSES = 200
"""So many ports from METRICS_PORT on are tried."""

_FILE = re.compile(r"griot-([0-9]+)\.json")


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
        logger.info("metrics are shown on http://%s:%d/metrics", settings.host, port)
        _announce(settings, port, role)
        return port
    logger.warning("metrics are not shown: %d ports from METRICS_PORT are taken", MOST_PROCESSES)
    return None


def _announce(settings: MetricsSettings, port: int, role: str) -> None:
    if settings.targets is None:
        return
    path = settings.targets / f"griot-{os.getpid()}.json"
    shown = [{"targets": [f"{settings.host}:{port}"], "labels": {"job": "griot", "role": role}}]
    try:
        settings.targets.mkdir(parents=True, exist_ok=True)
        for old in _of_the_dead(settings.targets):
            old.unlink(missing_ok=True)
        # At once, for Prometheus may read at any moment.
        part = path.with_suffix(".part")
        part.write_text(json.dumps(shown), "utf-8")
        part.replace(path)
    except OSError as exc:
        logger.warning("Prometheus is not told of port %d: %s", port, exc)
        return
    atexit.register(_forget, path, os.getpid())


def _of_the_dead(folder: Path) -> Iterator[Path]:
    """The files of processes that were killed."""
    for path in folder.iterdir():
        if (name := _FILE.fullmatch(path.name)) is None:
            continue
        try:
            os.kill(int(name[1]), 0)
        except ProcessLookupError:
            yield path
        except (PermissionError, OverflowError):
            continue


def _forget(path: Path, pid: int) -> None:
    # A child that was forked from this process ends before it, and inherits this call.
    if os.getpid() == pid:
        with suppress(OSError):
            path.unlink()
