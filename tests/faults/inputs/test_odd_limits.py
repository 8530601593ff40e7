"""Raw messages whose limits are odd: what is no priority, no time, no tags is told by name."""

import base64
import json
import uuid
from collections.abc import Mapping
from itertools import accumulate

import pytest
from celery.exceptions import TaskRevokedError

from sandbox.process import ServerProcess
from tasks import JobTimeout, chat_task, follow_job
from tasks.process.configuration import load_settings
from tests.support.faults.celery_messages import task_message
from tests.support.faults.rig import Rig
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import scaled

HUGE = 10**400
ODD: Mapping[str, tuple[object, ...]] = {
    "priority": (True, "urgent", 1e9, -1, HUGE, [], {"a": 1}, float("nan")),
    "tags": ("a", ["a"] * 9, ["a"] * 2000, [["a"]], [""], ["a b"], [True], {"a": 1}),
    "timeout_s": (float("nan"), float("inf"), -1, 0, "5", HUGE, True, [], {}),
    "expires": (float("nan"), float("inf"), -1, 0, "5", HUGE, True, [], {}, "9999-12-31T23:59:59Z"),
}
ODD_HEADERS: Mapping[str, tuple[object, ...]] = {
    "timelimit": ([HUGE, None], ["5", None], [-1, -1], [True, None], [[], {}], 5, "ab", {"a": 1}),
    "expires": (5, HUGE, True, [], {}, "soon", "9999-12-31T23:59:59-14:00", "2026-11-26T10:00:00"),
    "griot_priority": (True, "urgent", [], {}, HUGE, "x" * 70_000),
    "griot_wakeup": (False, "yes", [], 1),
    "griot_due_at": (HUGE, float("nan"), -1.0, "now", []),
}


def post(rig: Rig, session_id: str, options: dict[str, object], headers: dict[str, object]) -> str:
    """Put a raw job into the broker's list, as any program may; its id."""
    job_id = str(uuid.uuid4())
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([[AGENT_ID, session_id, "hello"], {"model": "instant", **options}, embed])
    message = task_message(
        "tasks.chat_task",
        body=base64.b64encode(body.encode()).decode(),
        headers={"lang": "py", "task": "tasks.chat_task", "id": job_id, **headers},
    )
    rig.broker("LPUSH", load_settings().names.chat, json.dumps(message))
    return job_id


@pytest.mark.parametrize("name", ODD)
def test_an_odd_option_is_refused_by_its_name(rig: Rig, steady: ServerProcess, name: str) -> None:
    """As InvalidJob, without a traceback in the log; its session and the worker go on."""
    sender = Sender("instant")
    (session_id,) = sender.sessions(1)
    sent = [post(rig, session_id, {name: value}, {}) for value in ODD[name]]
    sender.send(session_id)
    for job_id, value in zip(sent, ODD[name], strict=True):
        found = chat_task.AsyncResult(job_id)
        error = found.get(timeout=scaled(15), propagate=False)
        assert (found.state, type(error).__name__) == ("FAILURE", "InvalidJob"), repr(value)[:80]
        assert name in str(error)
        assert len(str(error)) < 500
    rig.check(sender)
    assert "Traceback" not in steady.log_text()


@pytest.mark.parametrize("name", ODD_HEADERS)
def test_an_odd_header_stops_no_session(rig: Rig, steady: ServerProcess, name: str) -> None:
    """The job is answered, refused or set aside; its session and the worker go on."""
    sender = Sender("instant")
    (session_id,) = sender.sessions(1)
    for value in ODD_HEADERS[name]:
        post(rig, session_id, {}, {name: value})
    sender.send(session_id)
    (job,) = sender.jobs[session_id]
    assert chat_task.AsyncResult(job.job_id).get(timeout=scaled(15))["attempt"] == 1
    assert "Traceback" not in steady.log_text()
    assert steady.is_running


@pytest.mark.parametrize("how", ["timeout_s", "cancel"])
def test_a_stopped_reply_that_is_too_large_to_be_kept_ends_its_job(rig: Rig, how: str) -> None:
    """Nothing of it is recorded, and its session goes on."""
    queue = f"small-{how}"
    rig.worker("-Q", queue, name=queue, MEMORY_MAX_VALUE_BYTES="1024")
    (session_id,) = Sender().sessions(1)
    timeout_s = scaled(1.5) if how == "timeout_s" else None
    asked = {"model": "slow-tokens:5000x4ms", "timeout_s": timeout_s}
    job = chat_task.apply_async((AGENT_ID, session_id, "talk"), asked, queue=queue)
    if how == "cancel":
        said = accumulate(len(event.text) for event in follow_job(job.id))
        assert next(size for size in said if size > 2000)
        chat_task.cancel(job.id, "keep")
    with pytest.raises(JobTimeout if how == "timeout_s" else TaskRevokedError):
        job.get(timeout=scaled(15))
    after = chat_task.apply_async(
        (AGENT_ID, session_id, "and now?"), {"model": "instant"}, queue=queue
    )
    assert after.get(timeout=scaled(15))["history_messages"] == 0
