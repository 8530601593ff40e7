"""Delivering ends on the worker's loop: late, twice at once, and from what is damaged."""

import logging
import threading
from collections.abc import AsyncIterator

import pytest
from celery import Celery
from celery.app.task import Context

from memory import AsyncConnection, MemorySettings, outbox
from memory.mailbox.outbox import End
from memory.quotas import owners, pending
from tasks.beat.outbox_sweep import OutboxSweep
from tasks.end import loop_delivery
from tasks.end.loop_delivery import LoopDelivery
from tests.support.machine import scaled
from tests.support.mailbox.rig import CLAIM_MS, Rig
from tests.support.waiting import eventually

pytest_plugins = ["tests.support.mailbox.fixtures"]


@pytest.fixture
async def memory(memory_settings: MemorySettings) -> AsyncIterator[AsyncConnection]:
    """The connection of the loop."""
    made = AsyncConnection(memory_settings)
    yield made
    await made.aclose()


@pytest.fixture
def celery(redis_url: str) -> Celery:
    """Celery with its results on the server."""
    return Celery("ends", broker="memory://", backend=redis_url, set_as_current=False)


@pytest.fixture
async def ends(
    celery: Celery, memory: AsyncConnection, memory_settings: MemorySettings, real_rig: Rig
) -> AsyncIterator[LoopDelivery]:
    """The delivery of one worker."""
    keyspace = real_rig.keyspace
    made = LoopDelivery(
        celery, lambda: memory, keyspace, results=memory_settings, claim_ms=CLAIM_MS
    )
    yield made
    await made.aclose()


def ended(rig: Rig, *, callbacks: bytes = b"") -> End:
    """The end of an answered job, as its worker has it."""
    rig.take_in("j1", callbacks=callbacks)
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    (end,) = rig.take_ends("t1").ends
    return end


async def test_a_result_is_stored_as_celerys_own_backend_stores_one(
    ends: LoopDelivery, celery: Celery, real_rig: Rig
) -> None:
    """Every field of it; of the date the form."""
    assert await ends.deliver(real_rig.box.keys, ended(real_rig))
    stored = celery.backend.get_task_meta("j1")
    own = celery.backend._get_result_meta(stored["result"], "SUCCESS", None, Context(id="j1"))
    zone = len("+00:00")
    assert own.pop("date_done")[-zone:] == stored.pop("date_done")[-zone:]
    assert stored == {**own, "task_id": "j1"}


async def test_a_worker_that_was_frozen_leaves_no_reply_of_an_erased_session(
    ends: LoopDelivery, celery: Celery, real_rig: Rig
) -> None:
    """It slept between COMMIT and result, and the erasure was delivered meanwhile by another."""
    end = ended(real_rig)
    real_rig.erase("eraser")
    real_rig.later(CLAIM_MS + 1)
    (erased,) = real_rig.take_ends("another").ends
    real_rig.connection.run(outbox.delivered(real_rig.box.keys, [erased]))
    assert await ends.deliver(real_rig.box.keys, end)
    await ends.flush()
    assert "erased" in str(celery.AsyncResult("j1").result)
    await eventually(lambda: ends._noting is None or ends._noting.done(), what="all is noted")
    assert real_rig.ends() == {}


async def test_what_cannot_be_stored_as_erased_is_tried_until_it_can(
    ends: LoopDelivery, celery: Celery, real_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The results' server goes away between: a reply must not stay in it."""
    end = ended(real_rig)
    real_rig.erase("eraser")
    assert await ends.deliver(real_rig.box.keys, end)
    monkeypatch.setattr(loop_delivery, "AWAY_S", 0.1)
    stored, asked = ends._stored, []

    def refused_once(*args: object) -> object:
        asked.append(args)
        if len(asked) == 1:
            raise ConnectionError
        return stored(*args)  # type: ignore[arg-type]  # as given

    monkeypatch.setattr(ends, "_stored", refused_once)
    await eventually(
        lambda: "erased" in str(celery.AsyncResult("j1").result), what="the reply is gone"
    )
    assert len(asked) >= 2


async def test_a_broker_that_stands_still_gets_what_follows_once(
    ends: LoopDelivery, real_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a sweep tries the end again meanwhile."""
    end = ended(real_rig, callbacks=b'{"job":"j1","options":{"link":[1]}}\n')
    goes_on, calls = threading.Event(), []

    def stands_still(*args: object) -> None:
        calls.append(args)
        goes_on.wait(30)

    monkeypatch.setattr(loop_delivery, "PATIENCE_S", 0.05)
    monkeypatch.setattr(loop_delivery, "AWAY_S", 0.0)
    monkeypatch.setattr(ends._delivery, "deliver", stands_still)
    try:
        tries = [await ends.deliver(real_rig.box.keys, end) for _ in range(3)]
    finally:
        goes_on.set()
    assert tries == [False, False, False]
    assert len(calls) == 1
    monkeypatch.setattr(loop_delivery, "PATIENCE_S", scaled(10))
    assert await ends.deliver(real_rig.box.keys, end)


async def test_a_job_that_has_ended_counts_no_longer_whether_its_result_is_stored_or_not(
    ends: LoopDelivery, real_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user may send the next one while the results' server is away."""
    whose = (owners.agent("a"), owners.user("ama"))
    real_rig.connection.run(pending.note(real_rig.keyspace, "j1", whose))
    look = pending.look(real_rig.keyspace, "a")
    end = ended(real_rig)

    def refused(*_: object) -> object:
        raise ConnectionError

    monkeypatch.setattr(ends, "_stored", refused)
    assert not await ends.deliver(real_rig.box.keys, end)
    await eventually(lambda: real_rig.connection.run(look).pending == 0, what="it is released")
    assert real_rig.ends() != {}


async def test_a_damaged_outbox_is_named_once(
    ends: LoopDelivery, memory: AsyncConnection, real_rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """By each process, however often it is swept; once more when it was mended meanwhile."""
    keys = real_rig.box.keys
    sweep = OutboxSweep(memory, real_rig.keyspace, ends)
    for times in (1, 2):
        real_rig.ask("SET", keys.outbox, "damage")
        for _ in range(3):
            real_rig.connection.run(outbox.note_late(real_rig.keyspace, keys))
            with caplog.at_level(logging.ERROR):
                await sweep.run()
        assert caplog.text.count("its results wait until the key is repaired") == times
        real_rig.ask("DEL", keys.outbox)
        await sweep.run()
