"""A conversation over several sessions, as any service would hold it.

`python -m worker.cli.demo.conversation` holds it with the settings of the environment; workers must
be running. All that it needs of Griot to talk is `chat_task.delay` and `tasks.aio.follow_job`.
Afterwards it shows what the conversation has left in Redis: histories and statistics.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from memory import Command, EventType, Housekeeping, MemoryServiceError
from memory.records.stats import memory_stats
from memory.redis.replies import integer, strings
from tasks import ChatResult, chat_task
from tasks.aio import aclose, follow_job
from tasks.errors import ChatError
from tasks.process.services import ProducerServices, producer_services
from worker.cli.charts.command import table_of, table_over_time
from worker.cli.console import note, say, show, terminal
from worker.cli.demo.transcript import Transcript
from worker.cli.group import INTERRUPTED

MAX_TOKENS = 80
SNAPSHOT_TIMEOUT_S = 15.0
POLL_S = 0.1
SHOWN_POINTS = 5
SHOWN_CHARACTERS = 92
MOST_DEMOS = 1000


@dataclass(frozen=True, slots=True)
class Talk:
    """One session: who is talked to, and what is said, in order."""

    agent_id: str
    session_id: str
    messages: tuple[str, ...]


TALKS = (
    Talk(
        "energy",
        "summit-energy",
        (
            "What are the ECOWAS energy initiatives?",
            "Which of them concern the power pool?",
            "And what does that cost?",
        ),
    ),
    Talk(
        "agriculture",
        "summit-agriculture",
        (
            "What does ECOWAP say about food security?",
            "How large is the regional food reserve?",
            "Who decides when it is opened?",
        ),
    ),
    Talk(
        "supervisor",
        "summit-overview",
        (
            "Irrigation needs cheap power: whose question is that?",
            "Please sum up both answers.",
        ),
    ),
)


def fresh_talks(services: ProducerServices) -> tuple[Talk, ...]:
    """The sessions, with a number behind their names where an earlier demo has used them."""
    for number in range(1, MOST_DEMOS):
        suffix = "" if number == 1 else f"-{number}"
        talks = tuple(replace(talk, session_id=talk.session_id + suffix) for talk in TALKS)
        keys = [services.keyspace.session(one.agent_id, one.session_id).history for one in talks]
        if not any(services.memory.run_each([Command(integer, ("EXISTS", key)) for key in keys])):
            return talks
    raise ChatError("the demo was held too often here: remove the folder .griot")


def send(talks: Sequence[Talk]) -> list[list[str]]:
    """Send every message at once. The ids of the jobs, by session.

    Each session answers its own in the order sent, one after the other; sessions do not wait for
    each other.
    """
    return [
        [
            chat_task.delay(talk.agent_id, talk.session_id, message, max_tokens=MAX_TOKENS).id
            for message in talk.messages
        ]
        for talk in talks
    ]


async def listen(talk: Talk, job_ids: Sequence[str], transcript: Transcript) -> bool:
    """Show the tokens of a session's jobs as they arrive. Whether all were answered."""
    is_answered = True
    for message, job_id in zip(talk.messages, job_ids, strict=True):
        transcript.asked(talk.agent_id, message)
        async for event in follow_job(job_id):
            if event.type is EventType.TOKEN:
                transcript.token(talk.agent_id, event.text)
            elif event.type is EventType.DONE:
                transcript.ended(talk.agent_id, _facts(cast(ChatResult, event.data)))
            elif event.type is EventType.FAILED:
                transcript.ended(talk.agent_id, f"failed: {event.data.get('error')}")
                is_answered = False
    return is_answered


async def converse(talks: Sequence[Talk]) -> bool:
    """Hold the whole conversation, the sessions side by side. Whether all was answered."""
    say(
        f"{sum(len(talk.messages) for talk in talks)} messages over {len(talks)} sessions, "
        "sent at once with chat_task.delay.\n"
        "The replies as they arrive (? message, │ reply, └ figures):\n"
    )
    jobs = send(talks)
    try:
        with Transcript([talk.agent_id for talk in talks], terminal()) as transcript:
            pairs = zip(talks, jobs, strict=True)
            return all(
                await asyncio.gather(*(listen(talk, ids, transcript) for talk, ids in pairs))
            )
    finally:
        await aclose()


def _facts(result: ChatResult) -> str:
    """`14 tokens, first after 41 ms, waited 12 ms, recalled 2 messages`."""
    facts = [f"{result['usage']['completion_tokens']} tokens"]
    if timings := result.get("timings"):
        facts.append(f"first after {_ms(timings['first_token_ms'])}")
        facts.append(f"waited {_ms(timings['queue_wait_ms'])}")
    return ", ".join([*facts, f"recalled {result['history_messages']} messages"])


def _ms(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f} ms"


def show_histories(
    services: ProducerServices, talks: Sequence[Talk], *, is_whole: bool = False
) -> None:
    """Print sessions' histories: the elements of each list, cut off unless `is_whole`."""
    for talk in talks:
        key = services.keyspace.session(talk.agent_id, talk.session_id).history
        elements, ttl_s = services.memory.run_all(
            Command(strings, ("LRANGE", key, 0, -1)), Command(integer, ("TTL", key))
        )
        say(f"\n> LRANGE {key} 0 -1      ({len(elements)} elements, TTL {ttl_s} s)", style="cyan")
        for number, element in enumerate(map(bytes.decode, elements), start=1):
            is_cut = not is_whole and len(element) > SHOWN_CHARACTERS
            say(f"{number}) {element[:SHOWN_CHARACTERS] + '…' if is_cut else element}")


def show_statistics(services: ProducerServices) -> None:
    """Print the memory statistics of now and the last snapshots that beat had taken.

    Waits for one that counts a session. Raises MemoryServiceError if none comes.
    """
    say()
    show(table_of(memory_stats(services.memory, services.keyspace)), is_to_read=True)
    housekeeping = Housekeeping(services.memory, services.keyspace)
    deadline = time.monotonic() + SNAPSHOT_TIMEOUT_S
    while not ((points := housekeeping.read_stats(limit=SHOWN_POINTS)) and points[-1].sessions):
        if time.monotonic() > deadline:
            raise MemoryServiceError("no statistics were taken in time: is beat running?")
        time.sleep(POLL_S)
    say()
    title = f"Snapshots that beat had taken, in {services.keyspace.stats}"
    show(replace(table_over_time(points), title=title), is_to_read=True)


def main() -> int:
    """Converse, then show what is remembered: with `--verbose` all of it. The exit code."""
    # As Ctrl-C, with which asyncio ends in order; also where the shell has that ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    is_verbose = "--verbose" in sys.argv
    try:
        services = producer_services()
        talks = fresh_talks(services)
        is_answered = asyncio.run(converse(talks))
        what = "The histories as they lie" if is_verbose else "One of the histories as it lies"
        say(f"\n{what} in Redis", style="bold")
        show_histories(services, talks if is_verbose else talks[:1], is_whole=is_verbose)
        if is_verbose:
            show_statistics(services)
    except BrokenPipeError:
        # The reader has left: nothing more can be said, not even at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ChatError, MemoryServiceError) as exc:
        note(f"griot: {exc}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0 if is_answered else 1


if __name__ == "__main__":
    sys.exit(main())
