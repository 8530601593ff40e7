"""Going on from an earlier response: in its session where it is the last, or in one of its own."""

import hashlib
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

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
    keys = await _session_of(gateway, caller, previous_id, own.agent_id)
    sent = await gateway.memory.run(locate(gateway.keyspace, _response_of(own)))
    if sent is not None:
        return sent.session_id  # this request was sent before, and is where it was sent to then
    pending = await gateway.memory.run(Mailbox(gateway.keyspace, keys).pending())
    said = (await gateway.memory.run(history.read(keys, at_most=MAX_HISTORY))).messages
    last = pending[-1] if pending else next((one.get("job_id") for one in said[-1:]), None)
    if last == previous_id and not always_branches:
        return keys.session_id
    of_turn = [at for at, one in enumerate(said) if one.get("job_id") == previous_id]
    if not of_turn:
        raise ApiError(
            400,
            "The response has no turn to go on from: it runs still, has failed, or was deleted.",
            param="previous_response_id",
        )
    await _copy(gateway, own, said[: of_turn[-1] + 1])
    return own.session_id


async def _session_of(
    gateway: Gateway, caller: Caller, response_id: str, agent_id: str
) -> SessionKeys:
    keys = await gateway.memory.run(locate(gateway.keyspace, response_id))
    if keys is None or caller.conversation(keys.session_id) is None:
        raise not_found("response", response_id)
    if keys.agent_id != agent_id:
        raise ApiError(
            400,
            f"The response belongs to the agent {keys.agent_id!r}.",
            param="previous_response_id",
        )
    return keys


async def _copy(
    gateway: Gateway, own: SessionKeys, messages: Sequence[Mapping[str, JsonValue]]
) -> None:
    """Let a session begin with these messages; twice within ten minutes acts once."""
    memory = gateway.griot.memory
    records = [encode_message(one, memory.max_value_bytes) for one in messages]
    write_id = hashlib.sha256(own.session_id.encode()).digest()[:12]
    copy = history.replace(
        own, records, write_id=write_id, ttl_s=gateway.griot.ttl_of(own.agent_id)
    )
    await gateway.memory.run(copy)


def _response_of(own: SessionKeys) -> str:
    """The response that a session of one response is called after."""
    return own.session_id.rpartition("~")[2]
