"""The items of a conversation: the messages of its session, under ids that stay."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from pydantic import JsonValue

from gateway.access import Caller
from gateway.conversations import binding
from gateway.errors import ApiError, not_found
from gateway.messages import Message, as_item
from gateway.services import Gateway
from memory import Mailbox, SessionKeys
from memory.records import history
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
        before = await binding.items_of(gateway, place.session_id)
        await binding.put_items(gateway, place.session_id, [*before, *messages])
    else:
        await _check_idle(gateway, place.keys)
        await binding.append(gateway, place.keys, messages, once=once)
    return (await items_at(gateway, place))[-len(messages) :]


async def remove(gateway: Gateway, place: Place, item_id: str) -> None:
    """Remove an item. Raises ApiError where there is none, or while a message is answered."""
    if place.keys is None:
        kept = await binding.items_of(gateway, place.session_id)
        at = _place(kept, item_id)
        await binding.put_items(gateway, place.session_id, [*kept[:at], *kept[at + 1 :]])
        return
    await _check_idle(gateway, place.keys)
    elements = await gateway.memory.run(history.stored(place.keys, at_most=MAX_HISTORY))
    read = history.decode(place.keys, elements)
    element = elements[read.places[_place(read.messages, item_id)]]
    await gateway.memory.run(history.remove_one(place.keys, element))


def items_of(messages: Sequence[Mapping[str, JsonValue]]) -> list[dict[str, object]]:
    """Messages of a history as items."""
    found = [as_item(one, item_id) for one, item_id in zip(messages, ids_of(messages), strict=True)]
    return [one for one in found if one is not None]


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


def _place(messages: Sequence[Mapping[str, JsonValue]], item_id: str) -> int:
    ids = ids_of(messages)
    shown = [at for at, one in enumerate(messages) if as_item(one, "") is not None]
    at = next((at for at in shown if ids[at] == item_id), None)
    if at is None:
        raise not_found("item", item_id)
    return at


async def _check_idle(gateway: Gateway, keys: SessionKeys) -> None:
    # Else it would stand between two turns that are not there yet.
    if await gateway.memory.run(Mailbox(gateway.keyspace, keys).pending()):
        raise ApiError(
            409, "A message of this conversation is being answered.", code="conversation_locked"
        )
