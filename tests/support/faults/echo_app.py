"""A throw-away Celery app that shows what the hardened transport does for a worker, no more."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

from celery import Celery

from tests.support.waiting import wait_until

# The transport without the package around it, which would start the rest of a worker.
package = ModuleType("worker")
package.__path__ = [str(Path(__file__).parents[3] / "worker")]
sys.modules["worker"] = package
importlib.import_module("worker.broker.transport").register_transport()

OUTPUT = Path(os.environ["ECHO_OUTPUT"])

app = Celery("echo", broker=os.environ["ECHO_BROKER_URL"], set_as_current=False)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "socket_timeout": 2.0,
        "socket_connect_timeout": 2.0,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
    task_acks_late=True,
    task_ignore_result=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_prefetch_multiplier=1,
)


@app.task(name="echo")  # type: ignore[untyped-decorator] # Celery has no types
def echo(text: str) -> None:
    """Append the text to the output, whatever state Redis is in."""
    with OUTPUT.open("a") as output:
        output.write(text + "\n")


@app.task(name="hold")  # type: ignore[untyped-decorator] # Celery has no types
def hold(text: str, gate: str) -> None:
    """The same once the file `gate` exists."""
    with OUTPUT.open("a") as output:
        output.write(f"{text} has begun\n")
    wait_until(Path(gate).exists, timeout_s=30, what="the gate is open")
    echo(text)
