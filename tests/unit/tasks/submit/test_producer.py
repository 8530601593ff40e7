"""The producer where Redis or the broker fails in between."""

import logging
from collections import deque
from dataclasses import replace
from unittest.mock import Mock

import pytest
from kombu.exceptions import BatchPublishError, OperationalError

from memory import (
    Backpressure,
    Claim,
    Enqueued,
    EnqueueOutcome,
    Keyspace,
    MemoryUnavailable,
    Priority,
)
from tasks.errors import InvalidJob
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob
from tasks.process import wakeup
from tasks.process.app import app
from tasks.process.configuration import load_settings
from tasks.process.queue_wait import QueueWait
from tasks.process.redis_clock import RedisClock
from tasks.submit.producer import Producer


def test_a_refused_job_is_refused_also_where_its_id_cannot_be_freed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server of the id goes away between: the mailbox has said no, and that is certain."""
    refused, away = Enqueued(EnqueueOutcome.FULL, pending=7), MemoryUnavailable("it is away")
    # The look at what there is, the claim, the mailbox, the claim given up.
    asked = deque([None, Claim.CLAIMED, refused, away])
    memory = Mock()
    memory.run_last.side_effect = lambda *_: _answer(asked.popleft())
    keyspace = Keyspace(is_cluster=True)
    producer = Producer(app, memory, keyspace, load_settings(), QueueWait(5.0))
    job = ChatJob(agent_id="energy", session_id="s1", message="Hello")
    with caplog.at_level(logging.INFO), pytest.raises(Backpressure):
        producer.submit(producer.submission(Envelope(job=job), "j1"))
    assert not asked
    assert "job j1 was refused, but its id stays reserved for its request" in caplog.text


@pytest.mark.parametrize(
    "error",
    [OperationalError("away"), BatchPublishError([], []), RuntimeError("the connection is lost")],
    ids=lambda error: type(error).__name__,
)
def test_wake_ups_whose_batch_fails_are_published_one_by_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """All of them: which of the batch are out is not known, and a second wake-up is harmless."""
    monkeypatch.setattr(wakeup, "publish_together", Mock(side_effect=error))
    monkeypatch.setattr(wakeup, "publish", published := Mock())
    envelope = Envelope(job=ChatJob(agent_id="energy", session_id="s1", message="Hello"))
    keys = Keyspace().session("energy", "s1")
    with caplog.at_level(logging.INFO):
        wakeup.wake_jobs(app, [(keys, job_id, envelope) for job_id in ("j1", "j2")])
    assert [call.args[1] for call in published.call_args_list] == ["j1", "j2"]
    assert "2 wake-ups are published one by one" in caplog.text


def test_a_job_is_bounded_with_all_that_surrounds_it_and_that_is_merged_into_it() -> None:
    """One over CHAT_MAX_ENVELOPE_BYTES is refused before anything is sent."""
    known = load_settings()
    envelope = Envelope(job=ChatJob(agent_id="energy", session_id="s1", message="m" * 2000))
    size_bytes = len(envelope.pack())
    for most_bytes, is_taken in ((size_bytes, True), (size_bytes - 1, False)):
        queue = known.queue.model_copy(update={"max_envelope_bytes": most_bytes})
        settings = replace(known, queue=queue)
        producer = Producer(app, Mock(), Keyspace(), settings, QueueWait(5.0))
        if is_taken:
            intake = producer.submission(envelope, "j1").intake
            assert intake.merged_envelope_bytes == most_bytes
        else:
            with pytest.raises(InvalidJob, match="CHAT_MAX_ENVELOPE_BYTES"):
                producer.submission(envelope, "j1")


def _answer(answer: object) -> object:
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_a_job_is_as_urgent_as_its_agents_profile_says_unless_it_says_so_itself() -> None:
    """And a normal one says nothing in its envelope."""
    known = load_settings()
    batch = replace(known.profiles.default, agent_id="reports", priority=Priority.BATCH)
    profiles = replace(known.profiles, by_id={"reports": batch})
    settings = replace(known, profiles=profiles)
    producer = Producer(app, Mock(), Keyspace(), settings, QueueWait(5.0))
    for agent, given, priority in (
        ("reports", None, Priority.BATCH),
        ("reports", "normal", Priority.NORMAL),
        ("reports", Priority.INTERACTIVE, Priority.INTERACTIVE),
        ("reports", 0, Priority.BATCH),
        ("energy", None, Priority.NORMAL),
        ("energy", 9, Priority.BATCH),
    ):
        job = producer.checked((agent, "s1", "Hello"), {"priority": given})
        submission = producer.submission(Envelope(job=job), "j1")
        assert submission.intake.priority is priority
    job = producer.checked(("energy", "s1", "Hello"), {})
    assert b"priority" not in Envelope(job=job).pack()
    with pytest.raises(InvalidJob, match="priority"):
        producer.checked(("energy", "s1", "Hello"), {"priority": 10})


def test_whose_session_becomes_more_urgent_is_woken_as_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a message for the new job: a producer may not read the one that is first."""
    memory = Mock()
    producer = Producer(app, memory, Keyspace(), load_settings(), QueueWait(5.0))
    woken = Mock()
    monkeypatch.setattr("tasks.submit.producer.wake_job", woken)
    job = ChatJob(agent_id="energy", session_id="s1", message="Hello", priority="interactive")
    submission = producer.submission(Envelope(job=job), "j2")
    taken = Enqueued(EnqueueOutcome.NEW, 1, 1, wake="j1")
    producer.apply_effects(submission, taken)
    (_, _, job_id, _), options = woken.call_args
    assert (job_id, options) == ("j2", {"priority": Priority.INTERACTIVE})
    memory.run.assert_not_called()


NOW_S = 1_800_000_000.0


@pytest.mark.parametrize("answer", [NOW_S * 1000, MemoryUnavailable("away")], ids=["told", "away"])
def test_seconds_from_now_count_by_redis_clock(
    monkeypatch: pytest.MonkeyPatch, answer: float | Exception
) -> None:
    """Also where nothing has told it yet, and the sender's clock is an hour late: it is asked for
    once. Where Redis is away the sending fails, so the sender's own will do."""
    clock, memory = RedisClock(), Mock()
    monkeypatch.setattr("tasks.submit.producer.redis_clock", lambda: clock)
    monkeypatch.setattr("tasks.process.redis_clock.time.time", lambda: NOW_S - 3600)
    memory.run.side_effect = lambda _: _answer(answer)
    producer = Producer(app, memory, Keyspace(), load_settings(), QueueWait(5.0))
    expires = producer.checked(("energy", "s1", "Hello"), {"expires": 10}).expires
    is_told = not isinstance(answer, Exception)
    assert expires == pytest.approx((NOW_S if is_told else NOW_S - 3600) + 10, abs=1)
    if is_told:
        producer.checked(("energy", "s1", "Hello"), {"expires": 10})
        memory.run.assert_called_once()


def test_a_job_without_a_deadline_asks_for_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one with a moment."""
    monkeypatch.setattr("tasks.submit.producer.redis_clock_s", lambda: NOW_S)
    memory = Mock()
    producer = Producer(app, memory, Keyspace(), load_settings(), QueueWait(5.0))
    producer.checked(("energy", "s1", "Hello"), {})
    producer.checked(("energy", "s1", "Hello"), {"expires": "2027-01-15T08:00:05+00:00"})
    memory.run.assert_not_called()
