"""Going on from an earlier response: in its session where it is the last, or in one of its own."""

import hashlib

from gateway.access import Caller
from gateway.errors import ApiError, not_found
from gateway.services import Gateway
from memory import Mailbox, SessionKeys, encode_message, locate
from memory.records import history

MAX_HISTORY = 100_000


async def session_after(
    gateway: Gateway,
    caller: Caller,
    previous_id: str,
    own: SessionKeys,
    *,
    always_branches: bool = False,
) -> str:
    """The session in which a message follows the response `previous_id`.

    That of the response where it is the last of its session; else `own`, a new one, which begins
    with what the other said up to there. Safe to repeat.
    """
    keys = await gateway.memory.run(locate(gateway.keyspace, previous_id))
    if keys is None or caller.conversation(keys.session_id) is None:
        raise not_found("response", previous_id)
    if keys.agent_id != own.agent_id:
        raise ApiError(
            400,
            f"The response belongs to the agent {keys.agent_id!r}.",
            param="previous_response_id",
        )
    if await gateway.memory.run(locate(gateway.keyspace, _response_of(own))) is not None:
        return own.session_id  # this request was sent before
    mailbox = Mailbox(gateway.keyspace, keys)
    pending = await gateway.memory.run(mailbox.pending())
    said = await gateway.memory.run(history.read(keys, at_most=MAX_HISTORY))
    last = pending[-1] if pending else next((one.get("job_id") for one in said.messages[-1:]), None)
    if last == previous_id and not always_branches:
        return keys.session_id
    at = max(
        (at for at, one in enumerate(said.messages) if one.get("job_id") == previous_id), default=-1
    )
    if at < 0:
        raise ApiError(
            400,
            "The response has no turn to go on from: it runs still, has failed, or was deleted.",
            param="previous_response_id",
        )
    limit_bytes = gateway.griot.memory.max_value_bytes
    records = [encode_message(one, limit_bytes) for one in said.messages[: at + 1]]
    write_id = hashlib.sha256(own.session_id.encode()).digest()[:12]
    copy = history.replace(
        own, records, write_id=write_id, ttl_s=gateway.griot.memory.default_ttl_s
    )
    await gateway.memory.run(copy)
    return own.session_id


def _response_of(own: SessionKeys) -> str:
    """The response that a session of one response is called after."""
    return own.session_id.rpartition("~")[2]
