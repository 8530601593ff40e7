"""Taking the spans of a process of ours, as OpenTelemetry's own variables say.

Spans go to a collector over
HTTP, in batches and from a thread: a collector that is away or slow costs spans, and no turn time.
"""

import atexit
import logging
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from threading import Thread

from telemetry import tracing
from worker.traces.settings import HTTP, protocol, read_env_file, wants_traces

FLUSH_S = 3.0
"""How long the end of a process waits for its last spans to be taken."""

logger = logging.getLogger(__name__)

_shutdowns: list[Callable[[], None]] = []


def take_traces(role: str) -> None:
    """Take the spans of this process from here on, if the variables ask for it: to be called once
    it has a log. `role` is what the process is: worker, beat, gateway.

    What a process cannot do about it is said in the log, and it does its work.
    """
    read_env_file()
    if not wants_traces() or tracing.is_on():
        return
    if find_spec("opentelemetry.sdk") is None:
        logger.warning("spans are not sent: OpenTelemetry's SDK is missing; install griot[otel]")
        return
    if protocol() != HTTP:
        logger.warning("spans are sent as %s: this is the only protocol that is installed", HTTP)
    # What stands there asks for the SDK, which is an extra.
    module = import_module("worker.traces.sdk")
    _shutdowns.append(module.install(f"griot-{role}"))
    logger.info("spans of this process are sent to its collector")
    atexit.register(end_traces)


def end_traces(**_: object) -> None:
    """Send the last spans of this process, within FLUSH_S; safe to repeat."""
    while _shutdowns:
        ending = Thread(target=_shutdowns.pop(), name="griot-spans", daemon=True)
        ending.start()
        ending.join(FLUSH_S)
