"""What a role at Redis consists of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

Grants = Mapping[str, str]
"""Commands by the kinds of keys that they are for, both separated by spaces."""


class Channel(Enum):
    """Channels of publish and subscribe."""

    CONTROL = auto()
    EVENTS = auto()
    RESULTS = auto()


@dataclass(frozen=True, slots=True)
class Role:
    """What one kind of process does at Redis.

    `indexes` and `due_lists` are the kinds that its scripts are given where they take any index, or
    any list of what is due. `together` are commands that touch several kinds in one call. `alone`
    are commands without a key. A `wide` role may send each of its commands to every key of the
    memory, but for those in NARROW.
    """

    name: str
    purpose: str
    scripts: str = ""
    indexes: str = ""
    due_lists: str = "due delayed"
    grants: tuple[Grants, ...] = ()
    together: Grants = field(default_factory=dict)
    alone: str = ""
    hears: frozenset[Channel] = frozenset()
    speaks: frozenset[Channel] = frozenset()
    is_wide: bool = False
