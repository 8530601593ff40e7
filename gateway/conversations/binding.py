"""Which agent a conversation belongs to, and what is kept of it besides its session.

All of it lies in the session's data, under the conversation's own name, and is erased with it. The
agent is noted once, by whoever comes first; so of two first messages to different agents one is
refused.
"""

import asyncio
import time
from collections.abc import Callable
from hashlib import sha256

from pydantic import BaseModel, JsonValue, ValidationError

from gateway.access import Caller
from gateway.errors import ApiError, not_found
from gateway.messages import Message
from gateway.services import Gateway
from memory import SessionKeys, encode_message
from memory.records import history, index, values
from memory.records.codec import decode_value, encode_value

AGENT = "gateway.agent"
CONVERSATION = "gateway.conversation"
ITEMS = "gateway.items"
"""What was put into a conversation before it had an agent, and so a history."""
PUT = "put"
"""The field of such an item that names it."""
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
        await _move(gateway, gateway.keyspace.session(agent_id, session_id))
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
    """Keep what is known of a new conversation."""
    await save(gateway, session_id, {CONVERSATION: _packed(gateway, record)})


async def change(
    gateway: Gateway, session_id: str, metadata: dict[str, str]
) -> ConversationRecord | None:
    """Change what is kept of a conversation; None where nobody has made it, or it was deleted."""
    key = gateway.keyspace.session_data(session_id, CONVERSATION)
    while (stored := await gateway.memory.run(values.stored(key))) is not None:
        record = await conversation_of(gateway, session_id) or ConversationRecord()
        record = record.model_copy(update={"metadata": metadata})
        packed = _packed(gateway, record)
        put = values.put_in_place(gateway.keyspace, key, packed, of=stored)
        if await gateway.memory.run(put):
            return record
    return None


async def items_of(gateway: Gateway, session_id: str) -> list[Message]:
    """What was put into a conversation that has no agent yet."""
    key = gateway.keyspace.session_data(session_id, ITEMS)
    return _messages(await gateway.memory.run(values.load(gateway.keyspace, key)))


async def change_items(
    gateway: Gateway, session_id: str, changed: Callable[[list[Message]], list[Message]]
) -> list[Message]:
    """Change what was put into a conversation that has no agent yet: what it is now. Of several at
    once each changes what the others have left; so `changed` may be asked more than once."""
    keyspace, most_bytes = gateway.keyspace, gateway.griot.memory.max_value_bytes
    key = keyspace.session_data(session_id, ITEMS)
    await save(gateway, session_id, {ITEMS: encode_value([], most_bytes, what="items")})
    while True:
        stored = await gateway.memory.run(values.stored(key))
        if stored is None:  # it was deleted meanwhile
            raise not_found("conversation", session_id)
        items = changed(_messages(decode_value(values.decrypted(keyspace, key, stored), what=key)))
        packed = encode_value(items, most_bytes, what="items")
        if await gateway.memory.run(values.put_in_place(keyspace, key, packed, of=stored)):
            return items


def _messages(found: JsonValue) -> list[Message]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


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
        keep=memory.held_messages,
        most_bytes=memory.held_bytes,
        ttl_s=gateway.griot.ttl_of(keys.agent_id),
        is_exact=False,
    )
    touched = index.touch(gateway.keyspace, keys.agent_id, keys.session_id)
    await gateway.memory.run_all(write, *touched)


async def _move(gateway: Gateway, keys: SessionKeys) -> None:
    """Let the history begin with what was put into the conversation before it had an agent.

    Each item has a name by which it is moved once, however many move it; what is put there
    meanwhile stays until the next message.
    """
    moved: list[JsonValue] = []

    def without_moved(items: list[Message]) -> list[Message]:
        return [one for one in items if one.get(PUT) not in moved]

    for number, item in enumerate(await items_of(gateway, keys.session_id)):
        name = item.get(PUT) or f"item {number} of {keys.session_id}"
        await append(gateway, keys, [item], once=str(name))
        moved.append(item.get(PUT))
    await change_items(gateway, keys.session_id, without_moved)


def _packed(gateway: Gateway, record: ConversationRecord) -> bytes:
    given = record.model_dump()
    return encode_value(given, gateway.griot.memory.max_value_bytes, what="the conversation")
