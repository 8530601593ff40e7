"""What a process knows of Redis' clock, and what it writes into its messages of that."""

from unittest.mock import Mock

import pytest
from celery import Celery
from celery.app.task import Context

from memory import Keyspace, Mailbox
from memory.mailbox.due_list import schedule
from tasks.attempt.start import job_ref_of
from tasks.process.redis_clock import RedisClock, redis_clock
from tasks.process.services import producer_services
from tasks.process.wakeup import DUE_HEADER, publish

KWARGS = {"agent_id": "energy", "session_id": "s"}
HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def _anew() -> None:
    """A process that has measured nothing."""
    redis_clock.forget()
    producer_services.forget()


@pytest.fixture
def celery() -> Celery:
    """An application whose messages stay in this process."""
    made = Celery("clock", broker="memory://", set_as_current=False)
    with made.connection_for_write() as connection:
        connection.SimpleQueue("chat").clear()  # all applications of a process share it
    return made


def headers_of(celery: Celery, countdown_s: float | None = None) -> dict[str, object]:
    """The headers of a message as its receiver sees them."""
    publish(celery, "job", KWARGS, {}, countdown_s=countdown_s)
    with celery.connection_for_read() as connection:
        message = connection.default_channel.basic_get("chat", no_ack=True)
    headers: dict[str, object] = message.headers
    return headers


def receive(due_at: object, **delivery_info: bool) -> float:
    """A wake-up with this header is received; how long wake-ups wait after that, seconds."""
    request = {"id": "job", DUE_HEADER: due_at, "delivery_info": delivery_info}
    job_ref_of(Context(request), **KWARGS)  # type: ignore[arg-type]
    return producer_services().queue_wait.lately_s()


def test_a_clock_that_was_never_set_tells_nothing(celery: Celery) -> None:
    """Better no time than a wrong one, in messages too."""
    assert RedisClock().now_s is None
    assert DUE_HEADER not in headers_of(celery)


def test_the_answers_of_schedule_set_it() -> None:
    """And no other answer, nor one that makes no sense."""
    clock = RedisClock()
    keep, look, acquire = Mailbox.of(Keyspace(), "energy", "s").acquire(
        "job", "token", lease_ms=1, history_n=1, max_attempts=1, ttl_s=1, grace_ms=1
    )
    assert clock.read_by(keep) is keep
    assert clock.read_by(acquire) is acquire
    read = clock.read_by(look)
    read.parse([b"CORRUPT", b"due", b"string"])
    assert clock.now_s is None
    read.parse([b"OK", 1_000_000])
    assert clock.now_s is not None
    assert 1000 <= clock.now_s < 1060
    read.parse([b"OK", 7_000_000])
    assert 7000 <= clock.now_s < 7060


@pytest.mark.parametrize(
    ("server_s", "told_s"),
    [(1010.0, 1030.0), (1040.0, 1040.0), (500.0, 520.0)],
    ids=["as before", "set forward", "set back"],
)
def test_an_answer_that_is_read_late_makes_no_late_clock(
    monkeypatch: pytest.MonkeyPatch, server_s: float, told_s: float
) -> None:
    """A process is stopped for twenty seconds before it reads what came at once; a clock that was
    set meanwhile is told as well as can be known."""
    now = Mock(monotonic=Mock(return_value=0.0))
    monkeypatch.setattr("tasks.process.redis_clock.time", now)
    clock = RedisClock()
    clock.set_ms(1_000_000)
    now.monotonic.return_value = 10.0
    read = clock.read_by(schedule("due", "energy:s", delay_ms=0))
    now.monotonic.return_value = 30.0
    read.parse([b"OK", round(server_s * 1000)])
    assert clock.now_s == told_s


def test_a_message_says_when_it_is_due_by_redis_clock(celery: Celery) -> None:
    """Whatever the sender's own clock says."""
    redis_clock().set_ms(1_000_000)
    due_at = headers_of(celery)[DUE_HEADER]
    later = headers_of(celery, countdown_s=100.0)[DUE_HEADER]
    assert isinstance(due_at, float)
    assert isinstance(later, float)
    assert 1000 <= due_at < 1060
    assert 1100 <= later < 1160


def test_the_wait_is_told_by_redis_clock() -> None:
    """Seconds between publishing and receiving, with hours between the clocks of both."""
    assert receive(1000.0) == 0, "it is not measured yet"
    redis_clock().set_ms(1_010_000)
    assert 9 < receive(1000.0) < 60
    assert redis_clock().now_s is not None


def test_a_message_that_is_delivered_again_tells_nothing() -> None:
    """It waited for the visibility timeout, not in the queue."""
    redis_clock().set_ms(1_300_000)
    assert receive(1000.0, redelivered=True) == 0
    assert receive(1000.0, redelivered=False) > 0


@pytest.mark.parametrize("due_at", [None, "soon", True, 7, {}, float("nan")])
def test_a_header_that_is_no_time_is_ignored(due_at: object) -> None:
    """Anybody may write one."""
    redis_clock().set_ms(1_000_000)
    assert receive(due_at) == 0


def test_a_wake_up_of_an_hour_ago_makes_patient_for_a_minute() -> None:
    """The next look was hours away."""
    redis_clock().set_ms(10_000_000)
    receive(10_000.0 - HOUR_S)
    assert producer_services().queue_wait.grace_ms <= 60_000
    receive(10_000.0 + HOUR_S)
    assert producer_services().queue_wait.grace_ms <= 60_000
