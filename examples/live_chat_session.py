"""A session as the live chat shows it: its history, what is being answered, and its events."""

import json
from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel, JsonValue

from memory import (
    Command,
    Event,
    EventType,
    JobToWake,
    Mailbox,
    RedisMemoryService,
    SessionKeys,
    events,
)
from tasks.job.envelope import Envelope

SHOWN = ("user", "assistant")


class ShownMessage(BaseModel):
    """A message of the history; both of a turn have its job's id."""

    role: str
    content: str | None = None
    job_id: str | None = None
    cancelled: bool = False


class WaitingMessage(BaseModel):
    """A message whose answer is not complete, and its text up to now; attempt 0: not begun."""

    job_id: str
    message: str
    attempt: int = 0
    text: str = ""
    waits: dict[str, JsonValue] | None = None
    """The data of its last `waiting`, until something else happens to it."""


class SessionView(BaseModel):
    """A conversation, as true at `cursor`: follow its events from there."""

    cursor: str
    messages: list[ShownMessage]
    pending: list[WaitingMessage]


def is_shown(message: Mapping[str, object]) -> bool:
    """Whether it is somebody's word: not a call of a tool, nor its result."""
    return message["role"] in SHOWN and "tool_calls" not in message


def server_sent(event: Event) -> str:
    """An event as the standard has it; one that says that nothing happened is a comment."""
    if event.type is EventType.KEEP_ALIVE:
        return ": keep-alive\n\n"
    fields = {name: getattr(event, name) for name in ("job_id", "attempt", "text", "data")}
    return f"id: {event.cursor}\nevent: {event.type}\ndata: {json.dumps(fields)}\n\n"


def waiting_messages(memory: RedisMemoryService, mailbox: Mailbox) -> list[WaitingMessage]:
    """The messages that wait in a mailbox, the one that is answered first."""
    ids = memory.connection.run(mailbox.pending())
    if not ids:
        return []
    found = memory.connection.run(Command(lambda reply: reply, ("HMGET", mailbox.keys.jobs, *ids)))
    assert isinstance(found, list)
    waiting = [JobToWake(*one) for one in zip(ids, found, strict=True) if one[1] is not None]
    return [
        WaitingMessage(job_id=one.job_id, message=Envelope.of(mailbox.keys, one).job.message)
        for one in waiting
    ]


def add_events(pending: Iterable[WaitingMessage], happened: Iterable[Event]) -> None:
    """Add to messages that wait what is known of their answers."""
    by_id = {one.job_id: one for one in pending}
    for event in happened:
        one = by_id.get(event.job_id)
        if one is None or event.attempt < one.attempt:
            continue
        one.waits = dict(event.data) if event.type is EventType.WAITING else None
        # An attempt that a stopping worker gave back starts again under the same number.
        # What is said before a tool is called is no part of the answer.
        on_start = (EventType.STARTED, EventType.TOOL_CALL)
        if event.type in on_start or event.attempt > one.attempt:
            one.attempt, one.text = event.attempt, ""
        if event.type is EventType.TOKEN:
            one.text += event.text


def events_until(memory: RedisMemoryService, keys: SessionKeys, cursor: str) -> Iterator[Event]:
    """The events that are kept up to a cursor."""
    at = events.FROM_START
    while events.is_after(cursor, at):
        found = memory.connection.run(events.read(keys, at, block_ms=1))
        yield from (event for event in found if not events.is_after(event.cursor, cursor))
        at = found[-1].cursor if found else cursor
