"""One typed function for each Lua operation of the mailbox; memory/*/lua/*.lua says what they do.

The parameters bear the names of the operation's ARGV, in their order. All are pure: a `Command` is
sent by `connection.Connection` or `aio.AsyncConnection`. `now_us` replaces the server's clock, for
simulation; None is the server's TIME.
"""

from collections.abc import Sequence

from memory.keys import SessionKeys
from memory.mailbox.codes import raw, read_flag, read_ok, read_ok_integer, unexpected_reply
from memory.mailbox.enqueued import Enqueued
from memory.mailbox.outcomes import (
    Acquired,
    Cleaned,
    Committed,
    Discarded,
    Failed,
    Stopping,
    Swept,
)
from memory.redis.command import Command, LuaScript

LOOK = LuaScript.load("mailbox", "look")
ENQUEUE = LuaScript.load("mailbox", "enqueue")
INTERRUPT = LuaScript.load("mailbox", "interrupt")
SUPERSEDE = LuaScript.load("mailbox", "supersede")
MERGE = LuaScript.load("mailbox", "merge")
ACQUIRE = LuaScript.load("mailbox", "acquire")
RENEW = LuaScript.load("mailbox", "renew")
COMMIT = LuaScript.load("mailbox", "commit")
FAIL = LuaScript.load("mailbox", "fail")
DISCARD = LuaScript.load("mailbox", "discard")
STOP = LuaScript.load("mailbox", "stop")
SWEEP = LuaScript.load("mailbox", "sweep")
CLEAN = LuaScript.load("mailbox", "clean")
DUE = LuaScript.load("mailbox", "due")
SETTLE = LuaScript.load("mailbox", "settle")
TRIM = LuaScript.load("mailbox", "trim")

INTAKES = (ENQUEUE, INTERRUPT, SUPERSEDE, MERGE)
HANDLING = (LOOK, ACQUIRE, RENEW, COMMIT, FAIL, DISCARD, STOP, SWEEP, CLEAN, DUE, SETTLE, TRIM)
SCRIPTS = (*INTAKES, *HANDLING)


def look(due: str, *, history_key: str, delay_ms: int, now_us: int | None = None) -> Command[int]:
    """LOOK: when someone will look at the mailbox, ms."""
    args = (history_key, delay_ms, _clock(now_us))
    return Command(read_ok_integer, args, (due,), LOOK)


def enqueue(
    keys: SessionKeys,
    *,
    job: str,
    envelope: bytes,
    cap: int,
    request: str,
    event: bytes,
    events_max: int,
    ttl_s: int,
    dedupe_ms: int,
    now_us: int | None = None,
) -> Command[Enqueued]:
    """ENQUEUE."""
    limits = (events_max, ttl_s, dedupe_ms, _clock(now_us))
    args = (job, envelope, cap, request, event, *limits)
    touched = (keys.queue, keys.jobs, keys.lease, keys.done, keys.requests, keys.events)
    return Command(Enqueued.from_reply, args, touched, ENQUEUE)


def interrupt(
    keys: SessionKeys,
    *,
    job: str,
    envelope: bytes,
    cap: int,
    request: str,
    event: bytes,
    events_max: int,
    ttl_s: int,
    dedupe_ms: int,
    now_us: int | None = None,
) -> Command[Enqueued]:
    """INTERRUPT."""
    limits = (events_max, ttl_s, dedupe_ms, _clock(now_us))
    args = (job, envelope, cap, request, event, *limits)
    touched = (keys.queue, keys.jobs, keys.lease, keys.done, keys.requests, keys.events)
    return Command(Enqueued.from_taking_over, args, touched, INTERRUPT)


def supersede(
    keys: SessionKeys,
    *,
    job: str,
    envelope: bytes,
    cap: int,
    request: str,
    is_all: bool,
    event: bytes,
    events_max: int,
    ttl_s: int,
    dedupe_ms: int,
    now_us: int | None = None,
) -> Command[Enqueued]:
    """SUPERSEDE."""
    limits = (events_max, ttl_s, dedupe_ms, _clock(now_us))
    args = (job, envelope, cap, request, int(is_all), event, *limits)
    return Command(Enqueued.from_taking_over, args, _taken_over(keys), SUPERSEDE)


def merge(
    keys: SessionKeys,
    *,
    job: str,
    envelope: bytes,
    cap: int,
    request: str,
    most_bytes: int,
    event: bytes,
    events_max: int,
    ttl_s: int,
    dedupe_ms: int,
    now_us: int | None = None,
) -> Command[Enqueued]:
    """MERGE."""
    limits = (events_max, ttl_s, dedupe_ms, _clock(now_us))
    args = (job, envelope, cap, request, most_bytes, event, *limits)
    return Command(Enqueued.from_taking_over, args, _taken_over(keys), MERGE)


def acquire(
    keys: SessionKeys,
    *,
    job: str,
    token: str,
    lease_ms: int,
    history_n: int,
    max_attempts: int,
    dedupe_ms: int,
    dead_ms: int,
    dead_max: int,
    now_us: int | None = None,
) -> Command[Acquired]:
    """ACQUIRE."""
    limits = (lease_ms, history_n, max_attempts, dedupe_ms, dead_ms, dead_max)
    return Command(
        Acquired.from_reply,
        (job, token, *limits, _clock(now_us)),
        (keys.history, keys.queue, keys.jobs, keys.lease, keys.done, keys.dead),
        ACQUIRE,
    )


def renew(
    keys: SessionKeys, *, token: str, lease_ms: int, dedupe_ms: int, now_us: int | None = None
) -> Command[bool]:
    """RENEW: whether the lease is still held."""
    return Command(read_flag, (token, lease_ms, dedupe_ms, _clock(now_us)), (keys.lease,), RENEW)


def commit(
    keys: SessionKeys,
    *,
    token: str,
    job: str,
    keep: int,
    ttl_s: int,
    dedupe_ms: int,
    events_max: int,
    now_us: int | None = None,
    event: bytes,
    records: Sequence[bytes],
) -> Command[Committed]:
    """COMMIT."""
    return Command(
        Committed.from_reply,
        (token, job, keep, ttl_s, dedupe_ms, events_max, _clock(now_us), event, *records),
        (keys.history, keys.queue, keys.jobs, keys.lease, keys.done, keys.events),
        COMMIT,
    )


def fail(
    keys: SessionKeys,
    *,
    token: str,
    delay_ms: int,
    refund: bool,
    slot_wait_ms: int,
    dedupe_ms: int,
    now_us: int | None = None,
) -> Command[Failed]:
    """FAIL."""
    args = (token, delay_ms, int(refund), slot_wait_ms, dedupe_ms, _clock(now_us))
    return Command(Failed.from_reply, args, (keys.lease,), FAIL)


def discard(
    keys: SessionKeys,
    *,
    job: str,
    reason: str,
    token: str,
    is_dead: bool,
    dedupe_ms: int,
    dead_ms: int,
    dead_max: int,
    now_us: int | None = None,
) -> Command[Discarded]:
    """DISCARD."""
    limits = (dedupe_ms, dead_ms, dead_max)
    return Command(
        Discarded.from_reply,
        (job, reason, token, int(is_dead), *limits, _clock(now_us)),
        (keys.queue, keys.jobs, keys.lease, keys.done, keys.dead),
        DISCARD,
    )


def stop(
    keys: SessionKeys, *, job: str, policy: str, dedupe_ms: int, now_us: int | None = None
) -> Command[Stopping]:
    """STOP."""
    args = (job, policy, dedupe_ms, _clock(now_us))
    return Command(Stopping.from_reply, args, (keys.lease,), STOP)


def sweep(
    keys: SessionKeys, *, gap_ms: int, dedupe_ms: int, now_us: int | None = None
) -> Command[Swept]:
    """SWEEP."""
    args = (gap_ms, dedupe_ms, _clock(now_us))
    return Command(Swept.from_reply, args, (keys.queue, keys.jobs, keys.lease), SWEEP)


def clean(keys: SessionKeys, *, idle_ms: int, now_us: int | None = None) -> Command[Cleaned]:
    """CLEAN."""
    args = (idle_ms, _clock(now_us))
    session = (keys.history, keys.queue, keys.lease, keys.events, keys.summary)
    return Command(Cleaned.from_reply, args, session, CLEAN)


def due(due: str, *, limit: int, now_us: int | None = None) -> Command[list[tuple[str, float]]]:
    """DUE: the history keys of due mailboxes, each with its score."""
    return Command(_read_due, (limit, _clock(now_us)), (due,), DUE)


def settle(
    due: str,
    *,
    history_key: str,
    seen_ms: float,
    delay_ms: int | None,
    is_idle: bool,
    now_us: int | None = None,
) -> Command[bool]:
    """SETTLE: whether the entry was unchanged, and so put off (dropped if `delay_ms` is None)."""
    delay = "drop" if delay_ms is None else delay_ms
    args = (history_key, repr(seen_ms), delay, int(is_idle), _clock(now_us))
    return Command(read_flag, args, (due,), SETTLE)


def trim(keys: SessionKeys, *, slack: int) -> Command[int]:
    """TRIM: how many were forgotten."""
    return Command(read_ok_integer, (slack,), (keys.queue, keys.done, keys.requests), TRIM)


def _taken_over(keys: SessionKeys) -> tuple[str, ...]:
    known = (keys.queue, keys.jobs, keys.lease, keys.done, keys.requests)
    return (*known, keys.untold, keys.events)


def _clock(now_us: int | None) -> int | str:
    return "" if now_us is None else now_us


def _read_due(reply: object) -> list[tuple[str, float]]:
    pairs = read_ok(reply)
    if len(pairs) % 2:
        raise unexpected_reply(reply)
    return [
        (raw(key).decode(), float(raw(at_ms)))
        for key, at_ms in zip(pairs[::2], pairs[1::2], strict=True)
    ]
