"""Which agent a conversation belongs to, and what is kept of it besides its session.

All of it lies in the session's data, under the conversation's own name, and is erased with it. The
agent is noted once, by whoever comes first; so of two first messages to different agents one is
refused.
"""

import asyncio
import time
from hashlib import sha256

from pydantic import BaseModel, ValidationError

from gateway.access import Caller
from gateway.errors import ApiError
from gateway.messages import Message
from gateway.services import Gateway
from memory import SessionKeys, encode_message
from memory.records import history, index, values
from memory.records.codec import encode_value

AGENT = "gateway.agent"
CONVERSATION = "gateway.conversation"
ITEMS = "gateway.items"
"""What was put into a conversation before it had an agent, and so a history."""
NAMES = (AGENT, CONVERSATION, ITEMS)


class ConversationRecord(BaseModel):
    """What is kept of a conversation; `created_at` is Unix time in seconds."""

    created_at: int = 0
    metadata: dict[str, str] = {}


async def bind(gateway: Gateway, caller: Caller, conversation: str, agent_id: str) -> str:
    """The session of a conversation, for a message to this agent; it is made where it is missing.

    Safe to repeat. Raises ApiError where it belongs to another agent.
    """
    session_id = caller.session(conversation)
    noted = encode_value(agent_id, gateway.griot.memory.max_value_bytes, what="agent")
    about = _packed(gateway, ConversationRecord(created_at=int(time.time())))
    # In one trip, in this order; where that is repeated, the agent may have been read too soon.
    _, found, items = await asyncio.gather(
        save(gateway, session_id, {AGENT: noted, CONVERSATION: about}),
        agent_of(gateway, session_id),
        items_of(gateway, session_id),
    )
    found = found or await agent_of(gateway, session_id)
    if found != agent_id:
        raise ApiError(
            400, f"The conversation belongs to the agent {found!r}.", param="conversation"
        )
    if items:
        await _move(gateway, gateway.keyspace.session(agent_id, session_id), items)
    return session_id


async def agent_of(gateway: Gateway, session_id: str) -> str | None:
    """The agent that a conversation belongs to; None where it has none yet."""
    key = gateway.keyspace.session_data(session_id, AGENT)
    found = await gateway.memory.run(values.load(gateway.keyspace, key))
    return found if isinstance(found, str) else None


async def conversation_of(gateway: Gateway, session_id: str) -> ConversationRecord | None:
    """What is kept of a conversation; None where nobody has made it."""
    key = gateway.keyspace.session_data(session_id, CONVERSATION)
    found = await gateway.memory.run(values.load(gateway.keyspace, key))
    if found is None:
        return None
    try:
        return ConversationRecord.model_validate(found)
    except ValidationError:  # of another program
        return ConversationRecord()


async def note(gateway: Gateway, session_id: str, record: ConversationRecord) -> None:
    """Keep what is known of a conversation, in place of what was kept."""
    await save(gateway, session_id, {CONVERSATION: _packed(gateway, record)}, is_new=False)


async def items_of(gateway: Gateway, session_id: str) -> list[Message]:
    """What was put into a conversation that has no agent yet."""
    key = gateway.keyspace.session_data(session_id, ITEMS)
    found = await gateway.memory.run(values.load(gateway.keyspace, key))
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


async def put_items(gateway: Gateway, session_id: str, messages: list[Message]) -> None:
    """Keep what is put into a conversation that has no agent yet."""
    packed = encode_value(messages, gateway.griot.memory.max_value_bytes, what="items")
    await save(gateway, session_id, {ITEMS: packed}, is_new=False)


async def save(
    gateway: Gateway, session_id: str, encoded: dict[str, bytes], *, is_new: bool = True
) -> None:
    """Write values of a session's data, for as long as the session lives; with `is_new` only where
    there are none."""
    keyspace, ttl_s = gateway.keyspace, gateway.griot.memory.default_ttl_s
    write = values.save_new if is_new else values.save
    names = list(encoded)
    # The index first: data without an index entry could not be found again to be removed.
    note_them = values.note_fields(keyspace, session_id, names, ttl_s=ttl_s, is_exact=True)
    writes = [
        write(keyspace, keyspace.session_data(session_id, name), packed, ttl_s=ttl_s, is_own=False)
        for name, packed in encoded.items()
    ]
    await gateway.memory.run_all(note_them, *writes)


async def append(
    gateway: Gateway, keys: SessionKeys, messages: list[Message], *, once: str
) -> None:
    """Put messages at the end of a history; within ten minutes the same `once` acts once."""
    memory = gateway.griot.memory
    write = history.append(
        keys,
        [encode_message(one, memory.max_value_bytes) for one in messages],
        write_id=sha256(once.encode()).digest()[:12],
        keep=memory.history_max_messages,
        most_bytes=memory.history_max_bytes,
        ttl_s=memory.default_ttl_s,
        is_exact=False,
    )
    touched = index.touch(gateway.keyspace, keys.agent_id, keys.session_id)
    await gateway.memory.run_all(write, *touched)


async def _move(gateway: Gateway, keys: SessionKeys, items: list[Message]) -> None:
    """Let the history begin with what was put into the conversation before it had an agent."""
    await append(gateway, keys, items, once=f"items of {keys.session_id}")
    await gateway.memory.run(values.remove(gateway.keyspace.session_data(keys.session_id, ITEMS)))


def _packed(gateway: Gateway, record: ConversationRecord) -> bytes:
    given = record.model_dump()
    return encode_value(given, gateway.griot.memory.max_value_bytes, what="the conversation")
