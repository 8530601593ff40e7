"""What Celery and kombu 5.7 keep at Redis: keys and channels of the broker and of the results.

They lie in dbs of their own, but an ACL knows no dbs: only names tell them from the memory's.
"""

from collections.abc import Iterable

from tasks.process.broker_names import BrokerNames

QUEUES = "queues"
"""The lists of messages, with kombu's list for each priority."""
MAINTENANCE = "maintenance"
"""The list of beat's messages alone."""
QUARANTINE = "quarantine"
BINDINGS = "bindings"
"""Which queues an exchange has. One list of them belongs to all deployments, and whoever consumes
removes what is overdue there, whosever it is."""
REPLIES = "replies"
"""What workers answer to remote control."""
MAILBOXES = "mailboxes"
"""The queues of broadcasts, which are never written: kombu removes them all the same."""
UNACKED = "unacked"
RESULTS = "results"
GROUPS = "groups"
"""Results of groups, and the counters of chords."""
CHECKS = "checks"
"""Keys on which `griot check` tries what it may do."""

ANY_PRIORITY = "???"
"""Two bytes and a digit, which kombu appends to the name of a queue."""


def patterns(prefix: str, queues: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """The patterns of each kind of key, by the deployment's key prefix; `queues` are those that it
    has besides its own."""
    names = BrokerNames(prefix)
    begin, all_queues = names.prefix, (*names.queues, *queues)
    return {
        QUEUES: _queues(*all_queues),
        MAINTENANCE: _queues(names.maintenance),
        QUARANTINE: _queues(*(f"{queue}.quarantine" for queue in all_queues)),
        BINDINGS: ("_kombu.binding*",),
        REPLIES: (f"*.reply.{begin}celery.pidbox*",),
        MAILBOXES: (f"*.{begin}celery.pidbox*", f"{begin}celeryev.*"),
        UNACKED: tuple(names.unacked_keys().values()),
        RESULTS: (f"{begin}celery-task-meta-*",),
        GROUPS: (f"{begin}celery-taskset-meta-*", f"{begin}chord-unlock-*"),
        CHECKS: (f"{names.chat}.check", f"{begin}unacked.check*"),
    }


def control(prefix: str, db: int) -> str:
    """The channel of remote control at the broker's db. Redis compares a pattern that is subscribed
    to by its text, so there is no star in place of the db."""
    return f"/{db}.{BrokerNames(prefix).prefix}celery.pidbox"


def events(prefix: str, db: int) -> str:
    """The channels of Celery's events, likewise."""
    return f"/{db}.{BrokerNames(prefix).prefix}celeryev/*"


def results(prefix: str) -> str:
    """The channels on which results are announced."""
    return f"{BrokerNames(prefix).prefix}celery-task-meta-*"


def _queues(*names: str) -> tuple[str, ...]:
    return tuple(pattern for name in names for pattern in (name, f"{name}{ANY_PRIORITY}"))
