"""The webhooks that follow the end of a job. Pure.

What is sent says which response has ended, and how, and nothing of what was said: whoever receives
it asks for the response.
"""

import logging
import time
import uuid
from collections.abc import Iterator

import orjson

from memory import Command, End, Event, EventType, Keyspace, SessionKeys
from memory.ids import shown_id
from memory.webhooks import queue
from memory.webhooks.queue import Webhook
from tasks.end.callbacks import webhooks_of
from webhooks.address import Address
from webhooks.errors import BadAddress

logger = logging.getLogger(__name__)

EVENT = "evt_"
"""How the ids of events begin, as OpenAI's do."""
_NAMESPACE = uuid.UUID("1d9d3c07-4f4e-5f0c-9c65-6772696f7435")
_KINDS = {
    EventType.DONE: "completed",
    EventType.FAILED: "failed",
    EventType.ERASED: "failed",
    EventType.CANCELLED: "cancelled",
}
"""How a response ends, as OpenAI has it; of a job that was merged, the one that answers says it."""


def notes_of(keyspace: Keyspace, keys: SessionKeys, end: End) -> list[Command[bool]]:
    """What notes the webhooks that follow an end. Safe to repeat: each has the same id again."""
    return [queue.note(keyspace, webhook) for webhook in _following(keys, end)]


def body_of(webhook: Webhook) -> bytes:
    """What its receiver is sent: OpenAI's event of that kind."""
    return orjson.dumps(
        {
            "id": webhook.event_id,
            "object": "event",
            "type": webhook.kind,
            "created_at": webhook.created_at,
            "data": {"id": webhook.job_id},
        }
    )


def _following(keys: SessionKeys, end: End) -> Iterator[Webhook]:
    kind = _kind_of(end.event)
    for job_id, url, place in webhooks_of(end.callbacks) if kind is not None else ():
        try:
            host = Address.parsed(url).place
        except BadAddress:  # of another program
            logger.error("job %s has a webhook that is no address; none is sent", shown_id(job_id))
            continue
        named = orjson.dumps([job_id, kind, url]).decode()
        yield Webhook(
            event_id=f"{EVENT}{uuid.uuid5(_NAMESPACE, named).hex}",
            kind=f"response.{kind}",
            job_id=job_id,
            host=host,
            session=keys.history,
            url=url,
            created_at=int(time.time()),
            trace=dict(place),
        )


def _kind_of(last: Event) -> str | None:
    if last.type is EventType.DONE and last.data.get("done_reason") == "length":
        return "incomplete"
    return _KINDS.get(last.type)
