"""Waiting until replicas have a write, where REDIS_WAIT_REPLICAS asks for it.

Redis acknowledges a write before its replicas have it, so a fail-over may lose it. WAIT tells how
many have it; it speaks of the writes of its own connection only.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from memory.errors import MemoryUnavailable
from memory.lifetimes import DEDUPE_MS
from memory.redis.command import Argument, Command, Replication, Tolerance
from memory.redis.replies import nothing
from memory.settings import MemorySettings

logger = logging.getLogger(__name__)

Wire = tuple[Argument, ...]
T = TypeVar("T")


def replicated(
    command: Command[T], lease: str, written: Collection[str], *, is_required: bool
) -> Command[T]:
    """The same, to be on replicas before its caller is answered.

    `lease` is the key of the session's lease, `written` are the codes of the script that say that
    something lies in Redis. Where too few replicas confirm it in time: MemoryUnavailable if it is
    required, else a warning in the log.
    """
    codes = tuple(code.encode() for code in written)
    asked = command.read_by(command.parse)
    asked.replication = Replication(lease, codes, is_required)
    return asked


@dataclass(slots=True)
class _Aside(Command[None]):
    """What is sent behind a command for the sake of its replicas."""


@dataclass(frozen=True, slots=True)
class ReplicaWait:
    """How many replicas must confirm a write, within which time; for one connection or many."""

    replicas: int
    timeout_s: float
    label: str

    @classmethod
    def of(cls, settings: MemorySettings, label: str) -> "ReplicaWait | None":
        """What the settings ask for; `label` names the server."""
        if not settings.wait_replicas:
            return None
        return cls(settings.wait_replicas, settings.wait_timeout_s, label)

    def sent(self, commands: Sequence[Command[object]]) -> list[Command[object]]:
        """What to send for these commands: WAIT behind each that is to be replicated."""
        sent: list[Command[object]] = []
        for command in commands:
            sent.append(command)
            if command.replication is not None:
                # A repeat writes nothing, and WAIT counts from the connection's last write
                # (Valkey 9). This one is always a write, and gives the lease the TTL that it has.
                fence = ("PEXPIRE", command.replication.lease, DEDUPE_MS)
                wait = ("WAIT", self.replicas, max(1, int(self.timeout_s * 1000)))
                sent += [_aside(fence), _aside(wait)]
        return sent

    def own(
        self,
        commands: Sequence[Command[object]],
        sent: Sequence[Command[object]],
        replies: list[object],
    ) -> list[object]:
        """The replies to `commands` among those to what was `sent`.

        Raises MemoryUnavailable where too few replicas have a write that requires it.
        """
        own = [
            reply for one, reply in zip(sent, replies, strict=True) if not isinstance(one, _Aside)
        ]
        for command, at in zip(commands, _positions(sent), strict=True):
            if (
                command.replication is not None
                and _code(replies[at]) in command.replication.written
            ):
                self._check(replies[at + 2], command.replication)
        return own

    def _check(self, confirmed: object, replication: Replication) -> None:
        replicas = confirmed if isinstance(confirmed, int) else 0
        if replicas >= self.replicas:
            return
        fact = (
            f"Redis at {self.label} stored the write, but only {replicas} of {self.replicas} "
            f"replicas confirmed it within {self.timeout_s:g} s, so a failover now may lose it"
        )
        todo = "see INFO replication, and REDIS_WAIT_REPLICAS"
        if replication.is_required:
            raise MemoryUnavailable(f"{fact}; {todo}")
        logger.warning("%s; work goes on; %s", fact, todo)


class OneWait:
    """Commands for one connection, of whose WAITs only the last is sent: it is about all that was
    written before it.

    Where a replica stands still each would take REDIS_WAIT_TIMEOUT, so a few jobs at once would
    take longer than REDIS_TIMEOUT, and the connection would be given up.
    """

    def __init__(self, wires: Sequence[Wire]) -> None:
        self._wires = wires
        self._waits = [at for at, wire in enumerate(wires) if wire[0] == "WAIT"]
        # With the write right before it, which is there for its sake.
        self._left_out = {place for at in self._waits[:-1] for place in (at - 1, at)}

    @property
    def sent(self) -> Sequence[Wire]:
        """What to send."""
        if not self._left_out:
            return self._wires
        return [wire for at, wire in enumerate(self._wires) if at not in self._left_out]

    def all_replies(self, replies: list[object]) -> list[object]:
        """The replies to all commands, of those to what was sent: the WAIT's for what was not."""
        if not self._left_out:
            return replies
        received = iter(replies)
        answers = [
            None if at in self._left_out else next(received) for at in range(len(self._wires))
        ]
        of_wait = answers[self._waits[-1]]
        return [of_wait if at in self._left_out else one for at, one in enumerate(answers)]


def has_wait_behind(wires: Sequence[Sequence[object]], at: int) -> bool:
    """Whether the command at this place is followed by a WAIT for it."""
    return at + 2 < len(wires) and wires[at + 2][0] == "WAIT"


def _aside(args: tuple[Argument, ...]) -> _Aside:
    # Only the command's own answer says whether it was executed.
    return _Aside(nothing, args, tolerance=Tolerance.ALL)


def _positions(sent: Sequence[Command[object]]) -> list[int]:
    return [at for at, one in enumerate(sent) if not isinstance(one, _Aside)]


def _code(reply: object) -> object:
    return reply[0] if isinstance(reply, list) and reply else None
