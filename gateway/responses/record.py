"""What is kept of a response besides its job: what was asked, for whoever looks at it later.

It lies in the data of the job's session, so that it is erased with it, for as long as a job is
known by its id. A job that was not sent through a gateway has none, and is a response all the same.
"""

import math
import time

from pydantic import BaseModel, JsonValue, ValidationError

from gateway.services import Gateway
from memory.lifetimes import DEDUPE_MS
from memory.records import values
from memory.records.codec import encode_value
from memory.records.events import FROM_START

KEPT_S = DEDUPE_MS // 1000
"""As long as a job is known by its id."""


class ResponseRecord(BaseModel):
    """What was asked. `after` is a cursor before the job's first event; `created_at` and
    `not_before` are Unix time."""

    created_at: float = 0.0
    after: str = FROM_START
    model: str = ""
    conversation: str | None = None
    previous_response_id: str | None = None
    background: bool = False
    store: bool = True
    metadata: dict[str, str] = {}
    instructions: str | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    text: dict[str, JsonValue] | None = None
    reasoning: dict[str, JsonValue] | None = None
    tools: list[JsonValue] | None = None
    tool_choice: JsonValue = None
    parallel_tool_calls: bool = True
    top_p: float | None = None
    user: str | None = None
    cancel_policy: str | None = None
    not_before: float | None = None
    is_repeatable: bool = False
    """Whether the client may send the request again: it came with an idempotency key."""
    is_deleted: bool = False


async def save(
    gateway: Gateway, session_id: str, job_id: str, record: ResponseRecord
) -> ResponseRecord:
    """Keep a record, unless there is one: a request that is sent again has the first one's. The
    one that is kept."""
    name, keyspace = _name(job_id), gateway.keyspace
    kept_s = KEPT_S + max(0, math.ceil((record.not_before or 0) - time.time()))
    note = values.note_fields(keyspace, session_id, [name], ttl_s=kept_s, is_exact=True)
    key, packed = keyspace.session_data(session_id, name), _packed(gateway, record)
    keep = values.save_new(keyspace, key, packed, ttl_s=kept_s, is_own=True)
    _, is_new = await gateway.memory.run_all(note, keep)
    return record if is_new else await load(gateway, session_id, job_id)


async def replace(gateway: Gateway, session_id: str, job_id: str, record: ResponseRecord) -> None:
    """Keep a record in place of the one that there is."""
    name, keyspace = _name(job_id), gateway.keyspace
    note = values.note_fields(keyspace, session_id, [name], ttl_s=KEPT_S, is_exact=True)
    key, packed = keyspace.session_data(session_id, name), _packed(gateway, record)
    keep = values.save(keyspace, key, packed, ttl_s=KEPT_S, is_own=True)
    await gateway.memory.run_all(note, keep)


async def load(gateway: Gateway, session_id: str, job_id: str) -> ResponseRecord:
    """The record of a response; one without anything where there is none."""
    key = gateway.keyspace.session_data(session_id, _name(job_id))
    found = await gateway.memory.run(values.load(gateway.keyspace, key))
    try:
        return ResponseRecord() if found is None else ResponseRecord.model_validate(found)
    except ValidationError:  # of another program
        return ResponseRecord()


def _name(job_id: str) -> str:
    return f"gateway.response.{job_id}"


def _packed(gateway: Gateway, record: ResponseRecord) -> bytes:
    given = record.model_dump(exclude_defaults=True)
    return encode_value(given, gateway.griot.memory.max_value_bytes, what="the request")
