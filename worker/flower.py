"""`celery -A worker flower`: where Flower 2.2.0 starts out otherwise than by its own defaults.

FLOWER_* of the environment or `.env`, its configuration file and command line override the defaults
set here.
"""

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from functools import partial
from typing import Protocol

from celery import Celery

from memory import is_service_port
from tasks.errors import ConfigurationError
from tasks.process.configuration import load_settings
from worker.checks.open_doors import is_loopback
from worker.checks.security import warn_of_unchecked_certificates
from worker.refusal import refuse_to_start
from worker.settings import flower_variables

# A chat job takes as long as its model; Flower's own buckets end at ten seconds.
RUNTIME_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
PURGE_OFFLINE_WORKERS_S = 3600
# With its own (name,uuid,state,received,runtime,worker) nobody sees whose job it is; `kwargs` has
# agent and session, never a message (`tasks.process.wakeup.repr_of`).
TASKS_COLUMNS = "name,state,kwargs,received,started,runtime,worker,uuid"
ENVIRONMENT = "FLOWER_"
INSPECTOR = "flower.inspector"
UNANSWERED = "Inspect method %s failed"
"""What Flower 2.2.0 logs as a warning for each of its four questions that no worker answers."""
SILENCE_S = 300.0


class Site(Protocol):
    """Flower's web application, as far as it is used here."""

    start: Callable[[], None]

    def stop(self) -> None:
        """Save what is kept, and end its event loop."""


class Options(Protocol):
    """The options of Flower that are looked at here, after all its sources have been read."""

    address: str
    port: int
    unix_socket: str
    auth: str
    basic_auth: Sequence[str] | None


class NoWorkerYet(logging.Filter):
    """One line that no worker answers, in the place of one for each question: Flower asks before
    the workers that start beside it are ready."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._silent_until_s = clock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is logged; it may be another one by then."""
        if record.msg != UNANSWERED:
            return True
        now_s = self._clock()
        if now_s < self._silent_until_s:
            return False
        self._silent_until_s = now_s + SILENCE_S
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "no worker has answered yet; each is shown once it does", ()
        return True


def prepare() -> None:
    """Set Flower's defaults, and have it checked and confined when it starts.

    Celery's command line loads Flower's command before it loads the app; in any other process
    there is no Flower, and nothing is done.
    """
    command = sys.modules.get("flower.command")
    if command is None:
        return
    known = vars(command)
    options = known["options"]
    options.address = "127.0.0.1"
    os.environ.update(flower_variables(os.environ))  # Flower reads them after this
    forget_service_ports(os.environ)
    options.tasks_columns = TASKS_COLUMNS
    options.purge_offline_workers = PURGE_OFFLINE_WORKERS_S
    options.task_runtime_metric_buckets = list(RUNTIME_BUCKETS_S)
    logging.getLogger(INSPECTOR).addFilter(NoWorkerYet())
    known["Flower"] = partial(_start, known["Flower"])


def forget_service_ports(environment: MutableMapping[str, str]) -> None:
    """Remove what Kubernetes says of a service called `flower`: FLOWER_PORT=tcp://10.0.0.1:80."""
    for name, value in tuple(environment.items()):
        if name.startswith(ENVIRONMENT) and is_service_port(name, value):
            del environment[name]


def check_access(options: Options) -> None:
    """Refuse a Flower that others can reach without a password. Raises ConfigurationError."""
    # Flower takes an empty FLOWER_BASIC_AUTH for a user without name and password, and answers
    # 500 to every request when there is more than ASCII in one.
    for credential in options.basic_auth or ():
        user, _, password = credential.partition(":")
        if not (user and password and credential.isascii()):
            raise ConfigurationError("FLOWER_BASIC_AUTH: must be user:password, in ASCII")
    is_open = not (options.basic_auth or options.auth)
    if is_open and not options.unix_socket and not is_loopback(options.address):
        raise ConfigurationError(
            f"FLOWER_ADDRESS={options.address}: is reachable from other machines, so set "
            "FLOWER_BASIC_AUTH=user:password"
        )


def check_port(options: Options) -> None:
    """Refuse an address that is taken or not this machine's. Raises ConfigurationError."""
    if options.unix_socket:
        return
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    try:
        socket.create_server((options.address, options.port), family=family).close()
    except OSError as exc:
        where = f"{options.address or 'every address'}, port {options.port}"
        reason = (exc.strerror or str(exc)).lower()
        raise ConfigurationError(
            f"FLOWER_PORT: Flower cannot listen on {where}: {reason}; set FLOWER_PORT to a free one"
        ) from exc


def confine(app: Celery) -> None:
    """Let `app` only watch: no unacknowledged message of a worker is put back, no result read.

    With kombu's `ack_emulation` on (5.7.0), every consumer of a Redis broker also restores the
    messages that others have held for longer than the visibility timeout. Results hold replies.
    """
    options = {**app.conf.broker_transport_options, "ack_emulation": False}
    app.conf.update(broker_transport_options=options, result_backend="disabled")


def name_queues(names: Iterable[str]) -> None:
    """Have Flower name these queues on its broker page and in its API, besides those that workers
    consume: a queue that no worker consumes is what an operator looks for."""
    handler = vars(sys.modules["flower.views"])["BaseHandler"]
    consumed = handler.get_active_queue_names
    handler.get_active_queue_names = lambda view: sorted({*consumed(view), *names})


def _start(
    build: Callable[..., Site], *, capp: Celery, options: Options, **settings: object
) -> Site:
    try:
        check_access(options)
        check_port(options)
    except ConfigurationError as exc:
        refuse_to_start(exc)
    warn_of_unchecked_certificates()
    confine(capp)
    queues = load_settings().names
    name_queues((queues.chat, queues.default, queues.maintenance))
    capp.set_default()  # Flower looks results up in the current app, whichever that is.
    site = build(capp=capp, options=options, **settings)
    site.start = partial(_run, site, site.start)
    return site


def _run(site: Site, start: Callable[[], None]) -> None:
    """Watch until Ctrl-C or SIGTERM, and end then at once.

    Python joins the threads in which Flower asks workers, and kombu 5.7.0 lets each try for ever
    while the broker is away: Flower ended only when that was back.
    """
    try:
        start()
    except (KeyboardInterrupt, SystemExit):
        site.stop()
        logging.shutdown()
        os._exit(0)
