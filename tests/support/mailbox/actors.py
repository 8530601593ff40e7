"""Who lives in a simulated world: workers, producers, sweepers, and those who disturb them."""

from collections.abc import Iterable

import orjson

from memory.errors import CorruptData
from memory.mailbox.due import DueEntry
from memory.mailbox.intake import Enqueued, EnqueueOutcome, OnBusy
from memory.mailbox.outbox import End
from memory.mailbox.outcomes import (
    Acquired,
    AcquireOutcome,
    CommitOutcome,
    Committed,
    Discarded,
    DiscardOutcome,
    Ending,
    JobToWake,
    StopPolicy,
    Swept,
)
from memory.mailbox.pointer import unclaim
from memory.records.event import packed
from tests.support.mailbox.delivering import (
    TTL_S,
    claimed,
    deliver,
    deliver_ends,
    done_event,
    intake_of,
    note_ends,
    say,
    word,
)
from tests.support.mailbox.ends import Claim
from tests.support.mailbox.world import (
    GAP_MS,
    GRACE_MS,
    LEASE_MS,
    SWEEP_MS,
    Actor,
    Ask,
    Publish,
    Sleep,
    World,
)

MAX_ATTEMPTS = 5
KEEP = 10_000
RENEW_MS = LEASE_MS // 3
RETRY_MS = 200
PAUSE_MS = 600_000


def work(world: World, message: Publish) -> Actor:
    """One Celery message: take the job, ask the model, commit, wake the next."""
    session, job, token = message.session, message.job, world.new_token()
    if message.envelope is not None and (yield from claimed(world, session, intake_of(job))):
        yield Ask(world.box(session).take_in(intake_of(job), grace_ms=GRACE_MS))
    *_, acquired = yield Ask(
        world.box(session).acquire(
            job,
            token,
            lease_ms=LEASE_MS,
            history_n=KEEP,
            max_attempts=MAX_ATTEMPTS,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
    )
    assert isinstance(acquired, Acquired)
    if acquired.outcome is AcquireOutcome.RUN:
        if acquired.stop is None and world.is_too_late(acquired.attempt):
            yield from refuse(world, message, token, Ending.FAILED)
            return
        yield from run(world, message, token, acquired)
        return
    yield from wake(session, acquired.next or acquired.head)
    if acquired.outcome in (AcquireOutcome.DEAD, AcquireOutcome.GONE, AcquireOutcome.DONE):
        yield from deliver_ends(world, world.box(session).keys, token)


def run(world: World, message: Publish, token: str, acquired: Acquired) -> Actor:
    """The model answers, fails for a while, or refuses."""
    session, stop = message.session, acquired.stop
    yield say(world, world.box(session).keys, token, message.job, 1)
    left_ms = world.random.randint(20, 400) if world.random.random() < 0.9 else 1500
    while left_ms > 0 and stop is None:
        yield Sleep(min(left_ms, RENEW_MS))
        left_ms -= RENEW_MS
        if left_ms > 0:
            is_held, stop = yield Ask(
                (
                    world.box(session).renew(token, lease_ms=LEASE_MS),
                    world.box(session).stop_asked(message.job),
                )
            )
            if not is_held:
                return
    if stop is not None:
        if stop is StopPolicy.KEEP:
            yield from commit(world, message, token, acquired)
        else:
            yield from refuse(world, message, token, Ending.CANCELLED)
        return
    fate = world.random.random()
    if fate < world.model_fails:
        yield from fail(world, message, token)
    elif fate < world.model_fails + world.model_refuses:
        yield from refuse(world, message, token)
    else:
        yield from commit(world, message, token, acquired)


def commit(world: World, message: Publish, token: str, acquired: Acquired) -> Actor:
    """The turn says which turns it was made from."""
    session, job, keys = message.session, message.job, world.box(message.session).keys
    records, last, began_ms = records_of(job, acquired), done_event(job), world.now_ms
    *_, committed = yield Ask(
        world.box(session).commit(
            token,
            job,
            records,
            event=packed(last, keys.cipher),
            keep=KEEP,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
    )
    assert isinstance(committed, Committed)
    yield from wake(session, committed.next)
    has_callbacks = acquired.envelope[:1].isdigit() or intake_of(job).callbacks
    if committed.outcome is CommitOutcome.OK and not has_callbacks:
        claim = Claim(token, began_ms + GRACE_MS)
        yield from deliver(world, keys, End(job, last), claim, noted_after_ms=200)
    else:
        yield from deliver_ends(world, keys, token)


def records_of(job: str, acquired: Acquired) -> list[bytes]:
    """The messages of a job's turn, each of which says which turns it was made from."""
    seen = [str(orjson.loads(record)["job_id"]) for record in acquired.history[::2]]
    said = {"job_id": job, "seen": seen, "content": word(job)}
    return [orjson.dumps({"role": role, **said}) for role in ("user", "assistant")]


def fail(world: World, message: Publish, token: str) -> Actor:
    """Back off, and come back as Celery's retry does."""
    yield Ask(
        world.box(message.session).fail(token, delay_ms=RETRY_MS, refund=False, grace_ms=GRACE_MS)
    )
    yield Publish(message.session, message.job, message.envelope, delay_ms=RETRY_MS)


def refuse(world: World, message: Publish, token: str, ending: Ending = Ending.DEAD) -> Actor:
    """A dead letter by the holder, or the end of a turn that is not to be kept, or of a job that
    has expired."""
    *_, discarded = yield Ask(
        world.box(message.session).discard(
            message.job,
            f"refused {word(message.job)}",
            token,
            owner=token,
            ending=ending,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
    )
    assert isinstance(discarded, Discarded)
    yield from wake(message.session, discarded.next)
    yield from deliver_ends(world, world.box(message.session).keys, token)


def produce(world: World, session: str, jobs: Iterable[str]) -> Actor:
    """Send one job after the other; a producer that dies takes the rest with it."""
    for job in jobs:
        yield Sleep(world.random.choice((0, 1, 50, 300)))
        if not (yield from claimed(world, session, intake_of(job))):
            continue
        commands = world.box(session).take_in(intake_of(job), grace_ms=GRACE_MS)
        parts = [commands] if world.random.random() < 0.5 else [commands[:1], commands[1:]]
        for part in parts:
            results = yield Ask(part)
        enqueued = results[-1]
        assert isinstance(enqueued, Enqueued)
        assert enqueued.outcome is not EnqueueOutcome.FULL
        if enqueued.outcome is EnqueueOutcome.CONFLICT:
            continue
        world.ledger.accept(world.box(session).keys.history, job)
        if enqueued.position == 0:
            yield Publish(session, job)
        if enqueued.wake:
            yield Publish(session, enqueued.wake)


def send_again(world: World, session: str, job: str, on_busy: OnBusy) -> Actor:
    """Send while others run or wait, and deliver the ends of those that it took out."""
    intake = intake_of(job, on_busy)
    if not (yield from claimed(world, session, intake)):
        return
    *_, enqueued = yield Ask(world.box(session).take_in(intake, grace_ms=GRACE_MS))
    assert isinstance(enqueued, Enqueued)
    if enqueued.outcome is EnqueueOutcome.FULL:
        if world.keyspace.is_cluster:
            yield Ask((unclaim(world.keyspace, job),))
        return
    keys = world.box(session).keys
    world.ledger.accept(keys.history, job)
    if enqueued.wake:
        yield Publish(session, enqueued.wake)
    if enqueued.position == 0:
        yield Publish(session, job)
    if enqueued.ended:
        yield from deliver_ends(world, keys, intake.owner)


def send_raw(session: str, job: str) -> Actor:
    """A service that imports nothing of ours."""
    yield Publish(session, job, b"raw envelope")


def cancel(world: World, session: str, job: str) -> Actor:
    """Whoever it is, and wherever the job is."""
    owner = f"canceller-{world.new_token()}"
    *_, discarded = yield Ask(
        world.box(session).discard(
            job,
            "cancelled",
            owner=owner,
            ending=Ending.CANCELLED,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
    )
    assert isinstance(discarded, Discarded)
    if discarded.outcome is DiscardOutcome.RUNNING:
        policy = world.random.choice(list(StopPolicy))
        yield Ask((world.box(session).stop(job, policy),))
    yield from wake(session, discarded.next)
    yield from deliver_ends(world, world.box(session).keys, owner)


def clean(world: World, session: str) -> Actor:
    """Cleanup meets whatever is there."""
    yield Ask((world.box(session).clean(0, ttl_ms=1 << 52),))
    yield Ask((world.box(session).trim(0),))


def sweep(world: World, *, is_guarded: bool = True, notes_first: bool = True) -> Actor:
    """Look at what is due, for ever. Without a guard a damaged mailbox ends a look at all."""
    while True:
        yield Sleep(SWEEP_MS)
        try:
            (entries,) = yield Ask((world.due().entries(limit=100),))
        except CorruptData:
            continue
        assert isinstance(entries, list)
        for entry in entries:
            mailbox = world.due().mailbox(entry)
            try:
                if mailbox is None:
                    yield Ask((world.due().forget(entry),))
                else:
                    yield from look_after(world, entry, notes_first=notes_first)
            except CorruptData:
                if not is_guarded:
                    break
                yield from put_off(world, entry)


def put_off(world: World, entry: DueEntry) -> Actor:
    """A damaged mailbox is looked at again later."""
    try:
        yield Ask((world.due().put_off(entry, PAUSE_MS),))
    except CorruptData:
        return


def look_after(world: World, entry: DueEntry, *, notes_first: bool) -> Actor:
    """One mailbox: wake its head if it needs that, and note its ends and when to look again."""
    session = world.keyspace.parse_history(entry.history_key).session_id
    keys = world.box(session).keys
    (swept,) = yield Ask((world.box(session).sweep(GAP_MS),))
    assert isinstance(swept, Swept)
    if notes_first:
        yield from note_ends(world, keys)
    if swept.head is not None:
        (is_published,) = yield Publish(session, swept.head.job_id)
        if not is_published:
            yield Ask((world.box(session).unwake(),))
    yield Ask((world.due().settle(entry, swept, grace_ms=GRACE_MS),))
    if not notes_first:
        yield from note_ends(world, keys)


def wake(session: str, waiting: JobToWake | None) -> Actor:
    """Publish the wake-up of the job that an answer named."""
    if waiting is not None:
        yield Publish(session, waiting.job_id)
