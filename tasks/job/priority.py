"""How urgent a job is, as its sender says it and as brokers number their messages. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from memory.priority import Priority
from tasks.errors import InvalidJob

LISTS: Mapping[Priority, tuple[int, ...]] = MappingProxyType(
    {Priority.INTERACTIVE: (6,), Priority.NORMAL: (0,), Priority.BATCH: (9, 3)}
)
"""The lists that kombu has for a queue in Redis, by the lowest of Celery's numbers in each. A
wake-up goes to the first of its class (docs/decisions.md, "How urgent a job is")."""
FIRST_OF_LATER, LAST = 3, 9


def priority_of(given: object, *, is_rabbitmq: bool) -> object:
    """The class that a sender's `priority` names: one of Celery's numbers, or its name.

    A number says what it says to the broker: before, or after, a message that has none. None: as
    the agent's profile says. What is no number comes back as it is. Raises InvalidJob.
    """
    if not isinstance(given, int | float):
        return given
    if isinstance(given, bool) or given not in range(LAST + 1):
        raise InvalidJob(
            f"priority must be {', '.join(Priority)}, or a whole number from 0 to {LAST} as "
            "Celery has it"
        )
    return of_number(int(given), is_rabbitmq=is_rabbitmq)


def of_number(number: object, *, is_rabbitmq: bool) -> Priority | None:
    """The class of a message with this number; None: it says nothing."""
    if type(number) is not int or not 0 < number <= LAST:
        return None
    if is_rabbitmq:
        return Priority.INTERACTIVE
    return Priority.BATCH if number >= FIRST_OF_LATER else None


def number_of(priority: Priority, *, is_rabbitmq: bool) -> int | None:
    """What the message of a job is published with; None: nothing."""
    if is_rabbitmq:
        return LAST if priority is Priority.INTERACTIVE else None
    return None if priority is Priority.NORMAL else LISTS[priority][0]
