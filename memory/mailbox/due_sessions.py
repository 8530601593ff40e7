"""Lists of sessions to look at: of each when that is. The delayed jobs and the schedules have one.

They are due lists (`due_list`); whoever looks at a session puts its entry off first, so that of
many who look at once one does the work. Any number may look.
"""

from dataclasses import dataclass

from memory.keys import SessionKeys
from memory.mailbox import due_list
from memory.mailbox.due import IDLE_MS
from memory.mailbox.due_list import DueEntry
from memory.redis.command import Command
from memory.redis.replies import flag, pairs


@dataclass(frozen=True, slots=True)
class DueSessions:
    """The commands on one list, which lies under `due_key`."""

    due_key: str

    def entries(self, *, limit: int) -> Command[list[DueEntry]]:
        """The sessions to look at by now, the longest due first."""
        return due_list.due(self.due_key, limit=limit)

    def next_at_ms(self) -> Command[float | None]:
        """When the first session is to be looked at, by the server's clock; None: there is none."""

        def read(reply: object) -> float | None:
            found = [float(at_ms) for _, at_ms in pairs(reply)]
            return found[0] if found and found[0] < due_list.FAR_MS else None

        return Command(read, ("ZRANGE", self.due_key, 0, 0, "WITHSCORES"))

    def put_off(self, entry: DueEntry, delay_ms: int) -> Command[bool]:
        """Look again in `delay_ms`. False: somebody else has the entry, or it has changed."""
        return due_list.settle(
            self.due_key, entry.history_key, seen_ms=entry.at_ms, delay_ms=delay_ms
        )

    def look_in(self, keys: SessionKeys, delay_ms: int) -> Command[int]:
        """Look in `delay_ms` at the latest."""
        return due_list.schedule(self.due_key, keys.history, delay_ms=delay_ms)

    def leave(self, entry: DueEntry) -> Command[bool]:
        """Note that nothing is to come for a session; the second time, ten minutes later, it is off
        the list: no sender is between SCHEDULE and what it guards any more."""
        is_old = bool(entry.at_ms % 1)
        return due_list.settle(
            self.due_key,
            entry.history_key,
            seen_ms=entry.at_ms,
            delay_ms=None if is_old else IDLE_MS,
            is_idle=not is_old,
        )

    def forget(self, entry: DueEntry) -> Command[bool]:
        """Drop an entry that is not the key of a history."""
        member = entry.stored or entry.history_key
        return Command(flag, ("ZREM", self.due_key, member))

    def add_stray(self, history_key: str) -> Command[bool]:
        """Have a session looked at that has no entry; one that has is left alone."""
        return Command(flag, ("ZADD", self.due_key, "NX", 0, history_key))
