"""Publishing wake-ups past Celery, which takes as much CPU for it as all else of `delay`.

Celery makes one message of each shape, with a mark in the place of each value; from then on only
the values are filled in. So the bytes are Celery's own, whatever the settings
(docs/decisions.md, "Wake-ups are prepared bytes").
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from celery import signals
from kombu.exceptions import OperationalError

from memory import Command, Connection, MemoryServiceError, MemorySettings
from memory.redis.replies import nothing
from tasks.process.configuration import load_settings
from tasks.process.per_process import PerProcess
from tasks.process.publishing.prepared import PreparedMessage, new_marks

MOST_SHAPES = 100
"""Shapes of messages that a process remembers: a sender may name any queue."""

Shape: TypeAlias = tuple[object, ...]
Make: TypeAlias = Callable[[Mapping[str, str]], tuple[str, str] | None]
"""Has Celery make a message with these texts for values: its list and its element."""


class Straight:
    """Makes and sends the commands that publish; from any thread."""

    def __init__(self, broker: MemorySettings | None) -> None:
        """`broker` is where it is one plain Redis, else None."""
        self._connection = None if broker is None else Connection(broker)
        self._prepared: dict[Shape, PreparedMessage | None] = {}

    def command(
        self, shape: Shape, values: Mapping[str, object], make: Make
    ) -> Command[None] | None:
        """The command that publishes a message of this shape with these values; None where Celery
        is to do it. Raises what `make` raises."""
        if self._connection is None or _somebody_listens():
            return None
        named = (*shape, *values)
        try:
            prepared = self._prepared[named]
        except KeyError:
            prepared = self._prepare(named, values, make)
        if prepared is None:
            return None
        return Command(nothing, ("LPUSH", prepared.key, prepared.filled(values)))

    def send(self, commands: Sequence[Command[None]]) -> None:
        """Publish. Raises kombu's OperationalError: some may be out, and all may be sent again."""
        if self._connection is None:
            raise AssertionError("there are no commands without a connection")
        try:
            self._connection.run_each(commands)
        except MemoryServiceError as exc:
            # The reason alone: what ours makes of it names the settings of the memory.
            where, why = self._connection.label, exc.__cause__ or exc
            raise OperationalError(f"the broker at {where}: {why}") from exc

    def close(self) -> None:
        """Close the connection; the next use opens one."""
        if self._connection is not None:
            self._connection.close()

    def _prepare(
        self, shape: Shape, values: Mapping[str, object], make: Make
    ) -> PreparedMessage | None:
        marks = new_marks(values)
        made = make(marks)
        prepared = None if made is None else PreparedMessage.of(*made, marks)
        if len(self._prepared) >= MOST_SHAPES:
            self._prepared = {}
        self._prepared[shape] = prepared
        return prepared


def _make_straight() -> Straight:
    return Straight(load_settings().plain_broker)


straight = PerProcess(_make_straight)
"""What publishes past Celery in this process; anew after a fork, as messages name their process."""


def _somebody_listens() -> bool:
    """Whether a receiver of Celery's signals may want to see a message, or change it."""
    return bool(
        signals.before_task_publish.receivers
        or signals.after_task_publish.receivers
        or signals.task_sent.receivers
    )
