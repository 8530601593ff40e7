"""From a request to a job in the mailbox of its session."""

import time
import uuid

import orjson

from gateway.access import Caller
from gateway.conversations.binding import bind
from gateway.errors import ApiError
from gateway.messages import said
from gateway.models import Target, target_of
from gateway.responses import record
from gateway.responses.answered import check_answered
from gateway.responses.branching import session_after
from gateway.responses.record import ResponseRecord
from gateway.responses.request import ResponseRequest
from gateway.responses.shape import Known
from gateway.services import Gateway
from memory import events
from memory.records.events import FROM_START
from memory.records.users import USER_ID
from tasks import aio
from tasks.job.due_time import unix_time

PREFIX = "resp_"
_NAMESPACE = uuid.UUID("b6c1e7b2-6f0e-5c57-9b0e-6772696f7434")


def new_id(caller: Caller, idempotency_key: str | None, *, prefix: str) -> str:
    """The id of a new response: the same for the same key of the same owner."""
    if idempotency_key is None:
        return prefix + uuid.uuid4().hex
    named = orjson.dumps([caller.owner, idempotency_key]).decode()
    return prefix + uuid.uuid5(_NAMESPACE, named).hex


def user_id(caller: Caller, user: str | None) -> str | None:
    """Whom a job counts for: the key's holder, or the user that it names among its own."""
    if not caller.owner:
        return user
    return f"{caller.name}~{user}" if user else caller.name


async def send(
    gateway: Gateway,
    caller: Caller,
    request: ResponseRequest,
    idempotency_key: str | None,
    *,
    prefix: str = PREFIX,
    param: str = "input",
) -> Known:
    """Take a job in for a request, whose field `param` has the input. With an idempotency key it is
    safe to repeat. Raises ApiError, and what `tasks.aio.send` raises.
    """
    request.check()
    target = target_of(gateway.griot, caller, request.model)
    told, options = said(request.input, param=param), request.options()
    key = request.griot.idempotency_key or idempotency_key
    response_id = new_id(caller, key, prefix=prefix)
    session_id = await _session(gateway, caller, target, request, response_id)
    keys = gateway.keyspace.session(target.agent_id, session_id)
    await check_answered(gateway, keys, told.answered, response_id, param=param)
    after = await _cursor(gateway, target, session_id, is_new=session_id.endswith(response_id))
    user = user_id(caller, request.safety_identifier or request.user)
    options["model"] = target.model
    options["images"] = told.images or None
    options["webhook"] = request.griot.webhook or caller.webhook
    options["preceding"] = told.preceding or None
    options["metadata"] = None if user is None else {USER_ID: user}
    await aio.send(
        target.agent_id,
        session_id,
        told.text,
        task_id=response_id,
        sender=caller.sender,
        **options,
    )
    asked = _recorded(request, after, is_repeatable=key is not None)
    kept = await record.save(gateway, session_id, response_id, asked)
    conversation = caller.conversation(session_id) or session_id
    return Known(response_id, target.agent_id, conversation, kept)


async def _session(
    gateway: Gateway, caller: Caller, target: Target, request: ResponseRequest, response_id: str
) -> str:
    """The session of Griot that the message goes to."""
    if (conversation := request.conversation_id) is not None:
        return await bind(gateway, caller, conversation, target.agent_id)
    own = caller.session(response_id)
    if request.previous_response_id is None:
        return own
    return await session_after(
        gateway,
        caller,
        request.previous_response_id,
        gateway.keyspace.session(target.agent_id, own),
        always_branches=not request.store,
    )


async def _cursor(gateway: Gateway, target: Target, session_id: str, *, is_new: bool) -> str:
    """A place in the session's event stream before all events of the job."""
    if is_new:
        return FROM_START
    keys = gateway.keyspace.session(target.agent_id, session_id)
    return await gateway.memory.run(events.last_cursor(keys.events))


def _recorded(request: ResponseRequest, after: str, *, is_repeatable: bool) -> ResponseRecord:
    return ResponseRecord(
        is_repeatable=is_repeatable,
        created_at=round(time.time(), 3),
        after=after,
        model=request.model,
        conversation=request.conversation_id,
        previous_response_id=request.previous_response_id,
        background=request.background,
        store=request.store,
        metadata=request.metadata or {},
        instructions=request.instructions,
        temperature=request.temperature,
        max_output_tokens=request.max_output_tokens,
        text=request.text,
        reasoning=None if request.reasoning is None else request.reasoning.model_dump(),
        tools=None if request.tools is None else [*request.tools],
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls is not False,
        top_p=request.top_p,
        user=request.safety_identifier or request.user,
        cancel_policy=request.griot.cancel_policy,
        not_before=due_at(request),
    )


def due_at(request: ResponseRequest) -> float | None:
    """When a response is to be begun, Unix time, seconds; None: now."""
    given = request.griot.not_before
    return None if given is None else unix_time(given, what="griot.not_before")


def check_header(idempotency_key: str | None) -> str | None:
    """The header `Idempotency-Key`. Raises ApiError for one that is too long or empty."""
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= 256:
        raise ApiError(400, "Idempotency-Key must have 1 to 256 characters.")
    return idempotency_key
