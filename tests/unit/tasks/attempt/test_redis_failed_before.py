"""A message is published again where Redis failed before its job was ours."""

from datetime import datetime
from unittest.mock import Mock

import pytest
from celery.app.task import Context
from celery.exceptions import Retry

from memory import MemoryUnavailable
from tasks.attempt import body
from tasks.attempt.body import run_body
from tasks.attempt.start import started_before
from tasks.job.envelope import Envelope, JobRef
from tasks.job.job import ChatJob

NOW_S = 1_800_000_000.0


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What publishes the message again, in a process whose memory is away."""
    worker = Mock()
    worker.runtime.wait.side_effect = MemoryUnavailable("away")
    monkeypatch.setattr(body, "worker_services", lambda: worker)
    monkeypatch.setattr(body, "publish", published := Mock())
    return published


@pytest.mark.parametrize("given", [5, "2027-01-15T08:00:05+00:00"])
def test_the_time_until_a_raw_job_expires_goes_on(published: Mock, given: object) -> None:
    """Seconds from now count from when it was read first, not from each time."""
    job = ChatJob(agent_id="energy", session_id="s", message="hello", expires=NOW_S + 5)
    attempt = Mock(ref=JobRef("j1", "energy", "s", None, Envelope(job=job)), in_log=None)
    token = started_before.set(attempt)
    request = Context(id="j1", retries=0, delivery_info={})
    try:
        with pytest.raises(Retry):
            run_body(Mock(request=request), "energy", "s", "hello", expires=given)  # type: ignore[arg-type]  # as a stranger sends it
    finally:
        started_before.reset(token)
    (_, _, kwargs, _), _ = published.call_args
    again = datetime.fromisoformat(kwargs["expires"])
    assert again.timestamp() == NOW_S + 5
