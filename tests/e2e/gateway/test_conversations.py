"""Conversations and their items, with OpenAI's own client."""

import asyncio
import uuid
from typing import Any

import openai
import pytest

from memory import get_redis_memory
from tasks import chat_task
from tests.e2e.gateway.conftest import AGENT


def texts(client: openai.OpenAI, conversation: str) -> list[str]:
    """What was said in a conversation, the oldest first."""
    items = client.conversations.items.list(conversation, order="asc", limit=100)
    return [item.content[0].text for item in items]  # type: ignore[union-attr]  # messages


def test_a_conversation_remembers(client: openai.OpenAI) -> None:
    """Items that it begins with, and each turn, in their order."""
    made = client.conversations.create(
        metadata={"topic": "meters"},
        items=[{"type": "message", "role": "user", "content": "I am Ama."}],
    )
    assert texts(client, made.id) == ["I am Ama."]
    first = client.responses.create(model=AGENT, input="One", conversation=made.id)
    second = client.responses.create(model=AGENT, input="Two", conversation=made.id)
    said = ["I am Ama.", "One", first.output_text, "Two", second.output_text]
    assert texts(client, made.id) == said
    assert first.conversation is not None
    assert first.conversation.id == made.id
    assert client.conversations.retrieve(made.id).metadata == {"topic": "meters"}
    assert client.conversations.update(made.id, metadata={"a": "b"}).metadata == {"a": "b"}


def test_items_are_paged_found_and_removed(client: openai.OpenAI) -> None:
    """Their ids stay what they are, and those of a turn are those of its response."""
    made = client.conversations.create()
    response = client.responses.create(model=AGENT, input="One", conversation=made.id)
    added = client.conversations.items.create(
        made.id, items=[{"type": "message", "role": "user", "content": "More"}]
    )
    assert added.data[0].content[0].text == "More"  # type: ignore[union-attr]  # a message
    pages = client.conversations.items.list(made.id, order="asc", limit=1)
    ids = [str(item.id) for item in pages]
    assert ids[1] == response.output[0].id
    assert len(ids) == 3
    item = client.conversations.items.retrieve(ids[0], conversation_id=made.id)
    assert item.content[0].text == "One"  # type: ignore[union-attr]  # a message
    client.conversations.items.delete(ids[2], conversation_id=made.id)
    assert texts(client, made.id) == ["One", response.output_text]
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(ids[2], conversation_id=made.id)


def test_a_conversation_belongs_to_its_first_agent(client: openai.OpenAI) -> None:
    """Another one is refused, and nothing is sent."""
    made = client.conversations.create()
    client.responses.create(model=AGENT, input="One", conversation=made.id)
    with pytest.raises(openai.BadRequestError, match="belongs to the agent"):
        client.responses.create(model="default", input="Two", conversation=made.id)
    assert len(texts(client, made.id)) == 2


def test_a_conversation_is_a_session_of_griot(client: openai.OpenAI) -> None:
    """Under any id that a service has for it; it is made where it is missing."""
    session = f"web-{uuid.uuid4()}"
    chat_task.delay(AGENT, session, "From Python").get(timeout=20)
    client.responses.create(model=AGENT, input="From HTTP", conversation=session)
    history = get_redis_memory().get_conversation_history(AGENT, session)
    asked = [one["content"] for one in history if one["role"] == "user"]
    assert asked == ["From Python", "From HTTP"]
    assert len(texts(client, session)) == 4


def test_a_conversation_is_erased(client: openai.OpenAI) -> None:
    """With its session, and all that was kept of it."""
    made = client.conversations.create(metadata={"a": "b"})
    response = client.responses.create(model=AGENT, input="One", conversation=made.id)
    client.conversations.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)
    memory = get_redis_memory()
    assert memory.get_conversation_history(AGENT, made.id) == []
    assert memory.get_session_data(made.id, f"gateway.response.{response.id}") is None
    assert client.responses.retrieve(response.id).status == "failed"


def test_what_nobody_has_made_is_not_found(client: openai.OpenAI) -> None:
    """A conversation, its items, a response."""
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve("conv_nothing")
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.list("conv_nothing")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_nothing")


async def test_items_that_are_put_at_once_are_all_kept(aclient: openai.AsyncOpenAI) -> None:
    """Before the conversation has an agent, and while its first message takes them over."""
    made = await aclient.conversations.create()

    async def put(number: int) -> None:
        item: Any = {"role": "user", "content": f"Note {number}"}
        await aclient.conversations.items.create(made.id, items=[item])

    await asyncio.gather(*map(put, range(12)))
    first = aclient.responses.create(model=AGENT, input="One", conversation=made.id)
    # While a message is answered they may be refused.
    _, *ends = await asyncio.gather(first, *map(put, range(12, 18)), return_exceptions=True)
    taken = {f"Note {at}" for at, end in enumerate([None] * 12 + ends) if end is None}
    await aclient.responses.create(model=AGENT, input="Two", conversation=made.id)
    history = get_redis_memory().get_conversation_history(AGENT, made.id)
    said = [one["content"] for one in history if str(one["content"]).startswith("Note")]
    assert sorted(map(str, said)) == sorted(taken)


async def test_a_change_makes_no_deleted_conversation_anew(aclient: openai.AsyncOpenAI) -> None:
    """Whatever comes first."""
    made = await aclient.conversations.create()
    changes = (aclient.conversations.update(made.id, metadata={"a": str(n)}) for n in range(4))
    await asyncio.gather(*changes, aclient.conversations.delete(made.id), return_exceptions=True)
    with pytest.raises(openai.NotFoundError):
        await aclient.conversations.retrieve(made.id)
