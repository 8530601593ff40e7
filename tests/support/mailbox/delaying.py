"""Who sends jobs before they are due in a simulated world, and who takes them in then."""

from dataclasses import replace

from memory.errors import CorruptData
from memory.mailbox.delayed import RipeJobs, delayed_sessions
from memory.mailbox.delayed import ripe as ripe_jobs
from memory.mailbox.due_list import DueEntry
from memory.mailbox.due_sessions import DueSessions
from memory.mailbox.intake import Enqueued, EnqueueOutcome, OnBusy
from memory.mailbox.pointer import unclaim
from tests.support.mailbox.delivering import claimed, deliver_ends, intake_of
from tests.support.mailbox.world import GRACE_MS, Actor, Ask, Publish, Sleep, World

LOOK_MS = 250
LONGEST_MS = 20_000
JOBS_AT_ONCE = 2
PAUSE_MS = 5000
ON_BUSY: dict[str, OnBusy] = {}
"""What each delayed job does to others: its envelope says so elsewhere."""


def send_later(world: World, session: str, job: str, on_busy: OnBusy) -> Actor:
    """Send a job that is due in a while; some say it twice."""
    ON_BUSY[job] = on_busy
    wait_ms = world.random.randint(1, LONGEST_MS)
    due_ms = world.now_ms + world.clock_ms + wait_ms
    intake = replace(intake_of(job), due_ms=due_ms, wait_ms=wait_ms, look_ms=wait_ms)
    if not (yield from claimed(world, session, intake)):
        return
    for _ in range(world.random.choice((1, 1, 2))):
        *_, kept = yield Ask(world.box(session).take_in(intake, grace_ms=GRACE_MS))
    assert isinstance(kept, Enqueued)
    if kept.outcome is EnqueueOutcome.FULL:
        if world.keyspace.is_cluster:
            yield Ask((unclaim(world.keyspace, job),))
        return
    world.ledger.accept(world.box(session).keys.history, job)


def take_in_what_is_due(world: World) -> Actor:
    """Look at the sessions whose delayed jobs may be due, for ever."""
    delayed = delayed_sessions(world.keyspace)
    while True:
        yield Sleep(LOOK_MS)
        try:
            (entries,) = yield Ask((delayed.entries(limit=100),))
        except CorruptData:
            continue
        assert isinstance(entries, list)
        for entry in entries:
            try:
                yield from look_at(world, delayed, entry)
            except CorruptData:
                yield Ask((delayed.put_off(entry, PAUSE_MS),))


def look_at(world: World, delayed: DueSessions, entry: DueEntry) -> Actor:
    """One session: take its due jobs in, as their senders would now."""
    session = world.keyspace.parse_history(entry.history_key).session_id
    keys = world.box(session).keys
    (ripe,) = yield Ask((ripe_jobs(keys, limit=JOBS_AT_ONCE),))
    assert isinstance(ripe, RipeJobs)
    if not ripe.jobs:
        wait_ms = ripe.wait_ms
        yield Ask((delayed.leave(entry) if wait_ms is None else delayed.put_off(entry, wait_ms),))
        return
    (is_mine,) = yield Ask((delayed.put_off(entry, GRACE_MS),))
    if not is_mine:
        return
    for one in ripe.jobs:
        yield from take_in(world, session, one.job_id)
    if ripe.wait_ms is not None:
        yield Ask((delayed.look_in(keys, ripe.wait_ms),))


def take_in(world: World, session: str, job: str) -> Actor:
    """Send one job again, now that it is due."""
    intake = intake_of(job, ON_BUSY[job])
    if not (yield from claimed(world, session, intake)):
        return
    *_, enqueued = yield Ask(world.box(session).take_in(intake, grace_ms=GRACE_MS))
    assert isinstance(enqueued, Enqueued)
    if enqueued.wake:
        yield Publish(session, enqueued.wake)
    if enqueued.position == 0:
        yield Publish(session, job)
    if enqueued.ended:
        yield from deliver_ends(world, world.box(session).keys, intake.owner)
