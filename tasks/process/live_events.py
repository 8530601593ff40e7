"""From the model's stream to the session's event stream: one pipeline per tick for all streams.

An event waits at most TICK_S, and the texts of a stream that was told one a moment ago until
PACE_S after that; the tokens of one attempt that gather meanwhile become one event.
Nobody waits for the relay, and nothing depends on it: a lost event costs a follower some text that
the history has.
"""

import asyncio
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, replace
from typing import TypeAlias

from pydantic import JsonValue

from memory import (
    AsyncConnection,
    Command,
    Event,
    EventType,
    MemoryServiceError,
    SessionKeys,
    events,
)
from memory.ids import shown_id
from telemetry.metrics import RELAY_LAG

logger = logging.getLogger(__name__)

# One pipeline per tick for all streams: a command for each token of 100 streams would be
# thousands a second.
TICK_S = 0.02
PACE_S = 0.05
"""So far apart are two texts of a stream: each is an entry that is stored, read and sent by
itself, and nobody reads faster."""
SOON_S = 0.003
"""How long what is to be sent soon waits for others like it."""
MOST_NAMED = 3
"""Sessions that one log line names; without Redis all lose their events, tick after tick."""
TEXT_EVENTS = frozenset({EventType.TOKEN, EventType.THINKING})

_Writer: TypeAlias = tuple[SessionKeys, str]
"""A session, and the token of the attempt that writes; the token is empty where none does."""


# Not frozen, as there is one for each entry: that would take twice as long.
@dataclass(slots=True)
class _TextRun:
    """An event, and the texts of all that follow each other and become one with it."""

    first: Event
    texts: list[str]

    @property
    def is_text(self) -> bool:
        """Whether others become one with it."""
        return self.first.type in TEXT_EVENTS

    def joined(self) -> Event:
        """The one that they become."""
        if len(self.texts) == 1:
            return self.first
        return replace(self.first, text="".join(self.texts))


class Relay:
    """Collects the events of all attempts of a process; used on the event loop only."""

    def __init__(
        self, memory: AsyncConnection, *, ttl_of: Callable[[str], int], tick_s: float = TICK_S
    ) -> None:
        """`ttl_of` an agent: how long its sessions are kept, seconds."""
        self._memory = memory
        self._ttl_of = ttl_of
        self._tick_s = tick_s
        self._waiting: dict[_Writer, list[_TextRun]] = defaultdict(list)
        self._numbers = itertools.count(1)
        self._flush: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._since_s = 0.0
        self._told_s: dict[_Writer, float] = {}

    def emit(self, keys: SessionKeys, event: Event, *, token: str = "", soon: bool = False) -> None:
        """Have an event published within a tick; `soon` ends the tick that is running.

        With a `token` it is dropped unless that holds the session's lease when it is written.
        Somebody looks at an empty screen until the first token of a reply: that one is sent soon.
        """
        if not self._waiting:
            self._since_s = time.monotonic()
        waiting = self._waiting[keys, token]
        if waiting and _continues(waiting[-1].first, event):
            waiting[-1].texts.append(event.text)
        else:
            waiting.append(_TextRun(event, [event.text]))
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._publish(), context=Context())
        if soon:
            self._told_s.pop((keys, token), None)
            self._hurry.set()

    async def taken(self, keys: SessionKeys, token: str) -> list[Command[bool]]:
        """What still waits of an attempt, for the caller to send; what was under way is there."""
        if self._sending is not None:
            await asyncio.wait((self._sending,))
        waiting = self._waiting.pop((keys, token), [])
        return [self._call((keys, token), waiting)] if waiting else []

    async def _publish(self) -> None:
        while self._waiting:
            await self._tick()
            since_s, batch = self._since_s, self._due()
            if not batch:
                continue
            self._sending = asyncio.create_task(self._send(batch), context=Context())
            await self._sending
            self._sending = None
            RELAY_LAG.observe(time.monotonic() - since_s)

    def _due(self) -> Mapping[_Writer, list[_TextRun]]:
        """What waits, without the texts of those who were told one a moment ago."""
        now_s = time.monotonic()
        self._told_s = {one: at_s for one, at_s in self._told_s.items() if now_s - at_s < PACE_S}
        early = {
            one: self._waiting.pop(one)
            for one in self._told_s
            if one in self._waiting and _is_mere_text(self._waiting[one])
        }
        due, self._waiting = self._waiting, defaultdict(list, early)
        if early:
            self._since_s = min(map(self._told_s.__getitem__, early))
        self._told_s |= {one: now_s for one, runs in due.items() if runs[-1].is_text}
        return due

    async def _tick(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._tick_s):
                await self._hurry.wait()
                await asyncio.sleep(SOON_S)
        self._hurry.clear()

    async def _send(self, batch: Mapping[_Writer, list[_TextRun]]) -> None:
        # Each session's apart: the damaged stream of one costs no other an event.
        calls = [self._call(writer, waiting) for writer, waiting in batch.items()]
        answers = await self._memory.run_apart(calls)
        lost: dict[str, list[SessionKeys]] = defaultdict(list)
        for (keys, _), answer in zip(batch, answers, strict=True):
            if isinstance(answer, MemoryServiceError):
                lost[str(answer)].append(keys)
        for reason, sessions in lost.items():
            logger.warning(
                "live events of %s are lost, the history is not: %s", _named(sessions), reason
            )

    def _call(self, writer: _Writer, waiting: Sequence[_TextRun]) -> Command[bool]:
        (keys, token), joined = writer, [run.joined() for run in waiting]
        ttl_s = self._ttl_of(keys.agent_id)
        return events.publish(keys, joined, ttl_s=ttl_s, token=token, number=next(self._numbers))


class AttemptEvents:
    """Makes the events of one attempt at a job and hands them to the relay."""

    def __init__(self, relay: Relay, keys: SessionKeys, job_id: str, token: str) -> None:
        """`token` is that of the attempt's lease."""
        self.attempt = 0
        """The attempt's number; 0 until the job is acquired."""
        self._relay = relay
        self._keys = keys
        self.job_id = job_id
        self._token = token
        self._is_silent = True

    def emit(
        self, kind: EventType, text: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> None:
        """Publish an event soon; the first token of a reply sooner."""
        is_first_token = kind is EventType.TOKEN and self._is_silent
        if kind in {EventType.STARTED, EventType.TOKEN}:
            self._is_silent = kind is EventType.STARTED
        # A job waits for a slot without a lease, and a refused one has none.
        token = "" if kind in {EventType.WAITING, EventType.FAILED} else self._token
        event = self.event(kind, text, data)
        self._relay.emit(self._keys, event, token=token, soon=is_first_token)

    def event(
        self, kind: EventType, text: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> Event:
        """An event of this attempt, not published."""
        return Event(kind, self.job_id, self.attempt, text, data or {})

    async def unsent(self) -> list[Command[bool]]:
        """What the relay still has of this attempt, for the caller to send."""
        return await self._relay.taken(self._keys, self._token)


def _named(sessions: Sequence[SessionKeys]) -> str:
    named = [
        f"session {shown_id(one.session_id)} of agent {shown_id(one.agent_id)}"
        for one in sessions[:MOST_NAMED]
    ]
    more = len(sessions) - len(named)
    return ", ".join(named) + (f" and {more} more sessions" if more else "")


def _is_mere_text(runs: Sequence[_TextRun]) -> bool:
    return len(runs) == 1 and runs[0].is_text


def _continues(last: Event, event: Event) -> bool:
    same_attempt = last.job_id == event.job_id and last.attempt == event.attempt
    return same_attempt and last.type is event.type and event.type in TEXT_EVENTS
