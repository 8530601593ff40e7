"""Waiting for a value that is announced as it is written: SETEX and PUBLISH under one name, as
Celery's results are.

Whoever asks subscribes and looks in one trip, on one connection (RESP3), so nothing comes in
between unseen. A subscription is ended with the next question on its connection.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

import hiredis
from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from memory.errors import MemoryUnavailable
from memory.redis.command import Argument
from memory.redis.endpoint import endpoint
from memory.redis.failures import Attempts, translating
from memory.redis.server_connections import new_connection, next_said, packed, send
from memory.settings import MemorySettings

T = TypeVar("T")

MOST_WAITING = 16
"""Connections of a process, each of which waits for one value."""


class AllWait(Exception):
    """As many threads wait already as may."""


class _Ear:
    """A connection, and the name that it is still subscribed to."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._made: Connection | None = None
        self._name = b""
        self._is_read_out = True

    def value(self, name: bytes, read: Callable[[bytes], T | None], deadline_s: float) -> T | None:
        """What `Announcements.value` promises; raises what redis-py raises."""
        if not self._is_read_out:  # whoever asked before was interrupted, and while closing, too
            self.close()
        self._is_read_out = False
        found = self._asked(name, read, deadline_s)
        self._is_read_out = True
        return found

    def close(self) -> None:
        """Close the connection; the next use opens it."""
        self._name = b""
        if self._made is not None:
            self._made.disconnect()  # type: ignore[no-untyped-call]
        self._is_read_out = True

    def _asked(self, name: bytes, read: Callable[[bytes], T | None], deadline_s: float) -> T | None:
        connection = self._made = self._made or new_connection(self._pool)
        former, self._name = self._name, name
        asked: list[tuple[Argument, ...]] = [("UNSUBSCRIBE", former)] if former else []
        asked += [("SUBSCRIBE", name), ("GET", name)]
        send(connection, packed(asked))
        while isinstance(said := _said(connection), hiredis.PushNotification):
            pass  # of this name or the former: what is stored now is no older
        while True:
            if isinstance(said, bytes) and (found := read(said)) is not None:
                return found
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not connection.can_read(left_s):
                return None
            # Only of this name: the former is unsubscribed from before the look is answered.
            match _said(connection):
                case [b"message", _, said]:
                    pass


class Announcements:
    """Waits for values, from any thread; anew in each process."""

    def __init__(self, settings: MemorySettings, *, most: int = MOST_WAITING) -> None:
        """`settings` describe one server. At most `most` threads wait at once."""
        where = endpoint(settings, max_connections=most)
        self._label, self._timeout_s = where.label, settings.timeout_s
        quiet = MaintNotificationsConfig(enabled=False)
        options = where.options | {"protocol": 3, "maint_notifications_config": quiet}
        # A look at its health would read what was announced meanwhile, and redis-py logs that.
        options["health_check_interval"] = 0
        client = Redis(retry=Retry(NoBackoff(), 0), **options)  # type: ignore[arg-type]
        self._ears = deque(_Ear(client.connection_pool) for _ in range(most))

    def value(
        self, name: bytes, read: Callable[[bytes], T | None], *, timeout_s: float
    ) -> T | None:
        """The first value of a key that `read` makes something of; None: there was none in time.

        Raises AllWait, or MemoryServiceError: MemoryUnavailable within about twice the time-out
        of an answer, once the server is away.
        """
        deadline_s = time.monotonic() + timeout_s
        attempts = Attempts(self._timeout_s)
        while True:
            try:
                return self._once(name, read, deadline_s)
            except MemoryUnavailable:
                delay_s = attempts.next_delay_s()
                if delay_s is None:
                    raise
                time.sleep(delay_s)

    def close(self) -> None:
        """Close what does not wait. Safe to repeat; the next use opens connections anew."""
        for ear in tuple(self._ears):
            ear.close()

    def _once(self, name: bytes, read: Callable[[bytes], T | None], deadline_s: float) -> T | None:
        try:
            ear = self._ears.pop()
        except IndexError:
            raise AllWait from None
        try:
            with translating(self._label):
                return ear.value(name, read, deadline_s)
        except BaseException:
            # What nobody has read must not become another's answer.
            ear.close()
            raise
        finally:
            self._ears.append(ear)


def _said(connection: Connection) -> object:
    """What is said next. Raises the error that it is, too: not every server has RESP3."""
    said = next_said(connection)
    if isinstance(said, exceptions.ResponseError):
        raise said
    return said
