"""A conversation through a pipe: each line is a message, replies go to standard output."""

import asyncio
import sys
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Protocol

import orjson

from memory import Backpressure, Event, EventType
from tasks import ChatError, InvalidJob, NotAccepted, chat_task
from tasks.aio import aclose, follow_job
from worker.cli.chat.absent import NO_WORKER, PATIENCE_S, has_worker
from worker.cli.chat.conversation import Conversation
from worker.cli.chat.following import patiently
from worker.cli.chat.reply import ShownReply
from worker.cli.chat.sentences import LOOK_FIRST, not_confirmed
from worker.cli.console import is_terminal, note, printable, write
from worker.cli.group import CommandFailed
from worker.cli.known_agents import note_unknown

TRIES = 3
"""How often a message is sent that Redis does not confirm; each takes up to twice REDIS_TIMEOUT."""


class EventPrinter(Protocol):
    """What is done with the events of one message's job."""

    def take(self, event: Event) -> None:
        """An event, as it comes."""

    def not_sent(self, why: str) -> None:
        """The message was not taken in."""


class PlainReply:
    """The reply as plain text: remarks go to standard error. A View, and a EventPrinter."""

    def __init__(self, *, max_wait_s: float) -> None:
        self._reply = ShownReply(self, max_wait_s=max_wait_s)

    def take(self, event: Event) -> None:
        """Print what an event brings."""
        self._reply.take(event)

    def not_sent(self, why: str) -> None:
        """Say why."""
        note(f"griot: {why}")

    def text(self, text: str) -> None:
        """Print a piece of the reply."""
        write(text)

    def end_line(self) -> None:
        """End a line."""
        write("\n")

    def remark(self, text: str) -> None:
        """Print a remark."""
        note(text)

    def waits(self, why: str) -> None:
        """Print why nothing happens."""
        note(f"({why})")

    def status(self, text: str) -> None:
        """Nothing: what is printed cannot be taken back."""


class JsonEvents:
    """Each event as a line of JSON, for scripts."""

    def take(self, event: Event) -> None:
        """Print an event."""
        names = ("type", "job_id", "attempt", "text", "data", "cursor")
        _print_json({name: getattr(event, name) for name in names})

    def not_sent(self, why: str) -> None:
        """Print why a message has no events."""
        _print_json({"type": "not_sent", "data": {"error": why}})


class Pipe:
    """Sends lines one after the other, and has their replies printed."""

    def __init__(self, talk: Conversation, *, as_json: bool) -> None:
        self.failures = 0
        self._talk = talk
        self._as_json = as_json
        self._is_warned = False

    def talk_through(self, lines: Iterable[str]) -> None:
        """Send each line that says something. Raises MemoryServiceError, and CommandFailed where no
        worker is there to answer."""
        for line in lines:
            if line.strip():
                self._send(line.rstrip("\n"))

    def _send(self, message: str) -> None:
        max_wait_s = self._talk.settings.queue.max_wait_s
        reader: EventPrinter = JsonEvents() if self._as_json else PlainReply(max_wait_s=max_wait_s)
        try:
            if not _is_unicode(message):
                raise InvalidJob("the line is not valid UTF-8")
            job_id = self._take_in(message)
            self._warn_unknown()
            asyncio.run(self._follow(job_id, reader))
        except NotAccepted as exc:
            self.failures += 1
            reader.not_sent(f"{not_confirmed(exc)}; {LOOK_FIRST}")
        except (ChatError, Backpressure) as exc:
            self.failures += 1
            reader.not_sent(str(exc))

    def _take_in(self, message: str) -> str:
        """Send a message, again under the same id while Redis does not confirm it: who fills a pipe
        cannot. The job's id. Raises NotAccepted after the last try, and what `delay` raises."""
        arguments = (self._talk.agent, self._talk.session, message)
        options, task_id = self._talk.options(), str(uuid.uuid4())
        for is_last in (*[False] * (TRIES - 1), True):
            try:
                return chat_task.apply_async(arguments, options, task_id=task_id).id
            except NotAccepted as exc:
                if is_last:
                    raise
                note(f"griot: {not_confirmed(exc)}; sending it again, duplicates are ignored")
        raise AssertionError("unreachable")

    def _warn_unknown(self) -> None:
        """Say once that the default profile answers for the agent, if it does."""
        if not self._is_warned:
            note_unknown(self._talk.agent)
        self._is_warned = True

    async def _follow(self, job_id: str, reader: EventPrinter) -> None:
        try:
            into: str | None = job_id
            while into is not None:
                into = await self._read(into, reader)
        finally:
            await aclose()

    async def _read(self, job_id: str, reader: EventPrinter) -> str | None:
        """Read a job to its end; the job that answers in its place, if one does."""
        async with aclosing(_checked(job_id)) as events:
            async for event in events:
                reader.take(event)
                if event.type is EventType.FAILED:
                    self.failures += 1
                elif event.type is EventType.MERGED:
                    return str(event.data["into"])
        return None


async def _checked(job_id: str) -> AsyncGenerator[Event, None]:
    """The events of a job. Raises CommandFailed where no worker is there to answer it."""
    has_begun = is_asked = False
    async with aclosing(patiently(follow_job(job_id), PATIENCE_S)) as events:
        async for event in events:
            if event is not None:
                has_begun = has_begun or event.attempt > 0
                yield event
            elif not has_begun and not is_asked:
                is_asked = True
                if not has_worker():
                    raise CommandFailed(
                        f"{NO_WORKER}. The message waits in its mailbox (job {job_id}) and will be "
                        "answered then"
                    )


def _is_unicode(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _print_json(value: object) -> None:
    line = orjson.dumps(value).decode()
    # A program reads the line as it is; on a terminal it must steer nothing.
    sys.stdout.write((printable(line) if is_terminal() else line) + "\n")
    sys.stdout.flush()
