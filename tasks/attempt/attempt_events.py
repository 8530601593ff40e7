"""The events of one attempt, on their way to the session's followers."""

from collections.abc import Mapping

from pydantic import JsonValue

from memory import Command, Event, EventType, SessionKeys
from tasks.process.relay import Relay


class AttemptEvents:
    """Makes the events of one attempt at a job and hands them to the relay."""

    def __init__(self, relay: Relay, keys: SessionKeys, job_id: str) -> None:
        self.attempt = 0
        """The attempt's number; 0 until the job is acquired."""
        self._relay = relay
        self._keys = keys
        self._job_id = job_id
        self._is_silent = True

    def emit(
        self, kind: EventType, text: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> None:
        """Publish an event soon; the first token of a reply sooner."""
        is_first_token = kind is EventType.TOKEN and self._is_silent
        if kind in {EventType.STARTED, EventType.TOKEN}:
            self._is_silent = kind is EventType.STARTED
        self._relay.emit(self._keys, self.event(kind, text, data), soon=is_first_token)

    def event(
        self, kind: EventType, text: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> Event:
        """An event of this attempt, not published."""
        return Event(kind, self._job_id, self.attempt, text, data or {})

    async def unsent(self) -> list[Command[None]]:
        """What the relay still has of this session, for the caller to send."""
        return await self._relay.taken(self._keys)
