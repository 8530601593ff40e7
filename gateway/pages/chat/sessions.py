"""Reading conversations for the page: which there are, and what was said in one."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from pydantic import JsonValue

from gateway.access import Caller
from gateway.pages.chat.transcript import Turn, title_of, turns_of, waiting_turn
from gateway.services import Gateway
from memory import Mailbox, SessionKeys
from memory.mailbox import looks
from memory.records import history
from memory.records.codec import decode_messages
from memory.records.index import live_sessions
from tasks.errors import InvalidJob
from tasks.job.envelope import Envelope
from tasks.process.services import producer_services

MAX_SHOWN = 500
"""So many messages of a conversation the page shows; the export has all."""
MAX_HISTORY = 100_000
MAX_LISTED = 100
TITLE_MESSAGES = 4
"""A conversation's first question is among so many messages."""


@dataclass(frozen=True, slots=True)
class TurnList:
    """What was said, and what is being answered. `left_out`: older messages that are not shown."""

    turns: list[Turn]
    left_out: int


def keys_of(gateway: Gateway, caller: Caller, agent_id: str, conversation: str) -> SessionKeys:
    """The session of a caller's conversation. Raises ApiError 403, and memory.InvalidInput."""
    caller.check_agent(agent_id)
    return gateway.keyspace.session(agent_id, caller.session(conversation))


async def listed(gateway: Gateway, caller: Caller, agent_id: str) -> list[dict[str, object]]:
    """The caller's conversations with an agent, last used first, each with its title."""
    caller.check_agent(agent_id)
    memory = producer_services().memory
    found = await asyncio.to_thread(live_sessions, memory, gateway.keyspace, agent_id)
    own = [one for one in found if caller.conversation(one) is not None][:MAX_LISTED]
    keys = [gateway.keyspace.session(agent_id, one) for one in own]
    first = [history.elements(one, 0, TITLE_MESSAGES - 1) for one in keys]
    heads = await gateway.memory.run_each(first)
    return [
        {"id": caller.conversation(session_id), "title": title_of(decode_messages(head).messages)}
        for session_id, head in zip(own, heads, strict=True)
    ]


async def version(gateway: Gateway, keys: SessionKeys) -> str:
    """Changes when a turn is added, or a job comes or goes; cheap to ask again and again."""
    pending = await gateway.memory.run(Mailbox(gateway.keyspace, keys).pending())
    last = await gateway.memory.run(history.stored(keys, at_most=1))
    seen = blake2b(digest_size=16)
    for part in (*(one.encode() for one in pending), b"", *last):
        seen.update(len(part).to_bytes(8, "big") + part)
    return seen.hexdigest()


async def conversation(gateway: Gateway, keys: SessionKeys) -> TurnList:
    """A conversation as it is now. What is answered meanwhile is in it once, as a turn that is
    over: it is looked for among those that wait first."""
    waiting = await _waiting(gateway, keys)
    messages = await messages_of(gateway, keys, at_most=MAX_SHOWN + 1)
    shown = messages[-MAX_SHOWN:]
    turns = turns_of(shown)
    over = {turn.id for turn in turns}
    pending = [turn for turn in waiting if turn.id not in over]
    return TurnList([*turns, *pending], left_out=len(messages) - len(shown))


async def messages_of(
    gateway: Gateway, keys: SessionKeys, *, at_most: int = MAX_HISTORY
) -> Sequence[Mapping[str, JsonValue]]:
    """The last messages of a conversation, as its history has them."""
    return (await gateway.memory.run(history.read(keys, at_most=at_most))).messages


async def _waiting(gateway: Gateway, keys: SessionKeys) -> list[Turn]:
    ids = await gateway.memory.run(Mailbox(gateway.keyspace, keys).pending())
    found = await gateway.memory.run_each([looks.stored(keys, job_id) for job_id in ids])
    begun = await gateway.memory.run_each([looks.has_begun(keys, job_id) for job_id in ids])
    turns: list[Turn] = []
    for job_id, stored, has_begun in zip(ids, found, begun, strict=True):
        if stored is None:
            continue
        try:
            envelope = Envelope.of(keys, stored)
        except InvalidJob:  # of another program: its worker will say so
            envelope = None
        turns.append(waiting_turn(job_id, envelope, is_running=has_begun))
    return turns
