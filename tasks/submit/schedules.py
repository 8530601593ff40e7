"""Schedules: messages that are sent to a session again and again.

    from tasks import schedules

    schedules.create("energy", "news-1", "What is new?", cron="0 9 * * 1-5", zone="Africa/Dakar")

Workers send them when they are due (tasks/beat/tick_sweep.py).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Unpack

from pydantic import JsonValue

from memory import CorruptData, Keyspace, SessionKeys, audit, index, users
from memory.ids import shown_id
from memory.mailbox import due_list, schedules
from memory.mailbox.schedules import KeptSchedule, scheduled_sessions
from memory.records.audit import Deed
from memory.redis.command import Command
from memory.redis.replies import strings
from tasks.errors import InvalidJob, LimitReached
from tasks.job.job import ChatJob
from tasks.job.options import ChatOptions
from tasks.job.rhythm import Rhythm
from tasks.job.schedule import Schedule, new_schedule_id
from tasks.process.services import producer_services
from tasks.submit.producer import producer

MAX_OF_SESSION = 100
MAX_SESSIONS = 10_000
"""So many sessions with schedules are listed, those that are due first."""
SOON_MS = 1000
_NOT_FOR_TICKS = ("idempotency_key", "not_before")


def create(
    agent_id: str,
    session_id: str,
    message: str,
    *,
    cron: str | None = None,
    every_s: int | None = None,
    zone: str = "UTC",
    **options: Unpack[ChatOptions],
) -> Schedule:
    """Have a message sent at each tick of a cron expression in a time zone, or at an interval.

    Each tick is a job of its own with these options, sent once. With `on_busy="reject"` a tick is
    skipped while the session has jobs. Of ticks that were missed, for no worker was there, only the
    last is sent. A schedule is kept, encrypted as all words are, until it is deleted or its session
    erased. Not safe to repeat: each call makes a schedule. Raises InvalidJob, LimitReached for more
    than 100 of a session, memory.MemoryServiceError.
    """
    refused = [name for name in _NOT_FOR_TICKS if options.get(name) is not None]
    if refused:
        raise InvalidJob(f"a schedule does not take {' or '.join(refused)}: its ticks have it")
    # Before anything is asked of Redis.
    rhythm = Rhythm.of(cron=cron, every_s=every_s, zone=zone)
    job = producer().checked((agent_id, session_id, message), options)
    kept = _options_of_ticks(job, options.get("expires"))
    now_s = producer_services().memory.run(index.server_time_ms()) / 1000
    rhythm = rhythm.model_copy(update={"begun_s": math.floor(now_s)})
    made = Schedule(
        schedule_id=new_schedule_id(),
        agent_id=agent_id,
        session_id=session_id,
        message=message,
        options=kept,
        rhythm=rhythm,
        after_s=now_s,
    )
    with _recorded(Deed.CREATE_SCHEDULE, made, user=job.user or ""):
        _keep(made, job.user)
    return made


def _options_of_ticks(job: ChatJob, expires: object) -> dict[str, JsonValue]:
    """The options of each tick; `expires` counts from its sending. Raises InvalidJob."""
    if not isinstance(expires, int | float | None):
        raise InvalidJob("a schedule takes expires as a number of seconds: each tick has its own")
    own = {"agent_id", "session_id", "message"}
    kept = job.model_dump(mode="json", exclude_defaults=True, exclude=own)
    return kept if expires is None else {**kept, "expires": expires}


@contextmanager
def _recorded(deed: Deed, schedule: Schedule, *, user: str = "") -> Iterator[None]:
    """Have an act in the audit, under the schedule's id."""
    services = producer_services()
    found = audit.recorded(
        services.memory,
        services.keyspace,
        deed,
        agent_id=schedule.agent_id,
        session_id=schedule.session_id,
        user=user,
        job_id=schedule.schedule_id,
    )
    with found:
        yield


def _keep(made: Schedule, user: str | None) -> None:
    services = producer_services()
    memory, keyspace = services.memory, services.keyspace
    keys = keyspace.session(made.agent_id, made.session_id)
    if memory.run(schedules.count(keys)) >= MAX_OF_SESSION:
        raise LimitReached(f"session {shown_id(made.session_id)} has {MAX_OF_SESSION} schedules")
    # The indexes first: what is there is found, and erased, by session and user.
    if user is not None:
        memory.run_all(*users.touch(keyspace, user, keys))
    memory.run_all(*index.touch(keyspace, made.agent_id, made.session_id))
    _look_soon(keys)
    memory.run(schedules.save(keys, made.schedule_id, made.pack()))


def every() -> list[Schedule]:
    """All schedules, those of the sessions whose next look is first. Raises
    memory.MemoryServiceError."""
    return [schedule for _, _, schedule in _kept()]


def find(schedule_id: str) -> Schedule:
    """The schedule with this id. Raises InvalidJob where there is none."""
    return _find(schedule_id)[2]


def delete(schedule_id: str) -> None:
    """Remove a schedule; a job that it has sent goes on. Raises InvalidJob."""
    keys, _, found = _find(schedule_id)
    with _recorded(Deed.DELETE_SCHEDULE, found):
        producer_services().memory.run(schedules.drop(keys, schedule_id))


def pause(schedule_id: str) -> None:
    """Send no more until `resume`. Safe to repeat. Raises InvalidJob."""
    with _recorded(Deed.PAUSE_SCHEDULE, find(schedule_id)):
        _change(schedule_id, lambda found, _: found.model_copy(update={"is_paused": True}))


def resume(schedule_id: str) -> None:
    """Go on with the next tick; those of the pause do not count as skipped. Safe to repeat. Raises
    InvalidJob."""

    def resumed(found: Schedule, now_s: float) -> Schedule:
        if not found.is_paused:
            return found
        return found.model_copy(update={"is_paused": False, "after_s": now_s})

    with _recorded(Deed.RESUME_SCHEDULE, find(schedule_id)):
        _change(schedule_id, resumed)


def next_ticks(schedule_id: str, number: int = 5) -> list[int]:
    """When the next ticks are, Unix time in seconds, as if it were not paused. Raises
    InvalidJob."""
    found = find(schedule_id)
    now_s = producer_services().memory.run(index.server_time_ms()) / 1000
    return list(islice(found.rhythm.after(now_s), number))


def _change(schedule_id: str, change: Callable[[Schedule, float], Schedule]) -> None:
    memory = producer_services().memory
    changed = 0
    while not changed:
        # Somebody may have written meanwhile: a tick, or another operator.
        keys, kept, found = _find(schedule_id)
        now_s = memory.run(index.server_time_ms()) / 1000
        changed = memory.run(schedules.change(keys, kept, change(found, now_s).pack()))
    _look_soon(keys)


def _look_soon(keys: SessionKeys) -> None:
    services = producer_services()
    due_key = services.keyspace.schedules
    services.memory.run(due_list.look(due_key, keys.history, delay_ms=SOON_MS))


def _find(schedule_id: str) -> tuple[SessionKeys, KeptSchedule, Schedule]:
    for found in _kept():
        if found[1].schedule_id == schedule_id:
            return found
    raise InvalidJob(f"there is no schedule {shown_id(schedule_id)}")


def _kept() -> Iterator[tuple[SessionKeys, KeptSchedule, Schedule]]:
    services = producer_services()
    key = scheduled_sessions(services.keyspace).due_key
    listed = services.memory.run(Command(strings, ("ZRANGE", key, 0, MAX_SESSIONS - 1)))
    for keys in _sessions(services.keyspace, listed):
        for kept in services.memory.run(schedules.every(keys)):
            yield keys, kept, Schedule.unpack(kept.packed)


def _sessions(keyspace: Keyspace, listed: list[bytes]) -> Iterator[SessionKeys]:
    for member in listed:
        try:
            yield keyspace.parse_history(member.decode(errors="replace"))
        except CorruptData:
            continue  # the list's own note of the time, or no session of ours
