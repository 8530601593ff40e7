"""A delayed job takes its place when it is due: once, in order, and nothing of it before."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from celery.exceptions import TaskRevokedError

from memory import get_redis_memory
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import CancelOutcome, EventType, InvalidJob, JobErased, app, chat_task, follow_job
from tasks.submit.erase import erase
from tests.support.machine import scaled

WAIT_S = scaled(20)
LATEST_S = scaled(2)
"""A second by itself, and what a busy machine needs."""


@pytest.fixture(scope="module", autouse=True)
def workers(stack: GriotStack) -> list[ServerProcess]:
    """Two, so that two take in what is due."""
    return [stack.worker(), stack.worker(name="second")]


def questions(session_id: str) -> list[str]:
    """What was asked, as the history has it."""
    history = get_redis_memory().get_conversation_history("energy", session_id)
    return [str(past["content"]) for past in history if past["role"] == "user"]


def test_a_delayed_job_waits_and_then_takes_its_place(session_id: str) -> None:
    """A message that is sent later is answered before it; its status says that it is scheduled."""
    due = datetime.now(UTC) + timedelta(seconds=1.5)
    later = chat_task.delay("energy", session_id, "later", not_before=due)
    assert later.state == "SCHEDULED"
    now = chat_task.delay("energy", session_id, "now")
    now.get(timeout=WAIT_S)
    assert "later" in later.get(timeout=WAIT_S)["response"]
    assert later.state == "SUCCESS"
    assert questions(session_id) == ["now", "later"]
    events = list(follow_job(later.id))
    assert [event.type for event in events][:3] == [
        EventType.SCHEDULED, EventType.QUEUED, EventType.STARTED,
    ]  # fmt: skip
    told = datetime.fromisoformat(str(events[0].data["not_before"]))
    assert timedelta(0) <= told - due <= timedelta(milliseconds=1), "rounded up to milliseconds"
    taken_in_s = int(events[1].cursor.partition("-")[0]) / 1000
    assert 0 <= taken_in_s - due.timestamp() + 0.001 <= LATEST_S


def test_countdown_and_eta_mean_it(session_id: str) -> None:
    """Celery's own words for it; and it may be said in seconds or as text."""
    before_s = time.time()
    arguments = ("energy", session_id, "in a second")
    in_text = datetime.fromtimestamp(before_s + 1.2, UTC).isoformat()
    jobs = [
        chat_task.apply_async(arguments, countdown=1.2),
        chat_task.apply_async(arguments, eta=datetime.now(UTC) + timedelta(seconds=1.2)),
        chat_task.apply_async(arguments, kwargs={"not_before": time.time() + 1.2}),
        chat_task.delay(*arguments, not_before=in_text),
    ]
    for job in jobs:
        job.get(timeout=WAIT_S)
        queued = next(event for event in follow_job(job.id) if event.type is EventType.QUEUED)
        assert int(queued.cursor.partition("-")[0]) / 1000 >= before_s + 1.19


def test_many_that_are_due_at_once_are_answered_once_each() -> None:
    """Though two workers take them in; those of one session in the order of their times."""
    due_s, run = time.time() + 1.5, uuid.uuid4()
    sessions = [f"{run}-{number}" for number in range(12)]
    jobs = [
        chat_task.delay("energy", session, f"{word}", not_before=due_s + after_s)
        for session in sessions
        for word, after_s in (("second", 0.02), ("first", 0.01))
    ]
    for job in jobs:
        job.get(timeout=WAIT_S)
    assert [questions(session) for session in sessions] == [["first", "second"]] * len(sessions)


def test_a_delayed_job_can_be_cancelled(session_id: str) -> None:
    """It never runs, and whoever waits for it is told."""
    later = chat_task.delay("energy", session_id, "never", not_before=time.time() + 3600)
    assert chat_task.cancel(later.id) is CancelOutcome.CANCELLED
    with pytest.raises(TaskRevokedError):
        later.get(timeout=WAIT_S)
    assert [event.type for event in follow_job(later.id)][-1] is EventType.CANCELLED


def test_erasing_a_session_erases_what_is_delayed(session_id: str) -> None:
    """Also one that nothing else was ever said in."""
    later = chat_task.delay("energy", session_id, "a secret", not_before=time.time() + 3600)
    receipt = erase(app, "energy", session_id)
    assert receipt.kept.pending == 1
    with pytest.raises(JobErased):
        later.get(timeout=WAIT_S)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"not_before": datetime(2030, 1, 1)}, "no time zone"),
        ({"not_before": "tomorrow"}, "ISO 8601"),
        ({"not_before": True}, "ISO 8601"),
        ({"not_before": time.time() + 400 * 24 * 3600}, "more than a year"),
        ({"not_before": time.time() + 60, "on_busy": "reject"}, "reject"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, object], says: str) -> None:
    """With words that say what is wrong, and nothing is sent."""
    with pytest.raises(InvalidJob, match=says):
        chat_task.delay("energy", "s-refused", "hello", **options)  # type: ignore[arg-type]
