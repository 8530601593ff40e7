"""The messages that a job brings along, to stand before its own in the history. Pure."""

from collections.abc import Mapping, Sequence

import orjson
from pydantic import JsonValue

from memory.records.message import fault_of
from tasks.errors import InvalidJob
from tasks.job.images import check_images

MAX_PRECEDING = 1000
MAX_PRECEDING_BYTES = 1_048_576
MAX_IMAGES = 100
BEFORE = "before"
"""The field of such a message in the history: the job that brought it."""


def check_preceding(messages: Sequence[Mapping[str, JsonValue]]) -> None:
    """Raise InvalidJob for messages that no history takes, or for too much of them."""
    if len(messages) > MAX_PRECEDING:
        raise InvalidJob(
            f"preceding has {len(messages)} messages, at most {MAX_PRECEDING} are allowed"
        )
    for number, message in enumerate(messages):
        if (fault := fault_of(message)) is not None:
            raise InvalidJob(f"preceding.{number} {fault}")
        _check_images(message.get("images"), number)
    try:
        size_bytes = len(orjson.dumps(messages))
    except TypeError:
        raise InvalidJob("preceding is not valid JSON, or holds a lone surrogate") from None
    if size_bytes > MAX_PRECEDING_BYTES:
        raise InvalidJob(
            f"preceding has {size_bytes} bytes, at most {MAX_PRECEDING_BYTES} are allowed"
        )


def ends_with_result(messages: Sequence[Mapping[str, JsonValue]]) -> bool:
    """Whether the last of the messages is the result of a function: the model can go on from it."""
    return bool(messages) and messages[-1].get("role") == "tool"


def _check_images(images: JsonValue, number: int) -> None:
    # A history with an image that no model's server takes would be refused with each later job.
    if isinstance(images, list) and images:
        try:
            check_images(
                [str(one) for one in images], max_count=MAX_IMAGES, max_bytes=MAX_PRECEDING_BYTES
            )
        except InvalidJob as exc:
            raise InvalidJob(f"preceding.{number}: {exc}") from None


def as_kept(messages: Sequence[Mapping[str, JsonValue]], job_id: str) -> list[dict[str, object]]:
    """The messages as the history keeps them: each names the job that brought it, and is none of
    the job's own."""
    kept = ({name: one[name] for name in one if name != "job_id"} for one in messages)
    return [{**one, BEFORE: job_id} for one in kept]
