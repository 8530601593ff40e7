"""The producer where the id of a job is claimed on another server than its mailbox."""

import logging
from collections import deque
from unittest.mock import Mock

import pytest

from memory import Backpressure, Claim, Enqueued, EnqueueOutcome, Keyspace, MemoryUnavailable
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob
from tasks.process.app import app
from tasks.process.configuration import load_settings
from tasks.process.queue_wait import QueueWait
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


def _answer(answer: object) -> object:
    if isinstance(answer, Exception):
        raise answer
    return answer
