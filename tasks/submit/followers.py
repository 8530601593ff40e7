"""Following a job or a session: what to read next, and which events to hand over. No I/O.

`follow.py` drives a follower from a thread, `aio.py` on an event loop.
"""

from collections.abc import Sequence

from memory import (
    Command,
    Event,
    EventType,
    Keyspace,
    Mailbox,
    SessionKeys,
    dead_letters,
    decode_messages,
    events,
    intake,
    is_cancelled,
)
from memory.mailbox.dead_letters import Letters

ENDINGS = frozenset({EventType.DONE, EventType.FAILED, EventType.CANCELLED, EventType.MERGED})


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
        return [event for event in found if event.type is not EventType.UNKNOWN]


class JobFollower(SessionFollower):
    """Follows one job to its end.

    When nothing comes, ask `ending`: the last event may never have been stored, or be gone. Where
    it says that the job is over, ask `conclusion`, the event to hand over instead.
    """

    def __init__(self, keyspace: Keyspace, keys: SessionKeys, job_id: str, cursor: str) -> None:
        super().__init__(keys, cursor)
        self._mailbox = Mailbox(keyspace, keys)
        self._job_id = job_id

    def take(self, found: Sequence[Event]) -> list[Event]:
        """The job's events up to its last one."""
        of_job = []
        for event in super().take(found):
            if event.job_id == self._job_id and not self.is_over:
                of_job.append(event)
                self.is_over = event.type in ENDINGS
        return of_job

    def ending(self) -> Command[bool | None]:
        """Whether the job is over: True with a turn, False without, None not yet."""
        return self._mailbox.is_committed(self._job_id)

    def merged_into(self) -> Command[str | None]:
        """The job that has taken in the message of one without a turn; None where none has."""
        return intake.merged_into(self.keys, self._job_id)

    def conclusion(self, *, is_committed: bool, into: str | None = None) -> Command[Event]:
        """The last event of a job that ended unseen, from what is kept of it."""
        if is_committed:
            reply = self._mailbox.reply_of(self._job_id)
            return Command(lambda answer: self._committed(reply.parse(answer)), reply.args)
        letters = dead_letters.letters(self._mailbox)
        return Command(lambda answer: self._withdrawn(letters.parse(answer), into), letters.args)

    def _committed(self, reply: bytes | None) -> Event:
        messages = decode_messages([] if reply is None else [reply]).messages
        last = messages[0] if messages else {}
        text = str(last.get("content") or "") if last.get("role") == "assistant" else ""
        return self._last(EventType.CANCELLED if is_cancelled(last) else EventType.DONE, text)

    def _withdrawn(self, letters: Letters, into: str | None) -> Event:
        if into is not None:
            return self._last(EventType.MERGED, into=into)
        letter = letters.find(self._job_id)
        if letter is None:
            return self._last(EventType.CANCELLED)
        return self._last(EventType.FAILED, error=letter.reason)

    def _last(self, kind: EventType, text: str = "", **data: str) -> Event:
        self.is_over = True
        return Event(kind, self._job_id, 0, text, data)


def start_cursor(after: str | None) -> str:
    """Where a follower begins that was given `after`, or nothing."""
    return events.FROM_START if after is None else after
