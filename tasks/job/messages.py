"""The messages by which the history remembers a turn: question, tools, reply. Pure."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tasks.job.envelope import MergedJob
from tasks.job.job import ChatJob
from tasks.job.preceding import as_kept
from tasks.job.result import ChatResult


def merged_note(merged: Sequence[MergedJob]) -> dict[str, object]:
    """What a question says of the jobs that were merged into it; nothing where there are none."""
    return {"merged": [one.model_dump(exclude_none=True) for one in merged]} if merged else {}


def messages_of(
    job: ChatJob,
    result: ChatResult,
    steps: Sequence[Mapping[str, object]] = (),
    merged: Sequence[MergedJob] = (),
) -> tuple[dict[str, object], ...]:
    """The turn as the history keeps it: what the job brought along, the question, what tools did,
    and the reply, with the calls of the client's functions.

    Each message of the turn has the job's id; the question names the jobs that were `merged` into
    this one.
    """
    mark: dict[str, object] = {"job_id": result["job_id"], "at": _now()}
    kept = ("job_id", "model", "usage", "done_reason", "attempt", "history_messages", "receipt")
    reply = {"role": "assistant", "content": result["response"], "at": mark["at"]}
    if job.format is not None:
        reply["format"] = "json"
    if "calls" in result:
        reply["tool_calls"] = [
            {
                "id": call["call_id"],
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in result["calls"]
        ]
    question, between = _question(job, mark, merged), _steps(steps, mark)
    before = as_kept(job.preceding or (), result["job_id"])
    return *before, *question, *between, reply | {name: result[name] for name in kept}  # type: ignore[literal-required]  # the names are ChatResult's


def cancelled_messages(
    job_id: str,
    job: ChatJob,
    said: str,
    steps: Sequence[Mapping[str, object]] = (),
    merged: Sequence[MergedJob] = (),
    *,
    error: Exception | None = None,
) -> tuple[dict[str, object], ...]:
    """A cancelled turn as the history keeps it: what the job brought along, the question, what
    tools did until then, and the answer as far as it came. One that was stopped because of an
    error says so besides, in `timeout`."""
    mark: dict[str, object] = {"job_id": job_id, "at": _now(), "cancelled": True}
    if error is not None:
        mark["timeout"] = str(error)
    between = [*_question(job, mark, merged), *_steps(steps, mark)]
    before = as_kept(job.preceding or (), job_id)
    if not said and between:
        return *before, *between
    # Of a job that asks nothing the empty answer says that it was cancelled.
    return *before, *between, {"role": "assistant", "content": said, **mark}


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")


def _question(
    job: ChatJob, mark: Mapping[str, object], merged: Sequence[MergedJob]
) -> list[dict[str, object]]:
    """The question; none of a job that goes on with results of functions."""
    if job.continues:
        return []
    question: dict[str, object] = {
        "role": "user",
        "content": job.message,
        **mark,
        **merged_note(merged),
    }
    if job.metadata is not None:
        question["metadata"] = job.metadata
    if job.images:
        question["images"] = list(job.images)
    return [question]


def _steps(
    steps: Sequence[Mapping[str, object]], mark: Mapping[str, object]
) -> list[dict[str, object]]:
    """Calls of tools and their results, marked; what the model thought of them is not kept."""
    return [{**{name: step[name] for name in step if name != "thinking"}, **mark} for step in steps]
