"""`griot status`: queues, workers, mailboxes, models and their servers."""

from collections.abc import Iterator
from dataclasses import dataclass

import click
from celery import Celery
from kombu.connection import Connection as BrokerConnection
from kombu.exceptions import ChannelError

from memory import (
    Priority,
)
from memory.archive.state import LastRun, last_run
from tasks import app
from tasks.overview.jobs import JobShown
from tasks.overview.mailboxes import Mailboxes, WebhooksLeft, mailboxes, webhooks_left
from tasks.overview.objectives import Objective, longest_waiting, objectives
from tasks.overview.outages import OutageNow, outages_now
from tasks.overview.pauses import PauseNow, pauses_now
from tasks.overview.slots import ModelSlots, model_slots
from tasks.process.configuration import load_settings
from tasks.process.services import producer_services
from worker.broker.transport import QUARANTINE_SUFFIX
from worker.checks.deployment import (
    broker_connection,
    queues_of_workers,
    workers_asked,
)
from worker.cli.console import Table, json_option, moment_of, say, show, show_json
from worker.cli.next_steps import command
from worker.cli.operate.pause import pauses_table
from worker.cli.waits import tables as waits
from worker.health import Health, healths
from worker.model_servers import ModelServer, model_servers


@dataclass(frozen=True, slots=True)
class QueueLength:
    """A queue of the broker: messages waiting, and those put aside as unreadable."""

    queue: str
    messages: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker that answers: what it consumes, how many tasks it runs, and its health (None of one
    that gives none)."""

    worker: str
    queues: tuple[str, ...]
    running: int
    health: Health | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """All of it."""

    queues: tuple[QueueLength, ...]
    workers: tuple[WorkerState, ...]
    mailboxes: Mailboxes
    models: tuple[ModelSlots, ...]
    servers: tuple[ModelServer, ...]
    outages: tuple[OutageNow, ...]
    pauses: tuple[PauseNow, ...]
    webhooks: WebhooksLeft
    objectives: tuple[Objective, ...]
    longest_waiting: tuple[JobShown, ...]
    archive: LastRun | None = None
    """The archiver's last run; None where there was none."""


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show queues, workers, what waits, for whom and why, promised times, models and servers.

    \b
    Example:
      griot status
      griot status --json | jq .mailboxes.pending_jobs
    """
    services = producer_services()
    now = Status(
        queues=queue_lengths(app),
        workers=worker_states(app),
        mailboxes=mailboxes(services.memory, services.keyspace),
        models=model_slots(services.memory, services.keyspace, services.settings),
        servers=model_servers(services.settings.llm),
        outages=outages_now(services.memory, services.keyspace),
        pauses=pauses_now(services.memory, services.keyspace),
        webhooks=webhooks_left(services.memory, services.keyspace),
        objectives=objectives(services.memory, services.keyspace, services.settings.profiles),
        longest_waiting=longest_waiting(services.memory, services.keyspace),
        archive=last_run(services.memory, services.keyspace),
    )
    show_json(now) if as_json else _show(now)


def queue_lengths(celery: Celery) -> tuple[QueueLength, ...]:
    """How many messages each queue holds. Raises kombu's OperationalError."""
    with broker_connection(celery) as connection:
        return tuple(
            QueueLength(
                name, _length(connection, name), _length(connection, name + QUARANTINE_SUFFIX)
            )
            for name in load_settings().names.queues
        )


def worker_states(celery: Celery) -> tuple[WorkerState, ...]:
    """The workers that answer within a second. Raises kombu's OperationalError."""
    consumed = queues_of_workers(celery)
    if not consumed:
        return ()
    with broker_connection(celery) as connection:
        asked = workers_asked(celery, connection, limit=len(consumed))
        running, health = asked.active() or {}, healths(asked)
    return tuple(
        WorkerState(name, tuple(sorted(queues)), len(running.get(name, ())), health.get(name))
        for name, queues in consumed.items()
    )


def _length(connection: BrokerConnection, queue: str) -> int:
    try:
        return int(connection.default_channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0  # a list without elements does not exist


def _show(now: Status) -> None:
    for number, table in enumerate(_tables(now)):
        if number:
            say()
        show(table) if table.rows else say(f"No worker answers; start one: {command('up')}")


def _tables(now: Status) -> Iterator[Table]:
    """In the order shown; only that of the workers may be empty."""
    yield from _of_queues(now)
    yield from _of_sessions(now)
    yield from _of_models(now)


def _of_queues(now: Status) -> Iterator[Table]:
    queues = [(one.queue, one.messages, one.quarantined) for one in now.queues]
    yield Table("Queues", ("Queue", "Messages", "Quarantined"), queues)
    workers = [
        (one.worker, ", ".join(one.queues), one.running, *_health_of(one.health))
        for one in now.workers
    ]
    columns = ("Worker", "Queues", "Running", "Loop late, ms (p99)", "Calls that hang")
    yield Table("Workers", columns, workers)


def _of_sessions(now: Status) -> Iterator[Table]:
    boxes = now.mailboxes
    more = "" if boxes.is_complete else " at least"
    counts = (boxes.pending_jobs, boxes.delayed_jobs, boxes.dead_letters)
    row = (boxes.listed, boxes.due, *(f"{jobs}{more}" for jobs in counts))
    columns = ("Open sessions", "Overdue", "Jobs waiting", "Jobs delayed", "Dead letters")
    yield Table("Mailboxes", columns, [row])
    if now.webhooks.pending or now.webhooks.dead_letters:
        left = (now.webhooks.pending, now.webhooks.dead_letters)
        yield Table("Webhooks", ("To be delivered", "Dead letters"), [left])
    if (run := now.archive) is not None:
        told = (moment_of(run.at_ms), f"{run.overdue_s:.0f} s", run.error or "none")
        yield Table("Archive", ("Last run", "Late", "Trouble"), [told])


def _of_models(now: Status) -> Iterator[Table]:
    models = [
        (
            one.model,
            ", ".join(f"{taken} of {one.slots[url]} at {url}" for url, taken in one.taken.items()),
            waiting_shown(one),
            "unknown" if one.wait_s is None else f"{one.wait_s:.0f} s",
        )
        for one in now.models
    ]
    if models:
        yield Table("Models", ("Model", "Slots taken", "Waiting", "Wait"), models)
    servers = [
        (one.url, "no answer" if one.trouble else len(one.installed), ", ".join(one.loaded))
        for one in now.servers
    ]
    yield Table("Model servers", ("Server", "Models", "Loaded"), servers)
    outages = [
        (one.server, one.model or "all", _state_of(one), moment_of(one.since_ms), one.waiting)
        for one in now.outages
    ]
    if outages:
        columns = ("Server", "Models", "State", "Away since", "Waiting sessions")
        yield Table("Model servers that do not answer", columns, outages)
    if now.pauses:
        yield pauses_table(now.pauses)
    yield from waits(now.objectives, now.longest_waiting, now.mailboxes.fullest)


def waiting_shown(model: ModelSlots) -> str:
    """How many wait; of each class where there are others than normal ones."""
    if not model.waiting_of.keys() - {Priority.NORMAL}:
        return str(model.waiting)
    return ", ".join(f"{amount} {name}" for name, amount in model.waiting_of.items())


def _health_of(health: Health | None) -> tuple[str, str]:
    if health is None:
        return "unknown", "unknown"
    hanging = ", ".join(f"{count} of {tool}" for tool, count in health.hanging_tools.items())
    return f"{health.late_ms.max_ms:.0f} ({health.late_ms.p99_ms:.0f})", hanging or "none"


def _state_of(outage: OutageNow) -> str:
    return "away" if outage.is_away else "back; its sessions are being woken"
