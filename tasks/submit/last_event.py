"""How a job has ended that ended unseen: its last event, from what is kept of it. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from pydantic import JsonValue

from memory import (
    Command,
    Event,
    EventType,
    Keyspace,
    Mailbox,
    SessionKeys,
    dead_letters,
    decode_messages,
    intake,
    is_cancelled,
    outbox,
)
from memory.mailbox.dead_letters import Letters
from tasks.end.outcome import event_data
from tasks.job.failure_code import FailureCode
from tasks.job.result import result_from_reply


@dataclass(frozen=True, slots=True)
class LastEvent:
    """The commands that find a job's last event: first `standing`, then all of `lookup`."""

    keyspace: Keyspace
    keys: SessionKeys
    job_id: str

    def standing(self) -> tuple[Command[bool], Command[bool | None]]:
        """Whether the job waits or runs; and whether it is over: True with a turn, False without,
        None not yet. In this order: where neither is so, the mailbox was lost."""
        return self._mailbox.is_pending(self.job_id), self._mailbox.is_committed(self.job_id)

    def lookup(self) -> Sequence[Command[object]]:
        """What `found` reads the answers of."""
        return (
            outbox.end_of(self.keys, self.job_id),
            intake.was_erased(self.keys, self.job_id),
            intake.merged_into(self.keys, self.job_id),
            dead_letters.letters(self._mailbox),
            self._mailbox.reply_of(self.job_id),
        )

    def replacement(self) -> Command[str | None]:
        """The job that takes the place of one that failed: it was sent again; None: none does."""
        return intake.merged_into(self.keys, self.job_id)

    def led_on(self, failed: Event, into: str | None) -> Event:
        """The end of a job that failed, which leads to its `replacement` if there is one."""
        if into is None:
            return failed
        return replace(failed, type=EventType.MERGED, text="", data={"into": into})

    def found(self, answers: Sequence[object], *, is_committed: bool) -> Event:
        """The last event of a job that is over."""
        undelivered, was_erased, into, letters, reply = answers
        if isinstance(undelivered, Event):
            is_replaced = undelivered.type is EventType.FAILED and isinstance(into, str)
            return self.led_on(undelivered, cast("str", into) if is_replaced else None)
        if was_erased:
            return self._last(EventType.ERASED)
        if is_committed:
            return self._of_turn(cast("bytes | None", reply))
        if isinstance(into, str):
            return self._last(EventType.MERGED, into=into)
        letter = cast(Letters, letters).find(self.job_id)
        if letter is not None:
            kind = {"code": letter.code} if letter.code else {}
            return self._last(EventType.FAILED, error=letter.reason, **kind)
        return self._last(EventType.CANCELLED)

    def _of_turn(self, reply: bytes | None) -> Event:
        messages = decode_messages([] if reply is None else [reply]).messages
        if messages and is_cancelled(messages[0]):
            said = messages[0].get("content") if messages[0].get("role") == "assistant" else ""
            kind, data = _ending_of(messages[0])
            return Event(kind, self.job_id, 0, str(said or ""), data)
        keys = self.keys
        result = result_from_reply(self.job_id, keys.agent_id, keys.session_id, messages)
        data = event_data(result)
        return Event(EventType.DONE, self.job_id, result["attempt"], result["response"], data)

    def _last(self, kind: EventType, **data: str) -> Event:
        return Event(kind, self.job_id, 0, data=data)

    @property
    def _mailbox(self) -> Mailbox:
        return Mailbox(self.keyspace, self.keys)


def _ending_of(message: Mapping[str, JsonValue]) -> tuple[EventType, Mapping[str, JsonValue]]:
    """How a turn was stopped that the history has in part: by whoever cancelled it, or by its
    timeout."""
    why = message.get("timeout")
    if why is None:
        return EventType.CANCELLED, {}
    return EventType.FAILED, {"error": why, "code": FailureCode.TIMEOUT}
