"""What a worker does for a session that becomes more urgent, or whose slot is there."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest

from memory import (
    Acquired,
    AcquireOutcome,
    AsyncConnection,
    JobToWake,
    Keyspace,
    Mailbox,
    Priority,
    Slots,
    SweepOutcome,
)
from memory.mailbox.outcomes import Swept
from memory.slots.occupancy import SlotWait
from tasks.attempt.lease import LeaseHolder
from tasks.attempt.slot_holder import SlotHolder
from tasks.job.envelope import JobRef
from tasks.process.configuration import load_settings
from tasks.process.head_waker import HeadWaker
from tasks.process.queue_wait import QueueWait
from tasks.process.stopping import RunningLeases

KEYSPACE = Keyspace()
KEYS = KEYSPACE.session("energy", "s")
SLOTS = Slots(KEYSPACE, "m", ("http://ollama",), 1)


def holder_told(told: list[bytes | None]) -> LeaseHolder:
    """The holder of a lease, where this is what Redis says was asked meanwhile."""
    memory = SimpleNamespace(
        run=AsyncMock(side_effect=lambda command: command.parse(told)),
        run_last=AsyncMock(side_effect=lambda *commands: commands[-1].parse(told)),
    )
    slot: Any = SimpleNamespace(
        token="t",  # noqa: S106 - a lease's token
        wait=AsyncMock(return_value=SlotWait(3, None)),
        releasing=Mock(return_value=None),
        call_none=Mock(),
    )
    return LeaseHolder(
        JobRef("j1", "energy", "s"),
        Mailbox(KEYSPACE, KEYS),
        cast("AsyncConnection", memory),
        cast("SlotHolder", slot),
        leases=RunningLeases(),
        settings=load_settings(),
        queue_wait=QueueWait(1.0),
    )


@pytest.mark.parametrize(
    ("told", "priority"),
    [
        ([None, None, None, None], None),
        ([None, None, None, b"5"], None),
        ([None, None, b"6", None], Priority.INTERACTIVE),
        ([b"j1", b"keep", None, None], Priority.NORMAL),
    ],
)
def test_who_waits_looks_whether_its_session_was_lifted_meanwhile(
    told: list[bytes | None], priority: Priority | None
) -> None:
    """For a slot, for servers or for the end of a pause: while its lease lived, whoever sent the
    urgent message woke nobody."""
    holder = holder_told(told)
    acquired = Acquired(AcquireOutcome.RUN, seq_us=5, envelope=b"{}", priority=Priority.NORMAL)
    slot_wait, mine = asyncio.run(holder.wait_for_slot(SLOTS, acquired))
    assert slot_wait == SlotWait(3, None)
    assert (mine and mine.priority) == priority
    for is_paused in (False, True):
        mine = asyncio.run(holder.park(acquired, (), (), for_ms=7, is_paused=is_paused))
        assert (mine and mine.priority) == priority


def woken(*, is_first: bool, may_take_on: bool) -> tuple[Mock, Mock]:
    """What is published of a batch job that is woken, and what is begun in the process itself."""
    swept = Swept(SweepOutcome.WAKE, JobToWake("j1", b"{}", Priority.BATCH))
    memory = SimpleNamespace(run_last=AsyncMock(return_value=swept))
    wake, take_on = Mock(return_value=True), Mock(return_value=may_take_on)
    with ThreadPoolExecutor(1) as wakers:
        waker = HeadWaker(
            cast("AsyncConnection", memory),
            KEYSPACE,
            queue_wait=QueueWait(1.0),
            wake=wake,
            wakers=wakers,
            take_on=take_on,
        )
        assert asyncio.run(waker.wake_head(KEYS, is_first=is_first))
    return wake, take_on


@pytest.mark.parametrize("is_first", [False, True])
def test_a_session_that_has_a_slot_is_woken_before_all_others(is_first: bool) -> None:
    """Whatever its class is: until it comes, the slot is free in vain."""
    wake, _ = woken(is_first=is_first, may_take_on=False)
    (_, head), _ = wake.call_args
    assert head.priority is (Priority.INTERACTIVE if is_first else Priority.BATCH)


def test_a_session_that_has_a_slot_begins_where_the_slot_was_released() -> None:
    """A message would leave the slot free for as long as it is under way."""
    wake, take_on = woken(is_first=True, may_take_on=True)
    (_, head), _ = take_on.call_args
    assert (head.job_id, head.priority) == ("j1", Priority.INTERACTIVE)
    wake.assert_not_called()


def test_a_session_whose_servers_are_back_is_for_any_worker() -> None:
    """There are hundreds of them, woken by one."""
    wake, take_on = woken(is_first=False, may_take_on=True)
    wake.assert_called_once()
    take_on.assert_not_called()
