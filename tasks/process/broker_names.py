"""The names that one deployment has at its broker and among its results.

Two deployments share one Redis, or one RabbitMQ, if their REDIS_KEY_PREFIX differs: then all of
these do. With the default prefix they are those that Celery's users know.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from memory.keys import DEFAULT_PREFIX, PREFIX_PATTERN

PREFIX_HEADER = "griot_prefix"
"""Header of our messages: the REDIS_KEY_PREFIX of the mailbox that they are about."""
OURS = ("chat", "celery", "maintenance")


@dataclass(frozen=True)
class BrokerNames:
    """The names of the deployment with one key prefix."""

    key_prefix: str

    @cached_property
    def prefix(self) -> str:
        """What they begin with: nothing for the default prefix."""
        return "" if self.key_prefix == DEFAULT_PREFIX else f"{self.key_prefix}."

    @cached_property
    def chat(self) -> str:
        """The queue of wake-ups."""
        return f"{self.prefix}chat"

    @property
    def default(self) -> str:
        """The queue of services that import nothing of ours."""
        return f"{self.prefix}celery"

    @property
    def maintenance(self) -> str:
        """The queue of beat's tasks."""
        return f"{self.prefix}maintenance"

    @property
    def queues(self) -> tuple[str, str, str]:
        """All three."""
        return self.chat, self.default, self.maintenance

    def queue(self, name: str) -> str:
        """What a queue is called that somebody names: `-Q maintenance` means this deployment's."""
        return f"{self.prefix}{name}" if name in OURS else name

    def unacked_keys(self) -> Mapping[str, str]:
        """kombu's options for the keys of unacknowledged messages on a Redis broker."""
        names = ("unacked", "unacked_index", "unacked_mutex")
        return {f"{name}_key": f"{self.prefix}{name}" for name in names}


def other_prefix(headers: object, names: BrokerNames) -> str | None:
    """The key prefix of the other deployment whose message this is; None if it may be ours.

    What cannot be a prefix is nobody's: it would name a queue, and stand in the log.
    """
    prefix = headers.get(PREFIX_HEADER) if isinstance(headers, dict) else None
    is_prefix = isinstance(prefix, str) and re.fullmatch(PREFIX_PATTERN, prefix)
    return str(prefix) if is_prefix and prefix != names.key_prefix else None
