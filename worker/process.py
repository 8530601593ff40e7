"""What a worker process does besides running tasks: checks at start, sweeper, drain."""

import logging
import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from celery import Celery, Task, signals
from celery.app.task import Context
from celery.apps.beat import Beat
from celery.apps.worker import Worker
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import setup_logging
from celery.utils.text import str_to_list

from agents import InvalidProfiles
from memory import MemoryServiceError
from memory.errors import ArchiveUnavailable
from memory.ids import shown_id
from tasks.beat.reporting import report_forever
from tasks.beat.sweep import MAINTENANCE, sweep_forever
from tasks.errors import ConfigurationError, InvalidJob
from tasks.overview.report import LoopLateness
from tasks.process.configuration import checked, load_settings
from tasks.process.crash_points import warn_if_ignored
from tasks.process.services import producer_services
from tasks.process.wakeup import CHAT_TASK
from tasks.process.worker.services import worker_services
from tasks.submit.cancel import cancel
from worker import drain, flower, health, heap, logs, pulse
from worker.checks.celery_start import celery_start_checks
from worker.checks.encryption import check_keys_at_start
from worker.checks.security import warn_of_unchecked_certificates
from worker.checks.worker_start import worker_start_checks
from worker.command_line import (
    apply_umask,
    before_detaching,
    check_global_options,
    is_given,
    refuse_no_turns,
)
from worker.json_log import show_warnings
from worker.lateness import loop_watch
from worker.metrics.wanted import show_metrics_if_wanted, show_worker_metrics_if_wanted
from worker.model_watch import watch_models
from worker.node_name import take_name
from worker.options import check_options, check_schedule, pool_of, turns_of
from worker.refusal import refuse_to_start
from worker.settings import MetricsSettings, WorkerSettings
from worker.stop_notice import StopNotice
from worker.traces.setup import end_traces, take_traces
from worker.unknown_settings import warnings_of_unknown

SHOWN_OF_BROKER = ("transport", "hostname", "port", "virtual_host", "connect_timeout", "heartbeat")

logger = logging.getLogger(__name__)


class GriotWorker(Worker):  # type: ignore[misc]  # Celery ships no types
    """Celery's worker without gossip and mingle.

    Nothing here needs workers to know of each other; gossip raised on a restart of Redis
    (celery 5.7.0), and mingle makes each start wait a second. Celery has no setting for either.
    """

    hostname: str

    def on_before_init(self, **kwargs: object) -> None:
        """Check the options before anything is done."""
        self._pool = _checked_pool(kwargs)
        with _refusals():
            self.hostname = _own_name(self.hostname)
            super().on_before_init(**kwargs)

    def on_init_blueprint(self) -> None:
        """Check Redis and tools before anything is taken from a queue, and as soon as there is a
        log for what they warn of."""
        with _refusals():
            super().on_init_blueprint()
            warn_of_unchecked_certificates()
            _check_world(self.app)

    def setup_defaults(self, **kwargs: object) -> None:
        """The options, with the pool that was chosen."""
        super().setup_defaults(**{**kwargs, "pool": self._pool, **turns_of(self._pool)})
        if logs_json():
            self.quiet = True  # a banner is no JSON

    def setup_queues(self, include: object, exclude: object = None) -> None:
        """`-Q maintenance` means this deployment's, whatever its REDIS_KEY_PREFIX; so does `-X`."""
        own = load_settings().names.queue
        queues, without = (list(map(own, str_to_list(one) or ())) for one in (include, exclude))
        super().setup_queues(queues, without)

    def stats(self) -> dict[str, object]:
        """What `celery inspect stats` shows, and Flower: of the broker only where it is.

        Celery 5.7.0 shows the options of its connection too, the Sentinels' password among them.
        """
        facts: dict[str, object] = super().stats()
        broker = facts.get("broker")
        if isinstance(broker, dict):
            facts["broker"] = {name: broker.get(name) for name in SHOWN_OF_BROKER}
        return facts

    def prepare_args(self, **kwargs: object) -> dict[str, object]:
        """The options that the worker is set up with."""
        return {**kwargs, "without_gossip": True, "without_mingle": True}


class GriotBeat(Beat):  # type: ignore[misc]  # Celery ships no types
    """Celery's beat without results: nobody waits in it for those of the tasks that it sends, but
    celery 5.7.0 subscribes to each."""

    def run(self) -> None:
        """Send the tasks as they fall due."""
        self.app.conf.update(result_backend="disabled")
        if logs_json():
            self.quiet = True
        super().run()


def prepare(app: Celery) -> None:
    """Have every worker of `app` check, log, sweep, show a pulse and drain as it should."""
    # Says how to cancel running tasks at each loss of the broker; the lease decides here.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    if logs_json():
        show_warnings()
    app.Worker = app.subclass_with_self(GriotWorker)
    app.Beat = app.subclass_with_self(GriotBeat)
    setup_logging.connect(_set_up_logging, weak=False)
    signals.worker_ready.connect(_on_worker_ready, weak=False)
    for ready in (signals.worker_ready, signals.worker_process_init):
        ready.connect(heap.settle, weak=False)
    notice = StopNotice()
    signals.worker_shutting_down.connect(partial(_drain, notice), weak=False)
    signals.worker_process_init.connect(partial(_drain_on, notice), weak=False)
    signals.worker_process_shutdown.connect(end_traces, weak=False)
    signals.task_revoked.connect(_cancel_revoked, weak=False)
    signals.beat_init.connect(_check_beat, weak=False)
    refuse_no_turns()
    before_detaching(partial(_check_all, app))
    pulse.prepare(checked(WorkerSettings).alive_file)
    flower.prepare()
    health.prepare()
    drain.prepare()


@contextmanager
def _refusals() -> Iterator[None]:
    """End the process with the one line that says what is wrong."""
    try:
        yield
    except (ConfigurationError, InvalidProfiles) as exc:
        refuse_to_start(exc)


def _checked_pool(options: Mapping[str, object]) -> type[object]:
    with _refusals():
        pool = pool_of(options.get("pool") or options.get("pool_cls"))
        check_options(options, pool, checked(WorkerSettings).alive_file)
        apply_umask(options.get("umask"))
    return pool


def _check_world(app: Celery) -> None:
    services = producer_services()
    if worker_start_checks(services.memory):
        check_keys_at_start(services.memory, services.settings)
    celery_start_checks(app)
    try:
        _ = services.archive
    except ArchiveUnavailable as exc:
        raise ConfigurationError(f"ARCHIVE_URL: {exc}") from exc
    _ = worker_services().toolbox


def _check_all(app: Celery, options: Mapping[str, object]) -> None:
    """All that a worker checks when it starts, for one that is about to leave the terminal."""
    _checked_pool(options)
    with _refusals():
        _own_name(str(options.get("hostname")))
        _check_world(app)


def _own_name(name: str) -> str:
    settings = load_settings()
    deployment = f"{settings.broker_url}\0{settings.names.key_prefix}"
    return take_name(name, deployment, is_chosen=is_given("hostname"))


def _set_up_logging(
    loglevel: int | str | None = None, logfile: str | None = None, **_: object
) -> None:
    name = logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel
    # WARNING is Celery's own default, which must not hide LOG_LEVEL.
    is_chosen = name is not None and (name != "WARNING" or is_given("loglevel"))
    logs.set_up(
        checked(WorkerSettings),
        level=name if is_chosen else None,
        log_file=Path(logfile) if logfile else None,
    )
    warn_if_ignored()
    for line in warnings_of_unknown():
        logger.warning(line)


def logs_json() -> bool:
    """Whether this process writes nothing but JSON."""
    return checked(WorkerSettings).log_format == "json"


def _check_beat(**_: object) -> None:
    with _refusals():
        check_global_options()
        check_schedule("schedule")
        warn_of_unchecked_certificates()
        show_metrics_if_wanted(checked(MetricsSettings), "beat")
    take_traces("beat")


def _on_worker_ready(sender: object = None, **_: object) -> None:
    app: Celery = sender.app  # type: ignore[attr-defined]  # the consumer that is ready
    _watch_loop()
    worker_services().runtime.spawn(sweep_forever(app))
    pool = sender.pool  # type: ignore[attr-defined]
    # Of a pool of processes each shows its own turn.
    take_traces("worker")
    concurrency = 0 if pool.uses_semaphore else pool.limit
    has_redis = load_settings().names.queue(MAINTENANCE) in app.amqp.queues.consume_from
    show_worker_metrics_if_wanted(checked(MetricsSettings), concurrency, has_redis=has_redis)
    worker_services().runtime.spawn(report_forever(str(sender.hostname), _lateness))  # type: ignore[attr-defined]  # as above
    settings = load_settings()
    # The others may be where no model server can be reached, and ask none.
    if settings.names.chat in app.amqp.queues.consume_from:
        worker_services().runtime.spawn(watch_models(settings))


def _watch_loop() -> None:
    worker, watch = worker_services(), loop_watch()
    worker.turns.on_first = watch.hurry
    worker.runtime.spawn(watch.start(lambda: worker.turns.is_idle))


def _cancel_revoked(
    sender: Task | None = None, request: Context | None = None, **_: object
) -> None:
    # A worker that refuses a revoked message would leave its job at the head of the mailbox.
    if sender is None or request is None or sender.name != CHAT_TASK:
        return
    try:
        cancel(sender.app, request.id)
    except (InvalidJob, MemoryServiceError) as exc:
        logger.warning(
            "revoked job %s could not be cancelled in its mailbox and will run: %s",
            shown_id(request.id),
            exc,
        )


def _drain(notice: StopNotice, **_: object) -> None:
    notice.give()
    worker = worker_services()
    worker.runtime.spawn(worker.leases.drain(worker.settings.queue.drain_s))


def _drain_on(notice: StopNotice, **_: object) -> None:
    """In a process of Celery's prefork pool: drain when its worker does."""
    _watch_loop()
    worker_services().runtime.spawn(_drain_after(notice))
    take_traces("worker")
    show_worker_metrics_if_wanted(checked(MetricsSettings), 1)
    name = f"{socket.gethostname()}, process {os.getpid()}"
    worker_services().runtime.spawn(report_forever(name, _lateness))


def _lateness() -> LoopLateness:
    seen = loop_watch().seen()
    return LoopLateness(max_ms=seen.max_ms, p99_ms=seen.p99_ms)


async def _drain_after(notice: StopNotice) -> None:
    await notice.arrived()
    worker = worker_services()
    await worker.leases.drain(worker.settings.queue.drain_s)
