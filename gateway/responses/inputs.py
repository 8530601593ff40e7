"""What a response was asked: its input, as items."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from gateway.messages import as_item
from gateway.services import Gateway
from memory.records import history
from tasks.job.job import ChatJob
from tasks.job.preceding import BEFORE
from tasks.submit.standing import Standing

MAX_HISTORY = 100_000


async def input_items(gateway: Gateway, standing: Standing) -> list[dict[str, object]]:
    """The items of a response's input, in their order; none where nothing of it is kept."""
    job_id = standing.job_id
    if standing.envelope is not None:
        return _items(job_id, asked_by(standing.envelope.job))
    read = history.read(standing.keys, at_most=MAX_HISTORY)
    messages = (await gateway.memory.run(read)).messages
    return _items(job_id, [one for one in messages if _is_input(one, job_id)])


def asked_by(job: ChatJob) -> list[dict[str, JsonValue]]:
    """The messages that a job brings."""
    question: dict[str, JsonValue] = {"role": "user", "content": job.message}
    if job.images:
        question["images"] = [*job.images]
    return [*(job.preceding or ()), question]


def _is_input(message: Mapping[str, JsonValue], job_id: str) -> bool:
    is_question = message.get("role") == "user" and message.get("job_id") == job_id
    return is_question or message.get(BEFORE) == job_id


def _items(job_id: str, messages: Sequence[Mapping[str, JsonValue]]) -> list[dict[str, object]]:
    found = [as_item(one, f"msg_{job_id}_in_{number}") for number, one in enumerate(messages)]
    return [one for one in found if one is not None]
