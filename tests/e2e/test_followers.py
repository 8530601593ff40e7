"""Those who follow an answer: restarted, late, slow, and over the death of a worker."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import closing
from itertools import islice

import pytest

from memory import (
    Command,
    Connection,
    CursorExpired,
    Event,
    EventType,
    InvalidInput,
    Mailbox,
    Tail,
    get_redis_memory,
)
from memory.records.event import packed
from memory.records.events import FROM_START, MAX_EVENTS, Stream
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import chat_task, follow, follow_job
from tasks.aio import aclose
from tasks.aio import follow as afollow
from tasks.aio import follow_job as afollow_job
from tasks.submit import follow as blocking
from tasks.submit.followers import SessionFollower
from tests.support.machine import scaled
from tests.support.waiting import elapsed, eventually

WAIT_S = scaled(40)
RESTARTS = 10
A_LOOK = 3
"""Events that a follower takes before it is restarted."""
AGENT = "energy"


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


@pytest.fixture(autouse=True)
async def connections() -> AsyncIterator[None]:
    """Closes what the test's loop has opened."""
    yield
    await aclose()


def text_of(told: Iterable[Event]) -> str:
    """What a follower has on its screen: the text since the last beginning."""
    attempt, text = 0, ""
    for event in told:
        if event.type is EventType.STARTED or event.attempt > attempt:
            attempt, text = event.attempt, ""
        if event.type is EventType.TOKEN and event.attempt == attempt:
            text += event.text
    return text


def committed(session_id: str) -> str:
    """The one reply of the session's history."""
    _, reply = get_redis_memory().get_conversation_history(AGENT, session_id)
    return str(reply["content"])


def is_over(told: Sequence[Event]) -> bool:
    """Whether the follower has seen the end."""
    return bool(told) and told[-1].type is EventType.DONE


def take(follower: Iterable[Event], told: list[Event], *, at_most: int | None = None) -> None:
    """Follow to the end, or so many events far, and leave."""
    with closing(iter(follower)) as found:  # type: ignore[type-var]  # it is a generator
        for event in islice(found, at_most):
            told.append(event)
            if is_over(told):
                return


async def atake(
    follower: AsyncIterator[Event], told: list[Event], *, at_most: int | None = None
) -> None:
    """`take` on an event loop."""
    seen = 0
    async for event in follower:
        told.append(event)
        seen += 1
        if is_over(told) or seen == at_most:
            break
    await follower.aclose()  # type: ignore[attr-defined]  # it is a generator


def assert_whole(told: Sequence[Event], session_id: str) -> None:
    """Nothing is missing, nothing twice, and it is what the history has."""
    assert text_of(told) == told[-1].text == committed(session_id)
    cursors = [event.cursor for event in told]
    assert len(set(cursors)) == len(cursors)


@pytest.mark.parametrize(
    "followed",
    [
        lambda job_id, _, after: follow_job(job_id, after),
        lambda _, session_id, after: follow(AGENT, session_id, after or FROM_START),
    ],
    ids=["job", "session"],
)
def test_a_follower_restarted_ten_times_misses_nothing(
    session_id: str, followed: Callable[[str, str, str | None], Iterable[Event]]
) -> None:
    """Each goes on at the cursor of the one before; together they have the committed text."""
    job = chat_task.delay(AGENT, session_id, "tell me", model=f"slow-tokens:50x{scaled(0.03)}s")
    told: list[Event] = []
    for _ in range(RESTARTS):
        take(followed(job.id, session_id, told[-1].cursor if told else None), told, at_most=A_LOOK)
        assert not is_over(told), "the answer was over before all restarts"
    take(followed(job.id, session_id, told[-1].cursor), told)
    assert_whole(told, session_id)


@pytest.mark.parametrize(
    "followed",
    [
        lambda job_id, _, after: afollow_job(job_id, after),
        lambda _, session_id, after: afollow(AGENT, session_id, after or FROM_START),
    ],
    ids=["job", "session"],
)
async def test_a_follower_on_a_loop_restarted_ten_times_misses_nothing(
    session_id: str, followed: Callable[[str, str, str | None], AsyncIterator[Event]]
) -> None:
    """As from a thread."""
    model = f"slow-tokens:50x{scaled(0.03)}s"
    job = await asyncio.to_thread(chat_task.delay, AGENT, session_id, "tell me", model=model)
    told: list[Event] = []
    for _ in range(RESTARTS):
        after = told[-1].cursor if told else None
        await atake(followed(job.id, session_id, after), told, at_most=A_LOOK)
        assert not is_over(told), "the answer was over before all restarts"
    await atake(followed(job.id, session_id, told[-1].cursor), told)
    assert_whole(told, session_id)


def test_a_wait_that_ends_just_before_the_last_events_costs_none(
    session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job ends between a read that finds nothing and the question whether it is over."""
    job = chat_task.delay(AGENT, session_id, "tell me", model="slow-tokens:5x0.01s")
    read, reads = blocking._read, list[int]()

    def too_soon(memory: Connection, follower: SessionFollower, block_ms: int) -> list[Event]:
        reads.append(block_ms)
        if len(reads) > 1:
            return read(memory, follower, block_ms)
        job.get(timeout=WAIT_S)
        return []

    monkeypatch.setattr(blocking, "_read", too_soon)
    assert_whole(list(follow_job(job.id)), session_id)


async def test_a_wait_on_a_loop_that_ends_just_before_the_last_events_costs_none(
    session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a thread; a loop with many followers is late by itself."""
    job = await asyncio.to_thread(
        chat_task.delay, AGENT, session_id, "tell me", model="slow-tokens:5x0.01s"
    )
    after, waits = Tail.after, list[float]()

    async def too_soon(tail: Tail, stream: Stream, cursor: str, *, timeout_s: float) -> list[Event]:
        waits.append(timeout_s)
        if len(waits) > 1:
            return await after(tail, stream, cursor, timeout_s=timeout_s)
        await asyncio.to_thread(job.get, timeout=WAIT_S)
        return []

    monkeypatch.setattr(Tail, "after", too_soon)
    assert_whole([event async for event in afollow_job(job.id)], session_id)


async def test_all_followers_see_the_second_attempt_replace_the_first(
    session_id: str, worker: ServerProcess
) -> None:
    """The worker is killed in mid-answer; whoever follows, in whatever way, ends with the text that
    the second attempt has committed."""
    model = f"slow-tokens:40x{scaled(0.05)}s"
    job = await asyncio.to_thread(chat_task.delay, AGENT, session_id, "tell me", model=model)
    screens: list[list[Event]] = [[] for _ in range(4)]
    followers = [
        asyncio.create_task(asyncio.to_thread(take, follow_job(job.id), screens[0])),
        asyncio.create_task(
            asyncio.to_thread(take, follow(AGENT, session_id, FROM_START), screens[1])
        ),
        asyncio.create_task(atake(afollow_job(job.id), screens[2])),
        asyncio.create_task(atake(afollow(AGENT, session_id, FROM_START), screens[3])),
    ]
    await eventually(
        lambda: all(len(told) > A_LOOK for told in screens), timeout_s=WAIT_S, what="tokens"
    )
    worker.kill()
    worker.start()
    await asyncio.wait_for(asyncio.gather(*followers), WAIT_S)
    for told in screens:
        assert {event.attempt for event in told} == {0, 1, 2}, "queued, and two attempts"
        assert told[-1].attempt == 2
        assert_whole(told, session_id)


def test_a_follower_that_is_too_slow_is_told(session_id: str) -> None:
    """The cap has taken events that it has not read: an error in mid-following, not a gap."""
    memory = get_redis_memory()
    keys = Mailbox.of(memory.keyspace, AGENT, session_id).keys

    def say(texts: Sequence[str]) -> None:
        told = [packed(Event(EventType.TOKEN, "job", 1, text), keys.cipher) for text in texts]
        kept = ("XADD", keys.events, "MAXLEN", "~", MAX_EVENTS, "*", "event")
        memory.connection.run_each([Command(bool, (*kept, one)) for one in told])

    say(["one", "two"])
    with closing(follow(AGENT, session_id, FROM_START)) as followed:  # type: ignore[type-var]  # it is a generator
        assert [next(followed).text for _ in range(2)] == ["one", "two"]
        say(["more"] * (MAX_EVENTS + 500))
        with pytest.raises(CursorExpired):
            next(followed)


async def test_slow_followers_do_not_slow_the_worker(session_id: str) -> None:
    """The model's time is what it is with nobody there; they get the whole text, only later."""
    model = "slow-tokens:40x0.025s"

    def model_ms(job: str) -> float:
        result = chat_task.AsyncResult(job).get(timeout=WAIT_S)
        return float(result["timings"]["model_ms"])

    async def follow_slowly(job_id: str, told: list[Event]) -> None:
        async for event in afollow_job(job_id):
            told.append(event)
            await eventually(elapsed(0.05), what="the next look")

    alone = await asyncio.to_thread(chat_task.delay, AGENT, f"{session_id}-0", "hello", model=model)
    alone_ms = await asyncio.to_thread(model_ms, alone.id)
    watched = await asyncio.to_thread(chat_task.delay, AGENT, session_id, "hello", model=model)
    screens: list[list[Event]] = [[] for _ in range(10)]
    slow = [asyncio.create_task(follow_slowly(watched.id, told)) for told in screens]
    watched_ms = await asyncio.to_thread(model_ms, watched.id)
    assert not any(is_over(told) for told in screens), "they were not slow"
    assert watched_ms < 1.3 * alone_ms + scaled(200)
    await asyncio.wait_for(asyncio.gather(*slow), WAIT_S)
    for told in screens:
        assert_whole(told, session_id)


@pytest.mark.parametrize("after", ["zz", "", "1-", "1-2-3", "-1", "1 ; DEL x"])
def test_what_is_no_cursor_is_refused(after: str) -> None:
    """With a word on what is one, before anything is asked."""
    job = chat_task.delay(AGENT, str(uuid.uuid4()), "hello")
    for following in (follow_job(job.id, after=after), follow(AGENT, "s", after=after)):
        with pytest.raises(InvalidInput, match="not a cursor: pass the `cursor` of an event"):
            next(iter(following))
    job.get(timeout=WAIT_S)


def test_a_cursor_beyond_all_events_has_expired(session_id: str) -> None:
    """It is of another Redis, or this one lost events: who waits there would wait for ever."""
    job = chat_task.delay(AGENT, session_id, "hello")
    job.get(timeout=WAIT_S)
    last = [event.cursor for event in follow_job(job.id)][-1]
    beyond = f"{int(last.partition('-')[0]) + 86_400_000}-0"
    for following in (follow_job(job.id, beyond), follow(AGENT, session_id, beyond)):
        with pytest.raises(CursorExpired):
            next(iter(following))

    async def on_a_loop() -> None:
        for following in (afollow_job(job.id, beyond), afollow(AGENT, session_id, beyond)):
            with pytest.raises(CursorExpired):
                await anext(following)

    asyncio.run(on_a_loop())


def test_a_follower_that_a_lost_stream_left_behind_is_told(session_id: str) -> None:
    """The stream that it has followed is replaced by an older one, as a restored backup does."""
    memory = get_redis_memory()
    keys = Mailbox.of(memory.keyspace, AGENT, session_id).keys
    add = ("XADD", keys.events)
    said = packed(Event(EventType.TOKEN, "job", 1, "one"), keys.cipher)
    memory.connection.run(Command(bool, (*add, "9000-0", "event", said)))
    with closing(follow(AGENT, session_id, FROM_START)) as followed:  # type: ignore[type-var]  # it is a generator
        assert next(followed).text == "one"
        memory.connection.run(Command(bool, ("UNLINK", keys.events)))
        memory.connection.run(Command(bool, (*add, "8000-0", "event", said)))
        with pytest.raises(CursorExpired):
            next(followed)
