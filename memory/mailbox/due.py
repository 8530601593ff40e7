"""The due list: which mailboxes a sweeper must look at, and when.

Every operation that a crash could follow puts its mailbox on the list first (SCHEDULE). Only a
sweeper puts an entry off or drops it, and only one that has not changed since it was read.
"""

from dataclasses import dataclass

from memory.keys import Keyspace
from memory.lifetimes import QUEUE_WAIT_TTL_MS
from memory.mailbox import due_list
from memory.mailbox.due_list import DueEntry
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.outcomes import SweepOutcome, Swept
from memory.redis.command import Command
from memory.redis.replies import flag, integer, nothing, raw

MAX_WAIT_DIGITS = 9
IDLE_MS = 10 * 60 * 1000
"""How long a mailbox must have been idle before its entry is dropped."""


@dataclass(frozen=True, slots=True)
class Due:
    """The commands on the list. Any number of sweepers may work at once, each on the whole list."""

    keyspace: Keyspace

    def entries(self, *, limit: int) -> Command[list[DueEntry]]:
        """What is due by now, the longest due first."""
        return due_list.due(self.keyspace.due, limit=limit)

    def mailbox(self, entry: DueEntry) -> Mailbox | None:
        """The mailbox of an entry; None where it is not the key of a history: `forget` it."""
        keys = self.keyspace.find_session(entry.history_key)
        return None if keys is None else Mailbox(self.keyspace, keys)

    def settle(self, entry: DueEntry, swept: Swept, *, grace_ms: int) -> Command[bool]:
        """Note what SWEEP answered, after its wake-up was published if it asked for one.

        False: someone sent SCHEDULE meanwhile, and that stands. A mailbox that is idle is looked at
        once more after ten minutes and dropped then; a fraction in its score marks the first time.
        """
        match swept.outcome:
            # Noted ten minutes ago: no producer is between SCHEDULE and ENQUEUE any more.
            case SweepOutcome.IDLE if entry.at_ms % 1:
                return self._settle(entry, None)
            case SweepOutcome.IDLE:
                return self._settle(entry, IDLE_MS, is_idle=True)
            case SweepOutcome.BUSY | SweepOutcome.WAIT:
                return self._settle(entry, swept.wait_ms + grace_ms)
            # Until the next wake-up is due, nothing needs to be done.
            case SweepOutcome.WOKEN | SweepOutcome.WAKE:
                return self._settle(entry, swept.wait_ms)

    def put_off(self, entry: DueEntry, delay_ms: int) -> Command[bool]:
        """Look again in `delay_ms`: for a mailbox that cannot be swept now (CorruptData)."""
        return self._settle(entry, delay_ms)

    def forget(self, entry: DueEntry) -> Command[bool]:
        """Drop an entry that is not the key of a history."""
        return Command(flag, ("ZREM", self.keyspace.due, entry.stored or entry.history_key))

    def add_stray(self, history_key: str) -> Command[bool]:
        """Have a mailbox looked at that has no entry; one that has is left alone."""
        return Command(flag, ("ZADD", self.keyspace.due, "NX", 0, history_key))

    def share_queue_wait(self, waited_ms: int) -> Command[None]:
        """Let all sweepers know how long wake-ups lie in the queue; it counts for a minute."""
        # docs/decisions.md, "Grace periods grow with the queue".
        args = ("SET", self.keyspace.queue_wait, waited_ms, "PX", QUEUE_WAIT_TTL_MS)
        return Command(nothing, args)

    def shared_queue_wait(self) -> tuple[Command[int], Command[int]]:
        """How long wake-ups lie in the queue, as a worker saw it last, and how long that counts:
        for `shared_wait_ms`."""
        key = self.keyspace.queue_wait
        return Command(_milliseconds, ("GET", key)), Command(integer, ("PTTL", key))

    def _settle(
        self, entry: DueEntry, delay_ms: int | None, *, is_idle: bool = False
    ) -> Command[bool]:
        return due_list.settle(
            self.keyspace.due,
            entry.history_key,
            seen_ms=entry.at_ms,
            delay_ms=delay_ms,
            is_idle=is_idle,
        )


def shared_wait_ms(shared_ms: int, left_ms: int) -> int:
    """The shared wait; 0 where none is shared, or for longer than anyone shares one: the server's
    clock was set back, or it is not ours."""
    return shared_ms if 0 < left_ms <= QUEUE_WAIT_TTL_MS else 0


def _milliseconds(reply: object) -> int:
    shared = b"" if reply is None else raw(reply)
    return int(shared) if shared.isdigit() and len(shared) <= MAX_WAIT_DIGITS else 0
