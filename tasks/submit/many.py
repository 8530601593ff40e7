"""Many jobs at once: sessions side by side, the jobs of one session one after the other.

Commands that coroutines send at the same moment share a pipeline (`memory.redis.async_connection`),
so a thousand sessions cost a handful of round trips, while no job can overtake another of its own
session: it is sent when the one before it is in.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from memory import Backpressure, MemoryFull, MemoryServiceError, MemoryUnavailable
from tasks.errors import (
    ChatError,
    InvalidJob,
    JobConflict,
    LimitReached,
    NotAccepted,
    QuotaExceeded,
)
from tasks.job.job import ChatJob
from tasks.process.redis_clock import redis_clock_s
from tasks.submit.producer import producer

SESSIONS_AT_ONCE = 1000
"""Sessions whose jobs are on their way at the same time; of more than a pipeline holds, each
waits for its turn in the client."""


class SendOutcome(StrEnum):
    """What became of one of many jobs that were sent."""

    ACCEPTED = "accepted"
    """It is in its session's mailbox, perhaps since an earlier try with the same id."""
    CONFLICT = "conflict"
    """Its id is another request's: JobConflict."""
    FULL = "full"
    """There is no room for it now: Backpressure, LimitReached, QuotaExceeded or MemoryFull."""
    REFUSED = "refused"
    """It cannot be taken in as it is, such as InvalidJob or SessionBusy."""
    UNKNOWN = "unknown"
    """Redis did not confirm it, NotAccepted: send it again under the same id."""
    HELD_BACK = "held_back"
    """It was not sent, because one before it in its session is full or unknown."""


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """The answer to one job of `send_many`."""

    outcome: SendOutcome
    job_id: str
    """The id under which it was, or would have been, sent; "" for one that is not a job."""
    error: Exception | None = None
    """Why it is not in; None where it is, and where it was held back."""


@dataclass(slots=True)
class _ToSend:
    at: int
    job: ChatJob = field(repr=False)
    job_id: str


Send = Callable[[ChatJob, str], Awaitable[object]]
"""Sends one job under an id, and raises what `tasks.aio.send` raises."""


async def send_in_order(jobs: Iterable[Mapping[str, object]], send: Send) -> list[SendAnswer]:
    """Send jobs, each described as for `tasks.send_many`; the answers in the order of the jobs."""
    answers: dict[int, SendAnswer] = {}
    sessions: dict[tuple[str, str], list[_ToSend]] = defaultdict(list)
    for at, described in enumerate(jobs):
        found = _checked(at, described)
        if isinstance(found, SendAnswer):
            answers[at] = found
        else:
            sessions[found.job.agent_id, found.job.session_id].append(found)
    # Started by as many coroutines as may be under way, not by one for each session.
    waiting = iter(sessions.values())
    senders = min(SESSIONS_AT_ONCE, len(sessions))
    async with asyncio.TaskGroup() as group:
        for _ in range(senders):
            group.create_task(_send_sessions(waiting, send, answers))
    return [answers[at] for at in range(len(answers))]


def _checked(at: int, described: object) -> _ToSend | SendAnswer:
    if not isinstance(described, Mapping):
        error = InvalidJob(f"a job must be an object, not {type(described).__name__}")
        return SendAnswer(SendOutcome.REFUSED, "", error)
    arguments = dict(described)
    task_id = arguments.pop("task_id", None)
    try:
        if not isinstance(task_id, str | None):
            raise InvalidJob(f"task_id must be text, not {type(task_id).__name__}")
        job = producer().checked((), arguments, clock=redis_clock_s)
        # Known before it is sent: without its id, an unconfirmed job could not be sent again.
        if task_id is None and job.idempotency_key is None:
            task_id = str(uuid.uuid4())
        return _ToSend(at, job, job.job_id(task_id))
    except InvalidJob as exc:
        return SendAnswer(SendOutcome.REFUSED, task_id if isinstance(task_id, str) else "", exc)


async def _send_sessions(
    waiting: Iterator[list[_ToSend]], send: Send, answers: dict[int, SendAnswer]
) -> None:
    for jobs in waiting:
        is_held_back = False
        for one in jobs:
            if is_held_back:
                answers[one.at] = SendAnswer(SendOutcome.HELD_BACK, one.job_id)
                continue
            answer = answers[one.at] = await _answer(one, send)
            is_held_back = answer.outcome in (SendOutcome.FULL, SendOutcome.UNKNOWN)


async def _answer(one: _ToSend, send: Send) -> SendAnswer:
    try:
        await send(one.job, one.job_id)
    except (ChatError, MemoryServiceError) as exc:
        return SendAnswer(_outcome_of(exc), one.job_id, exc)
    return SendAnswer(SendOutcome.ACCEPTED, one.job_id)


def _outcome_of(error: Exception) -> SendOutcome:
    match error:
        case JobConflict():
            return SendOutcome.CONFLICT
        case Backpressure() | LimitReached() | QuotaExceeded() | MemoryFull():
            return SendOutcome.FULL
        case NotAccepted() | MemoryUnavailable():
            return SendOutcome.UNKNOWN
    return SendOutcome.REFUSED
