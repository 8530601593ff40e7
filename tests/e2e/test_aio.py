"""Sending and following from an event loop."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from memory import CursorExpired, EventType, get_redis_memory
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import InvalidJob, chat_task
from tasks.aio import aclose, follow, follow_job, send
from tests.support.machine import scaled

WAIT_S = scaled(20)


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


@pytest.fixture(autouse=True)
async def connections() -> AsyncIterator[None]:
    """Closes what the test's loop has opened."""
    yield
    await aclose()


async def test_a_job_is_sent_and_followed_to_its_end(session_id: str) -> None:
    """Tokens as they come, then the result; the history has the turn."""
    job = await send("energy", session_id, "tell me", model="slow-tokens:20x0.02s")
    told = [event async for event in follow_job(job.id)]
    pieces = [event.text for event in told if event.type is EventType.TOKEN]
    assert len(pieces) > 3
    assert told[-1].type is EventType.DONE
    assert "".join(pieces) == told[-1].text
    history = await asyncio.to_thread(
        get_redis_memory().get_conversation_history, "energy", session_id
    )
    assert history[-1]["content"] == told[-1].text


async def test_many_followers_each_see_everything(session_id: str) -> None:
    """Late or early, each client of a process gets the whole answer."""
    job = await send("energy", session_id, "tell all", model="slow-tokens:20x0.02s")

    async def text_of() -> str:
        events = [event async for event in follow_job(job.id)]
        return "".join(event.text for event in events if event.type is EventType.TOKEN)

    early = [asyncio.create_task(text_of()) for _ in range(20)]
    first = await asyncio.wait_for(early[0], WAIT_S)
    assert {await follower for follower in early} == {first}
    assert await text_of() == first


async def test_following_resumes_at_a_cursor(session_id: str) -> None:
    """What came before the cursor is not told again."""
    job = await send("energy", session_id, "tell me", model="slow-tokens:20x0.02s")
    cursor, before = "", []
    async for event in follow_job(job.id):
        cursor = event.cursor
        if event.type is EventType.TOKEN:
            before.append(event.text)
            if len(before) == 3:
                break
    after = [event async for event in follow_job(job.id, after=cursor)]
    rest = [event.text for event in after if event.type is EventType.TOKEN]
    assert "".join(before + rest) == after[-1].text


async def test_a_session_is_followed_over_its_jobs(session_id: str) -> None:
    """All jobs of a session, in their order, with a sign of life while nothing happens."""
    seen: list[tuple[str, str]] = []

    async def watch() -> None:
        async for event in follow("energy", session_id, keep_alive_s=0.2):
            seen.append((event.type, event.job_id))
            if [kind for kind, _ in seen].count("done") == 2:
                return

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    jobs = [chat_task.delay("energy", session_id, f"m{n}", model="delay:0.4s") for n in range(2)]
    await asyncio.wait_for(watching, WAIT_S)
    assert [job for kind, job in seen if kind == "done"] == [job.id for job in jobs]
    assert ("keep_alive", "") in seen


async def test_a_cursor_that_is_too_old_is_told(session_id: str, valkey: ValkeyServer) -> None:
    """Events that were dropped cannot be resumed; a finished job still ends with its reply."""
    job = await send("energy", session_id, "hello")
    told = [event async for event in follow_job(job.id)]
    first = next(event.cursor for event in told if event.cursor)
    valkey.command("UNLINK", f"ecowas:events:{{ecowas:history:energy:{session_id}}}")
    with pytest.raises(CursorExpired):
        [event async for event in follow_job(job.id, after=first)]
    again = [event async for event in follow_job(job.id)]
    assert [(event.type, event.text) for event in again] == [(EventType.DONE, told[-1].text)]


async def test_an_unknown_job_cannot_be_followed() -> None:
    """The error names the job."""
    with pytest.raises(InvalidJob, match="nobody"):
        [event async for event in follow_job("nobody")]


async def test_a_wrong_job_is_refused_before_it_is_sent(session_id: str) -> None:
    """As with `delay`."""
    with pytest.raises(InvalidJob, match="temperature"):
        await send("energy", session_id, "hello", temperature=9)
