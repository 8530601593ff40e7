"""What becomes of a response: its job's events, in OpenAI's words, from any process."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.access import Caller
from gateway.doors.answers import server_sent
from gateway.errors import ApiError, body_of, not_found
from gateway.responses import record
from gateway.responses.fold import ResponseFold
from gateway.responses.shape import Known
from gateway.services import Gateway
from memory import CursorExpired, Event, EventType, MemoryServiceError
from memory.records.events import FROM_START
from tasks import ChatError, JobFailed, aio
from tasks.submit.standing import JobState, Standing

FROM_FIRST = -1
"""The number before that of a stream's first event."""


async def find(gateway: Gateway, caller: Caller, response_id: str) -> tuple[Standing, Known]:
    """A response of this caller, and where its job is. Raises ApiError 404."""
    standing = await aio.look(response_id)
    if standing is None:
        raise not_found("response", response_id)
    conversation = caller.conversation(standing.keys.session_id)
    if conversation is None:
        raise not_found("response", response_id)
    caller.check_agent(standing.keys.agent_id)
    kept = await record.load(gateway, standing.keys.session_id, response_id)
    if kept.is_deleted:
        raise not_found("response", response_id)
    return standing, Known(response_id, standing.keys.agent_id, conversation, kept)


async def as_it_is(standing: Standing, known: Known) -> dict[str, object]:
    """The response as it is now."""
    match standing.state:
        case JobState.SCHEDULED | JobState.WAITING:
            return known.response("queued")
        case JobState.RUNNING:
            return known.response("in_progress")
    return await ended(known)


async def ended(known: Known) -> dict[str, object]:
    """The response once its job is over; waits for that."""
    fold = ResponseFold(known)
    async with aclosing(job_pages(known)) as found:
        async for page in found:
            for event in page:
                fold.take(event)
    if fold.final is None:
        raise JobFailed("the events of a job have ended without its last one")
    return fold.final


async def job_pages(known: Known) -> AsyncGenerator[list[Event], None]:
    """The events of a response's job to its end, and those of the job that it was merged into: in
    lists of what came at once, none of them empty.

    Where its first events are gone it has what is left of them.
    """
    job_id: str | None = known.response_id
    after: str | None = known.record.after
    while job_id is not None:
        into: str | None = None
        async with aclosing(_pages_of(job_id, after)) as found:
            async for page in found:
                if page[-1].type is EventType.MERGED:
                    into = str(page.pop().data.get("into", ""))
                if page:
                    yield page
        job_id = into


async def _pages_of(job_id: str, after: str | None) -> AsyncGenerator[list[Event], None]:
    start = None if after == FROM_START else after
    has_any = False
    while True:
        try:
            async with aclosing(aio.follow_job_pages(job_id, start)) as found:
                async for page in found:
                    has_any = True
                    yield page
            return
        except CursorExpired:
            if has_any or start is None:
                raise
            start = None
        except JobFailed as error:
            yield [Event(EventType.FAILED, job_id, 0, data={"error": str(error)})]
            return


async def pieces(known: Known, *, starting_after: int = FROM_FIRST) -> AsyncGenerator[bytes, None]:
    """The stream of a response as it is sent, from behind the event with that number: a piece for
    what came at once."""
    fold = ResponseFold(known)
    last = max(starting_after, 0)
    try:
        async with aclosing(job_pages(known)) as found:
            async for page in found:
                if told := fold.packed(page, starting_after):
                    last = fold.number
                    yield told
    except (ChatError, MemoryServiceError) as error:
        # The head was sent long ago: so the stream says it. It has the number of the last event,
        # for a client that goes on behind the last number it has seen must miss none.
        said = {**body_of(error)["error"], "type": "error", "sequence_number": last}
        yield server_sent(said, "error")


async def check_resumable(known: Known, starting_after: int) -> None:
    """Raise ApiError where a stream can no longer go on from there, for its first events are gone,
    by which all are counted."""
    if starting_after == FROM_FIRST:
        return
    async with aclosing(job_pages(known)) as found:
        async for page in found:
            if page[0].type in (EventType.SCHEDULED, EventType.QUEUED):
                return
            break
    raise ApiError(
        400,
        "The events of this response are no longer kept; retrieve it without stream.",
        code="events_expired",
        param="starting_after",
    )
