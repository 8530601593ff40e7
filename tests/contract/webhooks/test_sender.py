"""Sending what is due from Redis to receivers that are well, slow, away, or gone."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from memory import AsyncConnection, Keyspace, MemorySettings
from memory.webhooks import queue
from memory.webhooks.queue import Webhook
from tasks.process import webhook_sender
from tasks.process.webhook_sender import AT_ONCE, WebhookSender
from tests.support.machine import scaled
from tests.support.memory_fixtures import Backend
from tests.support.metrics.shown import moves
from tests.support.waiting import eventually
from tests.support.webhooks.receiver import SECRET, Receiver, receiver
from webhooks.address import Address
from webhooks.settings import WebhookSettings

PAUSE_S = 0.05


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    """A receiver."""
    with receiver() as found:
        yield found


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Another one."""
    with receiver() as found:
        yield found


@pytest.fixture
async def memory(memory_settings: MemorySettings) -> AsyncIterator[AsyncConnection]:
    """The connection of the loop."""
    made = AsyncConnection(memory_settings)
    yield made
    await made.aclose()


@pytest.fixture
def keyspace(memory_settings: MemorySettings) -> Keyspace:
    """The names of the keys."""
    return memory_settings.keyspace


@asynccontextmanager
async def sending(
    memory: AsyncConnection, keyspace: Keyspace, *receivers: Receiver, **given: object
) -> AsyncIterator[WebhookSender]:
    """A sender at work, which tries again soon."""
    hosts = ",".join(f"http://127.0.0.1:{one.port}" for one in receivers)
    named = {"hosts": hosts, "networks": "127.0.0.0/8", "secrets": SECRET, "retry_base_s": 0.05}
    settings = WebhookSettings.model_validate({**named, "retry_max_s": 0.1, **given})
    made = WebhookSender(memory, keyspace, settings, pause_s=PAUSE_S)
    work = asyncio.create_task(made.run_forever())
    try:
        yield made
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await made.aclose()


async def note(
    memory: AsyncConnection, keyspace: Keyspace, to: Receiver, *names: str
) -> list[Webhook]:
    """Webhooks to a receiver, noted."""
    history, host = keyspace.session("energy", "web-1").history, Address.parsed(to.url).place
    made = [
        Webhook(f"evt_{one}", "response.completed", one, host, history, to.url, created_at=7)
        for one in names
    ]
    await memory.run_each([queue.note(keyspace, one) for one in made])
    return made


def left(backend: Backend) -> tuple[int, ...]:
    """How many webhooks there are, and how many of them are dead letters."""
    return tuple(backend.connection.run_each(queue.counts(backend.service().keyspace)))


async def settled(backend: Backend, *counts: int) -> None:
    """Wait until so many webhooks, and dead letters, are left."""
    await eventually(lambda: left(backend) == counts, timeout_s=20, what=f"{counts} are left")


async def test_what_is_delivered_is_forgotten(
    real_backend: Backend, memory: AsyncConnection, keyspace: Keyspace, hooks: Receiver
) -> None:
    """Each event comes once, whole and signed."""
    names = [f"j{number}" for number in range(3 * AT_ONCE)]
    await note(memory, keyspace, hooks, *names)
    with moves("griot_webhook_deliveries_total", outcome="delivered"):
        async with sending(memory, keyspace, hooks):
            await settled(real_backend, 0, 0)
    assert sorted(hooks.types()) == sorted(("response.completed", name) for name in names)
    assert hooks.most_open <= AT_ONCE


async def test_a_receiver_that_was_away_gets_everything_later_under_the_same_ids(
    real_backend: Backend, memory: AsyncConnection, keyspace: Keyspace, hooks: Receiver
) -> None:
    """Each try has the event's id, and what failed is tried again until it does not."""
    hooks.status = 503
    await note(memory, keyspace, hooks, "j1", "j2")
    async with sending(memory, keyspace, hooks, max_attempts=50):
        with moves("griot_webhook_deliveries_total", outcome="put_off"):
            await eventually(lambda: len(hooks.got) >= 6, what="some tries have failed")
        hooks.status = 200
        await settled(real_backend, 0, 0)
    ids = {delivery.headers["webhook-id"] for delivery in hooks.got}
    assert ids == {"evt_j1", "evt_j2"}


async def test_a_receiver_that_was_down_gets_everything_once_it_is_up(
    real_backend: Backend, memory: AsyncConnection, keyspace: Keyspace
) -> None:
    """A closed port is a failure like any other."""
    with receiver() as first:
        port = first.port
    await note(memory, keyspace, first, "j1")
    async with sending(memory, keyspace, first, max_attempts=50):
        with receiver(port) as again:
            await settled(real_backend, 0, 0)
            assert again.types() == [("response.completed", "j1")]


async def test_a_sender_that_is_stopped_as_a_delivery_ends_stops(
    memory: AsyncConnection, keyspace: Keyspace, hooks: Receiver
) -> None:
    """A cancel and the word that there is room, in one tick of the loop."""
    settings = WebhookSettings.model_validate(
        {"hosts": f"http://127.0.0.1:{hooks.port}", "secrets": SECRET}
    )
    made = WebhookSender(memory, keyspace, settings, pause_s=scaled(60))
    work = asyncio.create_task(made.run_forever())
    await eventually(lambda: bool(made._is_wanted._waiters), what="it waits")
    made.nudge()
    await asyncio.sleep(0)
    work.cancel()
    done, _ = await asyncio.wait((work,), timeout=scaled(5))
    assert work in done
    await made.aclose()


async def test_after_the_last_attempt_it_is_a_dead_letter_that_says_why(
    real_backend: Backend,
    memory: AsyncConnection,
    keyspace: Keyspace,
    hooks: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the log says so, without the path, which may be a secret."""
    hooks.status = 500
    await note(memory, keyspace, hooks, "j1")
    with moves("griot_webhook_deliveries_total", outcome="given_up"):
        async with sending(memory, keyspace, hooks, max_attempts=3):
            await settled(real_backend, 1, 1)
    (found,) = await memory.run(queue.find(keyspace, ["evt_j1"]))
    assert (found.attempts, found.error, len(hooks.got)) == (3, "it answered 500", 3)
    assert "is a dead letter after attempt 3" in caplog.text
    assert "s3cret" not in caplog.text


async def test_410_and_an_address_that_is_not_allowed_end_it_at_once(
    real_backend: Backend,
    memory: AsyncConnection,
    keyspace: Keyspace,
    hooks: Receiver,
    other: Receiver,
) -> None:
    """Neither will be otherwise by itself."""
    hooks.status = 410
    await note(memory, keyspace, hooks, "j1")
    await note(memory, keyspace, other, "j2")
    async with sending(memory, keyspace, hooks):
        await settled(real_backend, 2, 2)
    assert (len(hooks.got), len(other.got)) == (1, 0)


async def test_a_receiver_that_stands_still_holds_no_other_up(
    real_backend: Backend,
    memory: AsyncConnection,
    keyspace: Keyspace,
    hooks: Receiver,
    other: Receiver,
) -> None:
    """It has so many connections open and no more, whatever lies there for it."""
    hooks.goes_on.clear()
    await note(memory, keyspace, hooks, *(f"slow{number}" for number in range(20)))
    async with sending(memory, keyspace, hooks, other) as sender:
        await eventually(lambda: hooks.open_now == AT_ONCE, what="the slow one is full")
        names = [f"j{number}" for number in range(10)]
        await note(memory, keyspace, other, *names)
        sender.nudge()
        await eventually(lambda: len(other.got) == len(names), what="the other has its own")
        assert hooks.most_open == AT_ONCE
        hooks.goes_on.set()
        await settled(real_backend, 0, 0)


async def test_two_senders_send_each_event_once(
    real_backend: Backend, memory: AsyncConnection, keyspace: Keyspace, hooks: Receiver
) -> None:
    """What one has claimed the other leaves alone."""
    names = [f"j{number}" for number in range(40)]
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(sending(memory, keyspace, hooks))
        await note(memory, keyspace, hooks, *names)
        await settled(real_backend, 0, 0)
    assert sorted(one for _, one in hooks.types()) == sorted(names)


async def test_what_a_dead_sender_had_claimed_another_one_sends(
    real_backend: Backend,
    memory: AsyncConnection,
    keyspace: Keyspace,
    hooks: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its claim runs out; the receiver may see the event twice, under one id."""
    monkeypatch.setattr(webhook_sender, "SETTLING_S", -0.9)
    hooks.goes_on.clear()
    await note(memory, keyspace, hooks, "j1")
    async with sending(memory, keyspace, hooks, timeout_s=1.0) as first:
        await eventually(lambda: len(hooks.got) == 1, what="it is under way")
        for task in first._sending:
            task.cancel()
        hooks.goes_on.set()
    assert left(real_backend) == (1, 0)
    async with sending(memory, keyspace, hooks):
        await settled(real_backend, 0, 0)
    assert [one for _, one in hooks.types()] == ["j1", "j1"]
