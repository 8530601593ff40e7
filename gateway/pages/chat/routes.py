"""The routes below /chat, for the page of that name. No promise to other clients: theirs is /v1."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.access import Reader, Shared
from gateway.pages.chat import export, sessions
from gateway.pages.chat.markdown import rendered

router = APIRouter(prefix="/chat", include_in_schema=False)
AgentId = Annotated[str, Query(min_length=1, max_length=512)]
ConversationId = Annotated[str, Query(alias="id", min_length=1, max_length=400)]
Text = Annotated[str, StringConstraints(max_length=2_000_000)]
NO_STORE = {"Cache-Control": "no-store"}


class Texts(BaseModel):
    """Texts in Markdown."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    texts: Annotated[list[Text], Field(max_length=50)]


@router.post("/render")
async def render(asked: Texts, _: Reader) -> dict[str, list[str]]:
    """Each text as HTML that is safe to show."""
    return {"html": await asyncio.to_thread(lambda: [*map(rendered, asked.texts)])}


@router.get("/sessions")
async def list_conversations(agent: AgentId, gateway: Shared, caller: Reader) -> Response:
    """The caller's own conversations with an agent, last used first, each with a title."""
    return _json({"data": await sessions.listed(gateway, caller, agent)})


@router.get("/export")
async def export_conversation(
    conversation: ConversationId,
    agent: AgentId,
    gateway: Shared,
    caller: Reader,
    form: Annotated[Literal["markdown", "json"], Query(alias="format")] = "markdown",
) -> Response:
    """All of a conversation as a file."""
    keys = sessions.keys_of(gateway, caller, agent, conversation)
    messages = await sessions.messages_of(gateway, keys)
    write, suffix = (export.as_json, "json") if form == "json" else (export.as_markdown, "md")
    content = await asyncio.to_thread(write, agent, conversation, messages)
    name = export.file_name(conversation, suffix)
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="{name}"'}
    kind = "application/json" if form == "json" else "text/markdown; charset=utf-8"
    return Response(content, headers=headers, media_type=kind)


@router.get("/session")
async def show_conversation(
    conversation: ConversationId,
    agent: AgentId,
    gateway: Shared,
    caller: Reader,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """What was said in a conversation and what is being answered; 304 where nothing is new."""
    keys = sessions.keys_of(gateway, caller, agent, conversation)
    # Before the conversation: what comes in between is seen with the next look.
    headers = {**NO_STORE, "ETag": f'"{await sessions.version(gateway, keys)}"'}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    found = await sessions.conversation(gateway, keys)
    shown = {"turns": [asdict(turn) for turn in found.turns], "left_out": found.left_out}
    return _json({"id": conversation, "agent_id": agent, **shown}, headers)


def _json(content: dict[str, object], headers: dict[str, str] | None = None) -> Response:
    # orjson: a conversation may have megabytes of images.
    return Response(
        orjson.dumps(content), headers=headers or NO_STORE, media_type="application/json"
    )
