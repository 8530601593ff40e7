"""From the last event of a job to its result in Celery. Pure.

The last event is the one truth about how a job has ended: the script that ends the job writes it,
and the result is made from it, whoever delivers it, and whenever.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from celery.exceptions import TaskRevokedError
from celery.states import FAILURE, REVOKED, SUCCESS
from pydantic import JsonValue

from memory import Event, EventType, InvalidInput, SessionKeys
from memory.encryption.keyring import NO_KEYS, Cipher
from memory.records.event import packed
from tasks.errors import JobErased, JobExpired, JobFailed, JobTimeout
from tasks.job.failure_code import FailureCode
from tasks.job.reply_text import value_of
from tasks.job.result import ChatResult, merged_result, result_from_reply

RESULT_BOUND = "CHAT_MAX_RESULT_BYTES"
"""The setting that the reason of a dead letter names whose answer was too large."""


_ERRORS: Mapping[object, type[JobFailed]] = {
    FailureCode.EXPIRED: JobExpired,
    FailureCode.TIMEOUT: JobTimeout,
}
"""By the code of a failed job, where that has an error of its own."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """A job's state in Celery, and what it gives or raises."""

    state: str
    value: ChatResult | Exception


def event_data(result: ChatResult) -> dict[str, JsonValue]:
    """The `data` of the `done` event: the result without its text.

    `format` says of a reply that was to be JSON that its text is a value to be parsed.
    """
    data: dict[str, JsonValue] = {
        name: value  # type: ignore[misc]  # all values are JSON
        for name, value in result.items()
        if name not in ("response", "parsed")
    }
    return {**data, "format": "json"} if "parsed" in result else data


def check_size(last: Event, most_bytes: int) -> None:
    """Raise InvalidInput where the event of which a result is made is too large."""
    size_bytes = len(packed(last, Cipher(NO_KEYS, "")))
    if size_bytes > most_bytes:
        raise InvalidInput(
            f"the result has {size_bytes} bytes; the limit is {most_bytes} ({RESULT_BOUND})"
        )


def outcome_of(keys: SessionKeys, last: Event) -> JobOutcome:
    """The outcome of a job of this session whose last event is `last`."""
    match last.type:
        case EventType.DONE:
            return JobOutcome(SUCCESS, _result(keys, last))
        case EventType.MERGED:
            into = str(last.data.get("into", ""))
            merged = merged_result(last.job_id, keys.agent_id, keys.session_id, into)
            return JobOutcome(SUCCESS, merged)
        case EventType.FAILED:
            kind = _ERRORS.get(last.data.get("code"), JobFailed)
            return JobOutcome(FAILURE, kind(str(last.data.get("error", "unknown reason"))))
        case EventType.ERASED:
            return JobOutcome(FAILURE, JobErased("the job's session was erased"))
    return JobOutcome(REVOKED, TaskRevokedError(str(last.data.get("reason", "cancelled"))))


def _result(keys: SessionKeys, last: Event) -> ChatResult:
    data = dict(last.data)
    is_json = data.pop("format", None) == "json"
    result = result_from_reply(last.job_id, keys.agent_id, keys.session_id, ())
    result.update({**data, "response": last.text})  # type: ignore[typeddict-item]  # of a result
    if is_json:
        result["parsed"] = value_of(last.text)
    return result
