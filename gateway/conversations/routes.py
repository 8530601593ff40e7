"""The routes of conversations."""

import asyncio
import time
import uuid
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gateway.access import Caller, Eraser, Reader, Shared, Writer
from gateway.acting import erased_session
from gateway.conversations import binding, items
from gateway.conversations.binding import ConversationRecord
from gateway.conversations.items import Place
from gateway.errors import not_found
from gateway.messages import messages_of
from gateway.paging import Page, page_of
from gateway.requests import Metadata
from gateway.services import Gateway
from memory.records import values
from memory.records.session_data import MAX_FIELDS
from tasks.submit.erase import agents_in_archive

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])
ConversationId = Annotated[str, Path(max_length=400)]
ItemId = Annotated[str, Path(max_length=600)]
Items = Annotated[list[dict[str, JsonValue]], Field(max_length=20)]
OURS = "gateway."
"""The begin of the names of what the gateway keeps in a session's data."""


class NewConversation(BaseModel):
    """A conversation, perhaps with what was said before."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    items: Items | None = None
    metadata: Metadata | None = None


class Changes(BaseModel):
    """What is changed of a conversation."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    metadata: Metadata


class NewItems(BaseModel):
    """Items for a conversation."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    items: Annotated[Items, Field(min_length=1)]


@router.post("")
async def create_conversation(
    gateway: Shared, caller: Writer, asked: NewConversation | None = None
) -> dict[str, object]:
    """Make a conversation. It belongs to the agent of its first response."""
    asked = asked or NewConversation()
    conversation = f"conv_{uuid.uuid4().hex}"
    session_id = caller.session(conversation)
    given = messages_of(asked.items or (), "items")
    record = ConversationRecord(created_at=int(time.time()), metadata=asked.metadata or {})
    await binding.note(gateway, session_id, record)
    if given:
        await items.add(gateway, Place(session_id, None), given, once=conversation)
    return _shown(conversation, record)


@router.get("/{conversation}")
async def retrieve_conversation(
    conversation: ConversationId, gateway: Shared, caller: Reader
) -> dict[str, object]:
    """A conversation."""
    return _shown(conversation, await _found(gateway, caller, conversation))


@router.post("/{conversation}")
async def update_conversation(
    conversation: ConversationId, changes: Changes, gateway: Shared, caller: Writer
) -> dict[str, object]:
    """Change the metadata of a conversation."""
    session_id = caller.session(conversation)
    changed = await binding.change(gateway, session_id, changes.metadata)
    if changed is None:
        raise not_found("conversation", conversation)
    return _shown(conversation, changed)


@router.delete("/{conversation}")
async def delete_conversation(
    conversation: ConversationId, gateway: Shared, caller: Eraser
) -> dict[str, object]:
    """Erase all of a conversation: what was said, what runs, and what was kept of it."""
    session_id = caller.session(conversation)
    agent_id = await binding.agent_of(gateway, session_id)
    agents = [] if agent_id is None else [agent_id]
    if await binding.conversation_of(gateway, session_id) is None:
        # What was said in it may be in the archive still, which has none of its data.
        agents = await asyncio.to_thread(agents_in_archive, session_id)
        if not agents:
            raise not_found("conversation", conversation)
    for one in agents:
        caller.check_agent(one)
    for one in agents:
        await erased_session(caller, one, session_id)
    # The data of a session that several agents have stays; what is ours of it goes.
    keyspace = gateway.keyspace
    found = await gateway.memory.run(values.field_names(keyspace, session_id, at_most=MAX_FIELDS))
    ours = [keyspace.session_data(session_id, name) for name in found if name.startswith(OURS)]
    await asyncio.gather(*(gateway.memory.run(values.remove(key)) for key in ours))
    return {"id": conversation, "object": "conversation.deleted", "deleted": True}


@router.get("/{conversation}/items")
async def list_items(
    conversation: ConversationId, gateway: Shared, caller: Reader, page: Page
) -> dict[str, object]:
    """What was said in a conversation."""
    place = await items.place_of(gateway, caller, conversation)
    return page_of(await items.items_at(gateway, place), page)


@router.post("/{conversation}/items")
async def create_items(
    conversation: ConversationId, asked: NewItems, gateway: Shared, caller: Writer
) -> dict[str, object]:
    """Put items at the end of a conversation, which nobody answers."""
    given = messages_of(asked.items, "items")
    place = await items.place_of(gateway, caller, conversation)
    added = await items.add(gateway, place, given, once=uuid.uuid4().hex) if given else []
    ends = {"first_id": added[0]["id"], "last_id": added[-1]["id"]} if added else {}
    return {"object": "list", "data": added, "has_more": False, **ends}


@router.get("/{conversation}/items/{item_id}")
async def retrieve_item(
    conversation: ConversationId, item_id: ItemId, gateway: Shared, caller: Reader
) -> Response:
    """One item of a conversation."""
    place = await items.place_of(gateway, caller, conversation)
    found = await items.items_at(gateway, place)
    item = next((one for one in found if one["id"] == item_id), None)
    if item is None:
        raise not_found("item", item_id)
    return JSONResponse(item)


@router.delete("/{conversation}/items/{item_id}")
async def delete_item(
    conversation: ConversationId, item_id: ItemId, gateway: Shared, caller: Eraser
) -> dict[str, object]:
    """Remove one item of a conversation: no model is shown it any more."""
    place = await items.place_of(gateway, caller, conversation)
    await items.remove(gateway, place, item_id)
    return _shown(conversation, await _found(gateway, caller, conversation))


async def _found(gateway: Gateway, caller: Caller, conversation: str) -> ConversationRecord:
    record = await binding.conversation_of(gateway, caller.session(conversation))
    if record is None:
        raise not_found("conversation", conversation)
    return record


def _shown(conversation: str, record: ConversationRecord) -> dict[str, object]:
    return {
        "id": conversation,
        "object": "conversation",
        "created_at": record.created_at,
        "metadata": record.metadata,
    }
