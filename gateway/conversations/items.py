"""The items of a conversation: the messages of its session, under ids that stay."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from pydantic import JsonValue

from gateway.access import Caller
from gateway.conversations import binding
from gateway.conversations.binding import PUT
from gateway.errors import ApiError, not_found
from gateway.history_items import as_items, without_item
from gateway.messages import Message
from gateway.services import Gateway
from memory import Mailbox, SessionKeys, encode_message
from memory.records import history
from memory.records.swap import Swap, swap_elements
from tasks.job.preceding import BEFORE

MAX_HISTORY = 100_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where the items of a conversation are: in the history of its session, or, before it has an
    agent, in its data (`keys` is None)."""

    session_id: str
    keys: SessionKeys | None


async def place_of(gateway: Gateway, caller: Caller, conversation: str) -> Place:
    """Where a conversation's items are. Raises ApiError 404 where nobody has made it."""
    session_id = caller.session(conversation)
    if await binding.conversation_of(gateway, session_id) is None:
        raise not_found("conversation", conversation)
    agent_id = await binding.agent_of(gateway, session_id)
    if agent_id is None:
        return Place(session_id, None)
    caller.check_agent(agent_id)
    return Place(session_id, gateway.keyspace.session(agent_id, session_id))


async def items_at(gateway: Gateway, place: Place) -> list[dict[str, object]]:
    """All items, the oldest first."""
    if place.keys is None:
        return items_of(await binding.items_of(gateway, place.session_id))
    read = history.read(place.keys, at_most=MAX_HISTORY)
    return items_of((await gateway.memory.run(read)).messages)


async def add(
    gateway: Gateway, place: Place, messages: list[Message], *, once: str
) -> list[dict[str, object]]:
    """Put items at the end. Raises ApiError while a message of the conversation is answered."""
    if place.keys is None:
        named: list[Message] = [{**one, PUT: uuid.uuid4().hex} for one in messages]
        await binding.change_items(gateway, place.session_id, lambda before: [*before, *named])
        return items_of(named)
    await _check_idle(gateway, place.keys)
    await binding.append(gateway, place.keys, messages, once=once)
    count = len(items_of(messages))
    return (await items_at(gateway, place))[-count:] if count else []


async def remove(gateway: Gateway, place: Place, item_id: str) -> None:
    """Remove an item. Raises ApiError where there is none, or while a message is answered."""
    if place.keys is None:
        await binding.change_items(
            gateway, place.session_id, lambda before: _without(before, item_id)
        )
        return
    await _check_idle(gateway, place.keys)
    elements = await gateway.memory.run(history.stored(place.keys, at_most=MAX_HISTORY))
    read = history.decode(place.keys, elements)
    at, left = _found(read.messages, item_id)
    where = read.places[at]
    if left is None:
        await gateway.memory.run(history.remove_one(place.keys, elements[where]))
        return
    encoded = encode_message(left, gateway.griot.memory.max_value_bytes)
    (changed,) = history.encrypted(place.keys, [encoded])
    swap = Swap(where, elements[where], changed)
    await gateway.memory.run(swap_elements(place.keys.history, [swap]))


def items_of(messages: Sequence[Mapping[str, JsonValue]]) -> list[dict[str, object]]:
    """Messages of a history as items."""
    named = zip(messages, ids_of(messages), strict=True)
    return [item for one, item_id in named for item in as_items(one, item_id)]


def ids_of(messages: Sequence[Mapping[str, JsonValue]]) -> list[str]:
    """The id of each message as an item: made of its job's id and its part in it, or else of what
    it says, so that it stays where older messages go."""
    brought: Counter[object] = Counter()
    return [_id_of(one, brought) for one in messages]


def _id_of(message: Mapping[str, JsonValue], brought: Counter[object]) -> str:
    job_id, before = message.get("job_id"), message.get(BEFORE)
    is_question = message.get("role") == "user"
    if isinstance(before, str) or (isinstance(job_id, str) and is_question):
        number = brought[before or job_id]
        brought[before or job_id] += 1
        return f"msg_{before or job_id}_in_{number}"
    if isinstance(job_id, str):
        return f"msg_{job_id}"
    said = repr(sorted(message.items(), key=lambda one: one[0])).encode(errors="replace")
    digest = blake2b(said, digest_size=12).hexdigest()
    brought[digest] += 1
    return f"msg_{digest}" if brought[digest] == 1 else f"msg_{digest}_{brought[digest]}"


def _found(
    messages: Sequence[Mapping[str, JsonValue]], item_id: str
) -> tuple[int, Mapping[str, JsonValue] | None]:
    """Where the message of an item is, and what is left of it without this one: None, nothing."""
    for at, (message, own_id) in enumerate(zip(messages, ids_of(messages), strict=True)):
        if any(item["id"] == item_id for item in as_items(message, own_id)):
            return at, without_item(message, own_id, item_id)
    raise not_found("item", item_id)


def _without(messages: list[Message], item_id: str) -> list[Message]:
    at, left = _found(messages, item_id)
    return [*messages[:at], *([] if left is None else [dict(left)]), *messages[at + 1 :]]


async def _check_idle(gateway: Gateway, keys: SessionKeys) -> None:
    # Else it would stand between two turns that are not there yet.
    if await gateway.memory.run(Mailbox(gateway.keyspace, keys).pending()):
        raise ApiError(
            409, "A message of this conversation is being answered.", code="conversation_locked"
        )
