"""What a response was asked: its input, as items."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from gateway.history_items import as_items
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
    before = [*(job.preceding or ())]
    if job.continues:
        return before
    question: dict[str, JsonValue] = {"role": "user", "content": job.message}
    if job.images:
        question["images"] = [*job.images]
    return [*before, question]


def _is_input(message: Mapping[str, JsonValue], job_id: str) -> bool:
    is_question = message.get("role") == "user" and message.get("job_id") == job_id
    return is_question or message.get(BEFORE) == job_id


def _items(job_id: str, messages: Sequence[Mapping[str, JsonValue]]) -> list[dict[str, object]]:
    named = [as_items(one, f"msg_{job_id}_in_{at}") for at, one in enumerate(messages)]
    return [item for items in named for item in items]
