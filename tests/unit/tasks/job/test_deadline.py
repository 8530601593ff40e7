"""Until when a job must have begun: what a sender may write, and what is refused."""

from datetime import UTC, datetime

import pytest

from memory.mailbox.netstrings import packed_netstrings
from tasks.errors import InvalidJob
from tasks.job.deadline import expires_at
from tasks.job.due_time import MAX_DELAY_S
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
NOW_S = NOON.timestamp()


def job(**options: object) -> ChatJob:
    """A job with these options."""
    named = {"agent_id": "energy", "session_id": "s", "message": "hello"}
    return ChatJob.checked({**named, **options}, max_message_bytes=100)


@pytest.mark.parametrize(
    ("given", "after_s"),
    [
        (60, 60),
        (0.5, 0.5),
        (NOON, 0),
        ("2026-11-26T12:00:30Z", 30),
        ("2026-11-26T13:00:30+01:00", 30),
        ("2026-11-26T11:00:00Z", -3600),
        (MAX_DELAY_S, MAX_DELAY_S),
    ],
)
def test_a_number_counts_from_now_and_a_time_is_a_time(given: object, after_s: float) -> None:
    """One that is over already is the sender's clock's business: the job expires."""
    assert expires_at(given, now_s=NOW_S) == NOW_S + after_s


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (0, "over 0"),
        (-1, "over 0"),
        (float("nan"), "over 0"),
        (10**400, "over 0"),
        (True, "over 0"),
        ("soon", "seconds from now"),
        ([], "seconds from now"),
        (NOON.replace(tzinfo=None), "no time zone"),
        (MAX_DELAY_S + 1, "more than a year"),
        (NOW_S, "more than a year"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: object, says: str) -> None:
    """With words that say what is wrong; Unix time is taken for seconds, and is too many."""
    with pytest.raises(InvalidJob, match=says):
        expires_at(given, now_s=NOW_S)


def test_a_job_that_could_never_begin_is_refused() -> None:
    """It is over before it is due."""
    assert job(expires=NOW_S + 2, not_before=NOW_S + 1).expires == NOW_S + 2
    with pytest.raises(InvalidJob, match="later than not_before"):
        job(expires=NOW_S + 1, not_before=NOW_S + 1)


def test_a_deadline_is_no_part_of_what_is_asked() -> None:
    """The same id sent again with the same seconds is the same request."""
    assert job(expires=NOW_S).request == job(expires=NOW_S + 5).request == job().request


@pytest.mark.parametrize(
    ("others", "own", "of_all"),
    [((1.0, 3.0), 2.0, 3.0), ((1.0, None), 2.0, None), ((1.0,), 2.0, 2.0)],
)
def test_whoever_has_more_time_is_answered(
    others: tuple[float | None, ...], own: float, of_all: float | None
) -> None:
    """A job that carries the messages of others has the latest deadline of all, or none."""
    parts = [Envelope(job=job(expires=own)).pack()]
    for number, expires in enumerate(others):
        parts += [b"j%d" % number, Envelope(job=job(expires=expires)).pack()]
    assert Envelope.unpack(packed_netstrings(parts)).job.expires == of_all


@pytest.mark.parametrize("name", ["expires", "not_before"])
def test_a_number_beyond_all_floats_in_a_mailbox_is_no_envelope(name: str) -> None:
    """Another program has written it: the job becomes a dead letter, and its session goes on."""
    huge = b'"job":{"%s":1%s,' % (name.encode(), b"0" * 400)
    packed = Envelope(job=job()).pack().replace(b'"job":{', huge)
    with pytest.raises(InvalidJob, match="not a job's envelope"):
        Envelope.unpack(packed)
