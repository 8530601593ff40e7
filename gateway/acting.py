"""What a gateway does to jobs and sessions in the name of who asked; the audit has that name."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from gateway.access import LOCAL, Caller
from memory import MemoryServiceError, audit
from memory.ids import shown_id
from tasks import CancelOutcome, ChatError, app, chat_task
from tasks.submit.erase import erase

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def cancelled(caller: Caller, job_id: str, policy: str | None) -> CancelOutcome:
    """Cancel a job. Raises what `chat_task.cancel` raises."""
    known = policy if policy in ("keep", "discard") else None
    return await acting(caller, lambda: chat_task.cancel(job_id, known))  # type: ignore[arg-type]  # one of them


async def erased_session(caller: Caller, agent_id: str, session_id: str) -> None:
    """Erase a session. Raises memory.MemoryServiceError."""
    await acting(caller, lambda: erase(app, agent_id, session_id))


async def acting(caller: Caller, act: Callable[[], T]) -> T:
    """The result of a blocking act, which runs in a thread and in the caller's name."""
    if caller.name == LOCAL.name and not caller.owner:
        return await asyncio.to_thread(act)
    with audit.acting_as(caller.name):
        return await asyncio.to_thread(act)


async def gave_up(
    caller: Caller, job_id: str, policy: str | None, temporary: tuple[str, str] | None
) -> None:
    """Cancel the job of a client that has left, and erase its session where that is `temporary`
    (its agent, and the session). A failure is logged: nobody is there to be told."""
    try:
        await cancelled(caller, job_id, policy)
        if temporary is not None:
            await erased_session(caller, *temporary)
    except (ChatError, MemoryServiceError) as exc:
        logger.warning(
            "job %s of a client that has left is not cancelled, and goes on: %s",
            shown_id(job_id),
            exc,
        )
