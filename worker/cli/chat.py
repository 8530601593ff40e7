"""`griot chat`: talk to an agent, in a terminal or through a pipe."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress

import click

from memory import Backpressure, Event, EventType, MemoryServiceError, RedisMemoryService
from tasks import ChatOptions, OnBusy, app, chat_task
from tasks.aio import aclose, follow_job
from tasks.errors import ChatError
from tasks.process.configuration import load_settings
from tasks.process.services import producer_services
from worker.checks.deployment import START, queues_of_workers
from worker.cli.console import is_terminal, moment_of, note, say, write
from worker.cli.group import INTERRUPTED, CommandFailed

with suppress(ImportError):  # not on every system; where it is, `input` can be edited
    import readline  # noqa: F401

SHOWN_MESSAGES = 10
PATIENCE_S = 5.0
"""How long nothing may happen to a job before the workers are asked whether they are there."""


@click.command()
@click.argument("agent")
@click.argument("session")
@click.option("--model", help="A model other than the agent's.")
@click.option(
    "--on-busy",
    type=click.Choice([way.value for way in OnBusy]),
    default=OnBusy.ENQUEUE.value,
    show_default=True,
    help="What a message does to those that the session is still answering.",
)
@click.option(
    "--last",
    type=click.IntRange(0, 1000),
    default=SHOWN_MESSAGES,
    show_default=True,
    help="Messages of the history shown at the start.",
)
def chat(agent: str, session: str, model: str | None, on_busy: str, last: int) -> None:
    """Talk to AGENT in SESSION; the reply is shown as it comes.

    In a terminal: Ctrl-C while a reply comes cancels it (what was said so far is kept, marked as
    cancelled), Ctrl-D leaves. Where another client has asked something in the session, a message
    waits for its turn, or does what --on-busy says. In a pipe each line is a message, and the
    replies go to standard output; the exit code is 1 if one of them failed.

    \b
    Example:
      griot chat energy me-1
      echo "What is the WAPP?" | griot chat energy me-1
    """
    is_interactive = sys.stdin.isatty() and is_terminal()
    options = ChatOptions(model=model, on_busy=OnBusy(on_busy))
    terminal = ChatTerminal(agent, session, options, is_interactive=is_interactive)
    if is_interactive:
        show_history(agent, session, last)
        say("Ctrl-C cancels a reply, Ctrl-D leaves.", style="dim")
    for message in _prompted() if is_interactive else sys.stdin:
        if message.strip():
            terminal.send(message.rstrip("\n"))
    if terminal.failures and not is_interactive:
        raise click.exceptions.Exit(1)


class ChatTerminal:
    """One terminal's view of a session: sends messages and shows the replies."""

    def __init__(
        self, agent: str, session: str, options: ChatOptions, *, is_interactive: bool
    ) -> None:
        self.failures = 0
        self._agent = agent
        self._session = session
        self._options = options
        self._is_interactive = is_interactive

    def send(self, message: str) -> None:
        """Send one message and show its reply.

        In a terminal a failure is shown and the conversation goes on. Raises CommandFailed when no
        worker is there to answer.
        """
        job_id: str | None = None
        try:
            job_id = chat_task.delay(self._agent, self._session, message, **self._options).id
            asyncio.run(self._follow(job_id))
        except (ChatError, Backpressure) as exc:
            self._failed(str(exc))
        except MemoryServiceError as exc:
            if not self._is_interactive:
                raise
            self._failed(str(exc))
        except KeyboardInterrupt:
            if not self._is_interactive:
                raise
            if job_id is not None:
                chat_task.cancel(job_id)
            say("\n(cancelled)")

    async def _follow(self, job_id: str) -> None:
        try:
            await self._show_reply(job_id)
        finally:
            await aclose()

    async def _show_reply(self, job_id: str) -> None:
        reply = ShownReply()
        is_asked = False
        async with aclosing(patiently(follow_job(job_id), PATIENCE_S)) as events:
            async for event in events:
                match event:
                    case None:
                        if not reply.attempt and not is_asked:
                            _require_worker(job_id)
                            is_asked = True
                    case Event(type=EventType.QUEUED | EventType.WAITING):
                        say_position(event)
                    case Event(type=EventType.CANCELLED | EventType.FAILED):
                        reply.end()
                        self._unanswered(event)
                    case Event(type=EventType.MERGED):
                        note("(answered together with a later message)")
                        await self._show_reply(str(event.data["into"]))
                    case Event():
                        reply.show(event)

    def _unanswered(self, event: Event) -> None:
        if event.type is EventType.CANCELLED:
            say("(cancelled)")
        else:
            self._failed(str(event.data.get("error", "the job failed")))

    def _failed(self, reason: str) -> None:
        self.failures += 1
        note(f"griot: {reason}")


NO_ANSWERS = {
    "blank": "(the model gave no answer)",
    "thinking": "(the model has only thought, and gave no answer)",
}
"""What is said of an empty reply, by its kind (docs/agents.md)."""


class ShownReply:
    """One reply as it appears: tokens as they come, and whatever its last event adds to them."""

    def __init__(self) -> None:
        self.attempt = 0
        self._shown = ""

    def show(self, event: Event) -> None:
        """Show what an event brings. A new attempt begins the reply again."""
        if event.type is EventType.STARTED:
            if self._shown:
                note("\n(the worker was lost; the reply begins again)")
            self.attempt, self._shown = event.attempt, ""
        elif event.type is EventType.TOOL_CALL:
            self.end()
            if "arguments" in event.data:
                note(f"[{event.data.get('name')}]")
        elif event.type is EventType.TOKEN:
            self._shown += event.text
            write(event.text)
        elif event.type is EventType.DONE:
            self._end_with(event)

    def _end_with(self, event: Event) -> None:
        # Tokens may have been lost on their way; the last event has the whole reply.
        if not event.text.startswith(self._shown):
            self.end()
        write(event.text.removeprefix(self._shown))
        write("\n")
        if (empty := event.data.get("empty")) in NO_ANSWERS:
            note(NO_ANSWERS[str(empty)])

    def end(self) -> None:
        """End the line that has begun, if one has."""
        if self._shown:
            write("\n")
        self._shown = ""


async def patiently(
    events: AsyncGenerator[Event, None], patience_s: float
) -> AsyncGenerator[Event | None, None]:
    """The events as they come, and None whenever none came for `patience_s`."""
    while True:
        coming = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait({coming}, timeout=patience_s))[0]:
                yield None
        finally:
            coming.cancel()
        if (event := coming.result()) is None:
            return
        yield event


def say_position(event: Event) -> None:
    """Say what a message waits for: others of the session, a slot, or its model's servers."""
    if event.data.get("reason") == "servers_away":
        note(f"({why_servers_are_away(event)}: the message waits for them)")
    elif event.type is EventType.WAITING:
        wait_s = event.data.get("wait_s")
        about = "" if wait_s is None else f", about {wait_s:.0f} s"
        note(f"(the model is busy: {event.data.get('ahead')} before you{about})")
    elif event.data.get("position"):
        note(f"({event.data['position']} before this one)")


def why_servers_are_away(event: Event) -> str:
    """Which servers are away, and since when."""
    servers, since_s = event.data.get("servers"), event.data.get("since")
    named = f" ({', '.join(map(str, servers))})" if isinstance(servers, list) else ""
    since = f" since {moment_of(since_s * 1000)}" if isinstance(since_s, int | float) else ""
    return f"the model's servers{named} are away{since}"


def show_history(agent: str, session: str, last: int) -> None:
    """Print the last messages of a session."""
    memory = RedisMemoryService.from_settings(producer_services().settings.memory)
    messages = memory.get_conversation_history(agent, session)
    messages = [one for one in messages if one["role"] != "tool" and "tool_calls" not in one]
    shown = messages[-last:] if last else []
    if len(messages) > len(shown):
        say(f"… {len(messages) - len(shown)} earlier messages", style="dim")
    for message in shown:
        who = "you" if message["role"] == "user" else agent
        say(f"{who}> {message.get('content') or ''}", style="bold" if who == "you" else "")


def _require_worker(job_id: str) -> None:
    """Raise CommandFailed if no worker takes chat jobs."""
    chat_queue = load_settings().names.chat
    if not any(chat_queue in queues for queues in queues_of_workers(app).values()):
        raise CommandFailed(
            f"no worker seems to be running: {START}. "
            f"The message waits in its mailbox (job {job_id}) and will be answered then"
        )


def _prompted() -> Iterator[str]:
    while True:
        try:
            yield input("you> ")
        except EOFError:
            say()
            return
        except KeyboardInterrupt:
            say()
            raise click.exceptions.Exit(INTERRUPTED) from None
