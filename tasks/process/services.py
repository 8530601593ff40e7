"""The producer's side of a process: settings → connections, each built on first use.

Entry points (a command, a function of the public interface) look things up here. Everything below
them is handed what it uses. What a worker needs besides is in tasks/process/worker/: it takes long
to load, and no producer asks a model.
"""

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

from memory import Connection
from memory.redis.announced import Announcements
from tasks.process.configuration import Settings, load_settings
from tasks.process.per_process import PerProcess
from tasks.process.queue_wait import QueueWait

if TYPE_CHECKING:
    from memory.archive.store import Archive


class ProducerServices:
    """What sending, following and cancelling jobs takes: a blocking connection, no event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        memory = settings.memory
        self.keyspace = memory.keyspace
        self.queue_wait = QueueWait(settings.queue.grace_s)

    @cached_property
    def memory(self) -> Connection:
        """The blocking connection, for any thread."""
        return Connection(self.settings.memory)

    @cached_property
    def results(self) -> Announcements | None:
        """What waits for results, where one plain Redis has them; for any thread."""
        where = self.settings.plain_results
        return None if where is None else Announcements(where)

    @cached_property
    def results_url(self) -> str:
        """Where Celery has results. Holds the password: never log it."""
        return self.settings.results.url

    def close(self) -> None:
        """Close connections; the next use opens them anew."""
        self.memory.close()
        if self.results is not None:
            self.results.close()

    @cached_property
    def archive(self) -> "Archive | None":
        """Where histories go before they leave Redis, if anywhere; its calls are for threads."""
        url = self.settings.memory.archive_url
        if url is None:
            return None
        # Not at the top: a producer needs no SQLite.
        found: Archive = import_module("memory.archive.opening").archive_at(url)
        return found


producer_services = PerProcess(lambda: ProducerServices(load_settings()))
"""The producer's side of this process."""
