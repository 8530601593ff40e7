"""Draining a worker: it takes nothing new, finishes what runs, and ends.

    from tasks import drain

    drain("celery@host-1")

What the worker does is worker/drain.py; here it is asked, as Celery asks its workers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kombu.connection import Connection as BrokerConnection
from kombu.exceptions import OperationalError

from memory import audit
from tasks.errors import CannotDrain
from tasks.process.app import app
from tasks.process.services import producer_services

DRAIN = "griot_drain"
"""The command's name among those that workers take."""
REPLY_TIMEOUT_S = 2.0
MOST_SHOWN = 128
"""So many characters of a name that no worker has are shown."""


@dataclass(frozen=True, slots=True)
class Draining:
    """A worker that drains: how many of its tasks still run, and how many messages it gave back
    when it began to."""

    worker: str
    running: int
    given_back: int


def drain(worker: str) -> Draining:
    """Have a worker, by its node name as `celery inspect` shows it, take nothing new, finish what
    runs, however long that takes, and end with exit code 0.

    Wake-ups that it has not begun go back to the queue at once. It returns when the worker has
    begun to drain; `look` says how far it is. Safe to repeat. It is in the audit. Raises
    CannotDrain for a worker that does not answer (the message names those that do), or that cannot
    be drained; kombu's OperationalError where the broker cannot be reached.
    """
    services = producer_services()
    with audit.recorded(services.memory, services.keyspace, audit.Deed.DRAIN) as entry:
        found = look(worker, begin=True)
        there = [] if found is not None else _answering()
        if worker in there:  # its answer was late: it is busy, or its machine is
            found = look(worker, begin=True)
        if found is None:
            raise CannotDrain(_silent(worker, there))
        entry.outcome = f"drains: {worker}"
    return found


def look(worker: str, *, begin: bool = False) -> Draining | None:
    """How far a worker is that drains; None of one that does not answer, such as one that has
    ended. Takes up to REPLY_TIMEOUT_S. Raises CannotDrain and kombu's OperationalError."""
    with _broker() as connection:
        replies = app.control.broadcast(
            DRAIN,
            arguments={"begin": begin},
            destination=[worker],
            reply=True,
            limit=1,
            timeout=REPLY_TIMEOUT_S,
            connection=connection,
        )
    match (replies or [{}])[0].get(worker):
        case None:
            return None
        case {"running": int(running), "given_back": int(given_back)}:
            return Draining(worker, running, given_back)
        case {"error": str(refused)}:
            raise CannotDrain(f"{_shown(worker)} cannot be drained: {refused}")
    raise CannotDrain(f"{_shown(worker)} does not know how to drain: it is of an older release")


def _shown(worker: str) -> str:
    return ascii(worker[:MOST_SHOWN]).strip("'")


def _answering() -> list[str]:
    with _broker() as connection:
        asked = app.control.inspect(timeout=REPLY_TIMEOUT_S, connection=connection)
        return sorted(asked.ping() or ())


def _silent(worker: str, there: list[str]) -> str:
    if worker in there:
        return f"{_shown(worker)} is there, but answers too late; ask it again"
    others = f"those that do: {', '.join(there)}" if there else "no worker does"
    return f"no worker {_shown(worker)} answers; {others}"


@contextmanager
def _broker() -> Iterator[BrokerConnection]:
    # Without `ack_emulation` it puts no message back that a worker holds.
    options = {**app.conf.broker_transport_options, "ack_emulation": False}
    with app.connection_for_write(transport_options=options) as connection:
        connection.ensure_connection(errback=_raise)
        try:
            yield connection
        except (*connection.connection_errors, *connection.channel_errors) as exc:
            raise OperationalError(str(exc)) from exc  # it went away in the middle


def _raise(error: Exception, _: float) -> None:
    raise OperationalError(str(error)) from error
