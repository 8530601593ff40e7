"""Sending and following from an event loop, with the guarantees of their blocking twins.

    from tasks.aio import send, follow_job

    job = await send("energy", "session-1", "Hello")
    async for event in follow_job(job.id):
        ...

Connections are opened per event loop, and closed with it where the loop's end is `asyncio.run`'s or
another that shuts down asynchronous generators; `await aclose()` closes them at once.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, Unpack

from memory import (
    AsyncConnection,
    Event,
    EventType,
    MemoryUnavailable,
    SessionKeys,
    Tail,
    events,
    locate,
)
from memory.mailbox import delayed, looks
from memory.redis.steps import run_steps_async
from tasks.chat import chat_task, work_off
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob
from tasks.job.options import ChatOptions, JobToSend
from tasks.job.sender import Sender
from tasks.overview.aio import drain, find_jobs, pause, paused, resume, usage
from tasks.process.app import app
from tasks.process.per_process import PerProcess
from tasks.process.redis_clock import hear_clock, redis_clock_s
from tasks.process.services import producer_services
from tasks.submit.cancel import CancelOutcome
from tasks.submit.follow import unknown_job
from tasks.submit.followers import JobFollower, SessionFollower, start_cursor
from tasks.submit.job_result import JobResult
from tasks.submit.last_event import LastEvent
from tasks.submit.many import SendAnswer, send_in_order
from tasks.submit.producer import has_effects, producer
from tasks.submit.standing import Standing, standing_of
from tasks.submit.submission import Submission
from tasks.submit.traced import sending
from tasks.submit.waking import Waking

__all__ = [
    "aclose",
    "cancel",
    "drain",
    "find_jobs",
    "follow",
    "follow_job",
    "follow_job_pages",
    "look",
    "pause",
    "paused",
    "resume",
    "send",
    "send_many",
    "usage",
]

LOOK_S = 0.5
"""How long to wait for an event before asking whether the job has ended unseen."""


@dataclass(frozen=True, slots=True)
class _Connections:
    memory: AsyncConnection
    tail: Tail
    waking: Waking
    lifetime: AsyncGenerator[None, None]
    """Ends with the event loop, and closes the two."""


_ByLoop = dict[asyncio.AbstractEventLoop, _Connections]
_by_loop: PerProcess[_ByLoop] = PerProcess(dict)


async def send(
    agent_id: str,
    session_id: str,
    message: str,
    *,
    task_id: str | None = None,
    sender: Sender | None = None,
    **options: Unpack[ChatOptions],
) -> JobResult:
    """Send a chat job; when this returns, it is in its session's mailbox.

    The errors, and what is safe to repeat, are those of `chat_task.apply_async`. Of the result only
    `id` should be used on an event loop: `get()` blocks; `follow_job` ends with the result.
    `sender`: whom a gateway sends it for.
    """
    if isinstance(options.get("expires"), int | float):
        await hear_clock((await _connections()).memory)
    args = (agent_id, session_id, message)
    job = producer().checked(args, options, clock=redis_clock_s)
    job_id = job.job_id(task_id)
    await _send(job, job_id, sender)
    return JobResult(job_id, app=app)


async def send_many(jobs: Iterable[JobToSend]) -> list[SendAnswer]:
    """`tasks.send_many` on an event loop."""
    await hear_clock((await _connections()).memory)
    return await send_in_order(jobs, _send)


async def _send(job: ChatJob, job_id: str, sender: Sender | None = None) -> None:
    is_eager = app.is_eager
    if is_eager:
        job = job.model_copy(update={"not_before": None})
    with sending(job.agent_id, job_id) as place:
        envelope = Envelope(job=job, sender=sender, trace=place)
        submission = producer().submission(envelope, job_id)
        await _submit(submission)
    if is_eager:
        await asyncio.to_thread(work_off, submission)


async def _submit(submission: Submission) -> None:
    """`Producer.submit` on an event loop."""
    connections = await _connections()
    try:
        memory = connections.memory
        enqueued = await run_steps_async(memory, producer().admission.take_in(submission))
    except MemoryUnavailable as exc:
        raise submission.not_confirmed(exc) from exc
    if has_effects(enqueued):
        await asyncio.to_thread(producer().follow_up, submission, enqueued)
    elif enqueued.position == 0:
        await connections.waking.wake(submission)


async def follow(
    agent_id: str,
    session_id: str,
    after: str | None = None,
    *,
    keep_alive_s: float | None = None,
) -> AsyncGenerator[Event, None]:
    """`tasks.follow` on an event loop. With `keep_alive_s`, a `keep_alive` event for each such time
    in which nothing happened."""
    connections = await _connections()
    keys = producer_services().keyspace.session(agent_id, session_id)
    cursor = (
        await connections.memory.run(events.last_cursor(keys.events)) if after is None else after
    )
    await _check(connections.memory, keys, cursor)
    follower = SessionFollower(keys, cursor)
    while True:
        found = await connections.tail.after(
            events.stream_of(keys), follower.cursor, timeout_s=keep_alive_s or LOOK_S
        )
        for event in follower.take(found):
            yield event
        if not found:
            await connections.memory.run(events.check_not_ahead(keys, follower.cursor))
        if not found and keep_alive_s is not None:
            yield Event(EventType.KEEP_ALIVE, "", 0, cursor=follower.cursor)


async def follow_job(job_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
    """`tasks.follow_job` on an event loop."""
    async with aclosing(follow_job_pages(job_id, after)) as pages:
        async for page in pages:
            for event in page:
                yield event


async def follow_job_pages(
    job_id: str, after: str | None = None
) -> AsyncGenerator[list[Event], None]:
    """`follow_job`, for who hands on at once what came at once: lists of events, none empty."""
    connections, keyspace = await _connections(), producer_services().keyspace
    keys = await connections.memory.run(locate(keyspace, job_id))
    if keys is None:
        raise unknown_job(job_id)
    if after is not None:
        await _check(connections.memory, keys, after)
    follower = JobFollower(keyspace, keys, job_id, start_cursor(after))
    stream, timeout_s = events.stream_of(keys), 0.05
    while not follower.is_over:
        found = await connections.tail.after(stream, follower.cursor, timeout_s=timeout_s)
        timeout_s = LOOK_S
        if not found:
            is_pending, is_committed, _ = await connections.memory.run_all(
                *follower.last.standing(), events.check_not_ahead(keys, follower.cursor)
            )
            if not follower.is_known_over(is_pending=is_pending, is_committed=is_committed):
                continue
            found = await _read_now(connections.memory, follower)
            if not found:
                answers = await connections.memory.run_each(follower.last.lookup())
                yield [follower.conclusion(answers, is_committed=bool(is_committed))]
        if page := follower.take(found):
            # Only the last event of a job can be a failure.
            page[-1] = await _led_on(connections.memory, follower, page[-1])
            yield page


async def look(job_id: str) -> Standing | None:
    """Where a job is; None for an id that nobody knows, or that is older than a week.

    Raises memory.MemoryServiceError.
    """
    memory, keyspace = (await _connections()).memory, producer_services().keyspace
    keys = await memory.run(locate(keyspace, job_id))
    if keys is None:
        return None
    is_pending, is_committed = LastEvent(keyspace, keys, job_id).standing()
    found, due_at_ms, stored = await asyncio.gather(
        memory.run_all(is_pending, is_committed, looks.has_begun(keys, job_id)),
        memory.run(delayed.due_at_ms(keys, job_id)),
        memory.run(looks.stored(keys, job_id)),
    )
    return standing_of(
        keys,
        job_id,
        is_pending=found[0],
        is_committed=found[1],
        has_begun=found[2],
        due_at_ms=due_at_ms,
        stored=stored,
    )


async def cancel(job_id: str, policy: Literal["keep", "discard"] | None = None) -> CancelOutcome:
    """`chat_task.cancel` on an event loop."""
    return await asyncio.to_thread(chat_task.cancel, job_id, policy)


async def _read_now(memory: AsyncConnection, follower: JobFollower) -> list[Event]:
    stream = events.stream_of(follower.keys)
    found = await memory.run(events.read_now(stream, follower.cursor))
    if events.may_have_gap(found):
        await memory.run(events.check_cursor(follower.keys, follower.cursor))
    return found


async def _led_on(memory: AsyncConnection, follower: JobFollower, event: Event) -> Event:
    if event.type is not EventType.FAILED:
        return event
    return follower.last.led_on(event, await memory.run(follower.last.replacement()))


async def _check(memory: AsyncConnection, keys: SessionKeys, cursor: str) -> None:
    await memory.run_all(events.check_cursor(keys, cursor), events.check_not_ahead(keys, cursor))


async def aclose() -> None:
    """Close the connections of the running event loop. Safe to repeat."""
    connections = _by_loop().get(asyncio.get_running_loop())
    if connections is not None:
        await connections.lifetime.aclose()


async def _connections() -> _Connections:
    loop = asyncio.get_running_loop()
    known = _by_loop().get(loop)
    if known is None:
        settings = producer_services().settings.memory
        memory, tail = AsyncConnection(settings), Tail(lambda: AsyncConnection(settings))
        known = _Connections(memory, tail, Waking(), _lifetime(loop, memory, tail))
        _forget_closed_loops()
        _by_loop()[loop] = known
        await anext(known.lifetime)
    return known


async def _lifetime(
    loop: asyncio.AbstractEventLoop, memory: AsyncConnection, tail: Tail
) -> AsyncGenerator[None, None]:
    # The one thing that an event loop ends by itself before it closes is a generator.
    try:
        yield
    finally:
        _by_loop().pop(loop, None)
        await tail.aclose()
        await memory.aclose()


def _forget_closed_loops() -> None:
    # Where nobody shut the generators down, the sockets close as the connections are collected.
    for loop in [loop for loop in _by_loop() if loop.is_closed()]:
        _by_loop().pop(loop, None)
