"""A conversation on a terminal: messages are sent as they are typed, replies come in order."""

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass

from kombu.exceptions import OperationalError

from memory import Event, EventType, MemoryServiceError
from tasks import ChatError, NotAccepted
from tasks.aio import aclose, cancel, send
from worker.cli.chat.absent import NO_WORKER, PATIENCE_S, has_worker, is_loading
from worker.cli.chat.acts import Acts
from worker.cli.chat.conversation import Conversation
from worker.cli.chat.following import patiently, through_outages
from worker.cli.chat.replay import YOU, said_before
from worker.cli.chat.reply import ShownReply
from worker.cli.chat.screen import Screen
from worker.cli.chat.sentences import SEND_AGAIN, not_confirmed
from worker.cli.chat.slash import SlashCommand, SlashCompleter, parsed

LOOK_S = 1.5
"""How long nothing may come before it is looked for the cause."""
FAILURES = (ChatError, MemoryServiceError, OSError)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was taken in."""

    job_id: str
    agent: str
    text: str


class TerminalChat:
    """One terminal's view of a conversation."""

    def __init__(self, talk: Conversation, *, last: int) -> None:
        """`last`: how many messages of the history are shown."""
        self._talk = talk
        self._typed: asyncio.Queue[str] = asyncio.Queue()
        self._to_follow: asyncio.Queue[Sent] = asyncio.Queue()
        self._waiting: list[Sent] = []
        self._current: Sent | None = None
        self._is_cancelling = False
        self._following: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        profiles = talk.settings.profiles
        choices = {
            "agent": lambda: profiles.by_id,
            "model": lambda: talk.settings.models,
            "tools": lambda: talk.tool_names,
        }
        self._screen = Screen(
            prompt=self._prompt,
            completer=SlashCompleter(choices),
            before=self._inputs_before(),
            on_line=self._typed.put_nowait,
            on_interrupt=self._interrupt,
        )
        self._acts = Acts(talk, self._screen, last=last, cancel=self._cancel)

    async def run(self) -> int:
        """Talk until somebody leaves; the exit code."""
        await self._acts.replay()
        self._acts.warn_unknown()
        self._screen.remark("Ctrl-C cancels a reply, Ctrl-D leaves, /help shows more.")
        reading = asyncio.create_task(self._take_typed())
        answering = asyncio.create_task(self._show_replies())
        try:
            exit_code = await self._screen.run()
        finally:
            for task in (reading, answering, *self._tasks):
                task.cancel()
            await asyncio.wait((reading, answering))
            await aclose()
        if self._current is not None and not self._is_cancelling:
            self._screen.remark(
                "(the reply goes on without you; the session shows it when you come back)"
            )
        return exit_code

    def _inputs_before(self) -> list[str]:
        # They are in the session already. A file of them would be a second place of what people
        # say, which no erasure reaches.
        history = self._talk.memory.get_conversation_history(self._talk.agent, self._talk.session)
        return [one.text for one in said_before(history, self._talk.agent) if one.who == YOU]

    def _prompt(self) -> str:
        count = len(self._talk.images)
        return f"{YOU} ({count} image{'s' * (count > 1)})> " if count else f"{YOU}> "

    async def _take_typed(self) -> None:
        while True:
            line = parsed(await self._typed.get())
            try:
                if isinstance(line, SlashCommand):
                    await self._acts.carry_out(line)
                else:
                    await self._send(line)
            except FAILURES as exc:
                self._screen.alarm(f"griot: {exc}")

    async def _send(self, text: str) -> None:
        talk = self._talk
        images, agent = list(talk.images), talk.agent
        options = talk.options()
        task_id = talk.task_id(text, options)
        try:
            job = await send(agent, talk.session, text, task_id=task_id, **options)
        except FAILURES as exc:
            # It is not in the session, so it is shown here, and can be sent again.
            self._screen.said(YOU, text, style="class:you")
            talk.images = images
            if isinstance(exc, NotAccepted):
                self._screen.alarm(f"griot: {not_confirmed(exc)}; {SEND_AGAIN}")
                return
            talk.confirm(text, options)
            raise
        talk.confirm(text, options)
        sent = Sent(job.id, agent, text)
        self._waiting.append(sent)
        self._to_follow.put_nowait(sent)
        self._draw_waiting()

    async def _show_replies(self) -> None:
        while True:
            sent = await self._to_follow.get()
            self._current, self._is_cancelling = sent, False
            self._waiting.remove(sent)
            self._draw_waiting()
            self._screen.said(YOU, sent.text, style="class:you")
            self._screen.begin_reply(sent.agent)
            self._following = asyncio.create_task(self._show_reply(sent.job_id))
            with suppress(asyncio.CancelledError):
                await asyncio.wait((self._following,))
            self._current = None
            self._screen.status(None)

    async def _show_reply(self, job_id: str) -> None:
        try:
            into: str | None = job_id
            while into is not None:
                into = await self._read(into)
        except (ChatError, MemoryServiceError) as exc:
            self._screen.alarm(f"griot: {exc}")

    async def _read(self, job_id: str) -> str | None:
        """Show a job to its end; the job that answers in its place, if none of ours does."""
        reply = ShownReply(self._screen, max_wait_s=self._talk.settings.queue.max_wait_s)
        loop = asyncio.get_running_loop()
        heard_s, looked = loop.time(), ""
        self._screen.status("waiting for a worker")
        async with aclosing(
            patiently(through_outages(job_id, self._screen.status), LOOK_S)
        ) as events:
            async for event in events:
                if event is None:
                    silent_s = loop.time() - heard_s
                    looked = await self._look_for_cause(reply, silent_s, looked)
                    continue
                heard_s, looked = loop.time(), ""
                reply.take(event)
                if self._is_cancelling:
                    self._screen.status("cancelling")
                if event.type is EventType.MERGED:
                    return self._elsewhere(event)
        return None

    def _elsewhere(self, merged: Event) -> str | None:
        into = str(merged.data["into"])
        return None if any(sent.job_id == into for sent in self._waiting) else into

    async def _look_for_cause(self, reply: ShownReply, silent_s: float, looked: str) -> str:
        """Say why nothing comes, as far as it can be found out; what was looked for."""
        if reply.is_silent:
            if await asyncio.to_thread(is_loading, self._talk.settings, reply.model):
                self._screen.status(f"{reply.model} is being loaded")
            elif reply.is_silent:
                self._screen.status(f"waiting for {reply.model}")
        elif not reply.attempt and silent_s > PATIENCE_S and not looked:
            with suppress(OperationalError):
                if not await asyncio.to_thread(has_worker):
                    self._screen.status(f"{NO_WORKER}; the message waits")
            return "worker"
        return looked

    def _interrupt(self) -> bool:
        """Stop the reply that comes; whether there was one."""
        if self._current is None:
            return False
        task = asyncio.create_task(self._cancel(False))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _cancel(self, is_all: bool) -> None:
        """Cancel the reply; with `is_all` also what waits behind it."""
        jobs = [*reversed(self._waiting)] if is_all else []
        if self._current is not None:
            jobs.append(self._current)
        if not jobs:
            self._screen.remark("(nothing to cancel)")
            return
        if self._is_cancelling and self._following is not None and not is_all:
            # Twice: whoever is to stop it does not answer, and the terminal is wanted back.
            self._following.cancel()
            self._screen.end_reply()
            self._screen.remark("(it is asked to stop; its end is not waited for)")
            return
        self._is_cancelling = self._current is not None
        if self._is_cancelling:
            self._screen.status("cancelling")
        try:
            for sent in jobs:
                await cancel(sent.job_id)
        except FAILURES as exc:
            self._is_cancelling = False
            self._screen.alarm(f"griot: {exc}")

    def _draw_waiting(self) -> None:
        self._screen.waiting = [sent.text for sent in self._waiting]
