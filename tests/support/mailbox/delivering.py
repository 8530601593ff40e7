"""Who delivers ends in a simulated world, and those who erase, reuse ids and damage keys."""

from collections.abc import Generator, Iterable
from dataclasses import replace

from memory import outbox
from memory.errors import CorruptData
from memory.keys import SessionKeys
from memory.mailbox import intake as intakes
from memory.mailbox.intake import Intake, OnBusy, Request
from memory.mailbox.outbox import End, TakenEnds
from memory.priority import Priority
from memory.records import events, history
from memory.records.event import Event, EventType
from tests.support.mailbox.ends import Claim, all_keys
from tests.support.mailbox.world import (
    GRACE_MS,
    SWEEP_MS,
    Actor,
    Ask,
    Do,
    Sleep,
    Step,
    World,
)

CLAIM_MS = 2000
TTL_S = 3600
MERGED_BYTES = 40
Steps = Generator[Step, list[object], int]


def word(job: str) -> str:
    """What a job says, in its request, its events and its turn."""
    return f"[words of {job}]"


def intake_of(job: str, on_busy: OnBusy = OnBusy.ENQUEUE, owner: str = "") -> Intake:
    """What a job brings along; every other one has something to follow it."""
    has_callbacks = sum(job.encode()) % 2 == 0
    return Intake(
        job,
        f"envelope {word(job)}".encode(),
        1000,
        on_busy,
        Request(digest=f"{job:>032}", size_bytes=10),
        merged_bytes=MERGED_BYTES,
        callbacks=f"{job} {word(job)}\n".encode() if has_callbacks else b"",
        owner=owner or f"sender of {job}".replace(" ", "-"),
        priority=urgency_of(job),
    )


def urgency_of(job: str) -> Priority:
    """How urgent a job is, as its name says."""
    named = job.rpartition("-")[2]
    return Priority(named) if named in set(Priority) else Priority.NORMAL


def done_event(job: str) -> Event:
    """The last event of a turn."""
    return Event(EventType.DONE, job, 1, word(job))


def deliver(
    world: World, keys: SessionKeys, end: End, claim: Claim, *, noted_after_ms: int = 0
) -> Actor:
    """Store the result, send what follows, and take the end out: as `tasks.end` does.

    A worker notes several of them at a time, a little later.
    """
    yield Do(lambda: world.ends.store(keys, end, claim, world.now_ms))
    if end.event.type is not EventType.MERGED:
        for line in end.callbacks.splitlines():
            job = line.decode().split(" ")[0]
            yield Do(lambda job=job: world.ends.send(keys, end, job, claim, world.now_ms))  # type: ignore[misc]
    yield Sleep(noted_after_ms)
    (erased,) = yield Ask((outbox.delivered(keys, [end]),))
    assert isinstance(erased, tuple)
    for again in erased:
        # By no right but this: whoever has the claim now stores the same.
        yield from deliver(world, keys, again, replace(claim, until_ms=0))
    world.ends.note_delivered(end.job_id, claim)


def deliver_ends(world: World, keys: SessionKeys, owner: str) -> Steps:
    """Deliver what `owner` is to deliver, and what nobody did; how many ends are left."""
    until_ms = world.now_ms + CLAIM_MS
    (taken,) = yield Ask((outbox.take(keys, owner=owner, claim_ms=CLAIM_MS),))
    assert isinstance(taken, TakenEnds)
    if taken.corrupt:
        yield Ask((outbox.drop(keys, taken.corrupt),))
    for end in taken.ends:
        yield from deliver(world, keys, end, Claim(owner, until_ms))
    return taken.left


def note_ends(world: World, keys: SessionKeys) -> Actor:
    """The sweep of a mailbox, before it puts its entry off."""
    try:
        (ends,) = yield Ask((outbox.size(keys),))
        if ends:
            yield Ask((outbox.note_late(world.keyspace, keys),))
    except CorruptData:
        return


def sweep_outboxes(world: World) -> Actor:
    """Deliver what others did not, for ever."""
    owner = f"sweeper-{world.new_token()}"
    while True:
        yield Sleep(SWEEP_MS)
        try:
            (entries,) = yield Ask((outbox.late_sessions(world.keyspace, limit=500),))
        except CorruptData:
            continue
        assert isinstance(entries, list)
        for entry in entries:
            keys = world.keyspace.find_session(entry.member)
            try:
                left = 0 if keys is None else (yield from deliver_ends(world, keys, owner))
                if not left:
                    yield Ask((outbox.forget(world.keyspace, [entry]),))
            except CorruptData:
                continue


def erase(world: World, session: str) -> Actor:
    """Erase a session, and deliver the ends of its jobs."""
    keys, owner = world.box(session).keys, f"eraser-{world.new_token()}"
    erasing = history.erase(keys, write_id=owner, grace_ms=GRACE_MS)
    yield Ask((world.box(session).look(GRACE_MS), erasing))
    yield from deliver_ends(world, keys, owner)


def reuse(world: World, session: str, number: int) -> Actor:
    """Send under an id that is another job's: in another session, or with another request."""
    known = sorted(job for job, one in world.ends.jobs.items() if one.digest)
    if not known:
        return
    job = world.random.choice(known)
    own = world.keyspace.parse_history(world.ends.jobs[job].history_key).session_id
    session = own if number % 2 else session
    on_busy = world.random.choice(list(OnBusy))
    request = Request(digest=f"{number:032}", size_bytes=10)
    other = Intake(job, b"another's", 1000, on_busy, request, merged_bytes=MERGED_BYTES)
    if (yield from claimed(world, session, other)):
        yield Ask(world.box(session).take_in(other, grace_ms=GRACE_MS))


def claimed(world: World, session: str, intake: Intake) -> Generator[Step, list[object], bool]:
    """On a cluster the id is claimed in a trip of its own; whether it is this request's."""
    claim = world.box(session).claim(intake)
    if claim is None:
        return True
    (answer,) = yield Ask((claim,))
    return answer is not intakes.Claim.CONFLICT


def repeat_elsewhere(world: World) -> Actor:
    """Send the very same request under the same id in each other session."""
    known = sorted(job for job, one in world.ends.jobs.items() if one.digest)
    if not known:
        return
    job = world.random.choice(known)
    for session in ("s1", "s2", "s3"):
        box = world.box(session)
        is_another = box.keys.history != world.ends.jobs[job].history_key
        if is_another and (yield from claimed(world, session, intake_of(job))):
            yield Ask(box.take_in(intake_of(job), grace_ms=GRACE_MS))


def damage(world: World, session: str) -> None:
    """Put a wrong type into a key of a session, and what is no text into the lists of all."""
    world.wire.ask(("SET", world.random.choice(all_keys(world.keyspace, session)), "damage"))
    for name in (world.keyspace.due, world.keyspace.outbox):
        world.wire.exchange(("ZADD", name, 0, b"\xff\xfe" + session.encode()))


def damage_lists(world: World) -> None:
    """The lists of all sessions are of another type."""
    for name in (world.keyspace.due, world.keyspace.outbox):
        world.wire.ask(("SET", name, "damage"))


def mend_lists(world: World, history_keys: Iterable[str]) -> None:
    """Somebody removes them, and maintenance finds the sessions again."""
    world.wire.ask(("DEL", world.keyspace.due), ("DEL", world.keyspace.outbox))
    for history_key in history_keys:
        stray = world.due().add_stray(history_key)
        world.wire.ask(stray.wire())


def say(world: World, keys: SessionKeys, token: str, job: str, number: int) -> Ask:
    """A piece of the reply, as the relay sends it."""
    said = Event(EventType.TOKEN, job, 1, word(job))
    return Ask((events.publish(keys, [said], ttl_s=TTL_S, token=token, number=number),))
