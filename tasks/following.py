"""Following a job or a session: what to read next, and what it tells. No I/O.

`follow.py` drives a follower from a thread, `aio.py` on an event loop.
"""

from collections.abc import Sequence

from memory import Call, Event, EventType, Keyspace, Mailbox, SessionKeys, decode_messages, events

ENDINGS = frozenset({EventType.DONE, EventType.FAILED, EventType.CANCELLED})


class SessionFollower:
    """Follows all jobs of a session, without end."""

    is_over = False

    def __init__(self, keys: SessionKeys, cursor: str) -> None:
        self.keys = keys
        self.cursor = cursor

    def take(self, found: Sequence[Event]) -> list[Event]:
        """The events to hand over; the cursor moves behind them."""
        if found:
            self.cursor = found[-1].cursor
        return list(found)


class JobFollower(SessionFollower):
    """Follows one job to its end.

    When nothing comes, ask `ending`: the last event may never have been stored, or be gone.
    """

    def __init__(self, keyspace: Keyspace, keys: SessionKeys, job_id: str, cursor: str) -> None:
        super().__init__(keys, cursor)
        self._mailbox = Mailbox(keyspace, keys)
        self._job_id = job_id

    def take(self, found: Sequence[Event]) -> list[Event]:
        """The job's events up to its last one."""
        told = []
        for event in super().take(found):
            if event.job_id == self._job_id and not self.is_over:
                told.append(event)
                self.is_over = event.type in ENDINGS
        return told

    def ending(self) -> Call[bool | None]:
        """Whether the job is over: True with a turn, False without, None not yet."""
        return self._mailbox.is_committed(self._job_id)

    def reply(self) -> Call[bytes | None]:
        """The committed reply of a job that has its turn."""
        return self._mailbox.reply_of(self._job_id)

    def conclude(self, *, is_committed: bool, reply: bytes | None) -> Event:
        """The last event of a job that ended unseen."""
        self.is_over = True
        if not is_committed:
            return Event(EventType.FAILED, self._job_id, 0)
        messages = decode_messages([] if reply is None else [reply]).messages
        text = str(messages[0]["content"]) if messages else ""
        return Event(EventType.DONE, self._job_id, 0, text=text)


def start_cursor(after: str | None) -> str:
    """Where a follower begins that was given `after`, or nothing."""
    return events.FROM_START if after is None else after
