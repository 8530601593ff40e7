"""Which jobs a worker hands over to itself, and which it leaves to the queue."""

from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from celery import signals
from celery.worker.consumer import Consumer

from memory import JobToWake, Keyspace, Priority
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob
from tasks.process.configuration import load_settings
from tasks.process.wakeup import CHAT_TASK, PRIORITY_HEADER, is_wakeup
from worker.broker.handover import Handover, LocalMessage

KEYS = Keyspace().session("energy", "s-1")
CHAT = load_settings().names.chat


class Tasks:
    """What is consumed, as Celery's consumer of tasks says."""

    def __init__(self, *queues: str) -> None:
        self.queues = queues

    def consuming_from(self, queue: str) -> bool:
        """Whether this queue is."""
        return queue in self.queues


class Worker:
    """As much of Celery's consumer as a hand-over needs, and what it was given."""

    def __init__(self) -> None:
        self.received: list[LocalMessage] = []
        self.state = SimpleNamespace(revoked=set[str]())
        self.consumer = Consumer.__new__(Consumer)
        self.consumer.controller = SimpleNamespace(state=self.state)
        self.consumer.task_buckets = defaultdict(lambda: None)
        self.consumer.task_consumer = Tasks(CHAT, "vip")
        self.consumer.on_task_message = set()
        self.consumer.strategies = {CHAT_TASK: lambda message, *_: self.received.append(message)}

    def takes(self, **options: object) -> bool:
        """Whether it takes a job on that was sent with these options."""
        job = ChatJob(agent_id="energy", session_id="s-1", message="hello", max_history=4)
        packed = Envelope(job=job, publish=options).pack()  # type: ignore[arg-type]  # all JSON
        return Handover(self.consumer)(KEYS, JobToWake("job-1", packed))


@pytest.fixture
def worker() -> Worker:
    """One that consumes two queues."""
    return Worker()


def test_a_job_is_taken_on_as_its_wake_up_would_be(worker: Worker) -> None:
    """Celery and the pool find in it what a published wake-up says."""
    assert worker.takes()
    (message,) = worker.received
    assert message.headers["id"] == "job-1"
    assert is_wakeup(message.headers)
    kwargs = {"agent_id": "energy", "session_id": "s-1", "max_history": 4}
    assert message.payload == ((), kwargs, None)
    assert message.delivery_info["routing_key"] == CHAT


def test_it_is_as_urgent_as_its_session(worker: Worker) -> None:
    """Where the mailbox does not say so, as the job itself; a normal one says nothing."""
    assert worker.takes()
    assert PRIORITY_HEADER not in worker.received[0].headers
    for of_session, of_job, named in (
        (None, Priority.BATCH, "batch"),
        (Priority.INTERACTIVE, Priority.BATCH, "interactive"),
    ):
        job = ChatJob(agent_id="energy", session_id="s-1", message="hello", priority=of_job)
        waiting = JobToWake("job-2", Envelope(job=job).pack(), of_session)
        assert Handover(worker.consumer)(KEYS, waiting)
        assert worker.received[-1].headers[PRIORITY_HEADER] == named


def test_a_job_of_another_consumed_queue_is_taken_on(worker: Worker) -> None:
    """Its retry goes back to that queue."""
    assert worker.takes(queue="vip")
    assert worker.received[0].delivery_info["routing_key"] == "vip"


def revoke(worker: Worker) -> None:
    """Somebody has revoked the job."""
    worker.state.revoked.add("job-1")


def limit(worker: Worker) -> None:
    """Somebody has limited the rate of the task."""
    worker.consumer.task_buckets[CHAT_TASK] = object()


def stop(worker: Worker) -> None:
    """The worker stops, or somebody has had it consume the queue no longer."""
    worker.consumer.task_consumer = Tasks()


def lose(worker: Worker) -> None:
    """The broker is away."""
    worker.consumer.task_consumer = None


@pytest.mark.parametrize("change", [revoke, limit, stop, lose])
def test_the_consumers_own_thread_decides(worker: Worker, change: Callable[[Worker], None]) -> None:
    """What concerns Celery beyond the job itself goes its usual way."""
    change(worker)
    assert not worker.takes()
    assert worker.received == []


@pytest.mark.parametrize("options", [{"queue": "other"}, {"priority": 3}, {"shadow": "x"}])
def test_a_job_with_celery_options_goes_through_the_broker(
    worker: Worker, options: dict[str, object]
) -> None:
    """It knows what they mean."""
    assert not worker.takes(**options)


def test_a_receiver_of_the_signal_is_called_where_it_always_was(worker: Worker) -> None:
    """In the consumer's thread."""

    def receive(**_: object) -> None:
        """Nothing."""

    signals.task_received.connect(receive)
    try:
        assert not worker.takes()
    finally:
        signals.task_received.disconnect(receive)


def test_a_job_that_cannot_be_read_is_left_to_whoever_can(worker: Worker) -> None:
    """Its wake-up is published all the same."""
    assert not Handover(worker.consumer)(KEYS, JobToWake("job-1", b"{"))
