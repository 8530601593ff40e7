"""What operators look at costs the same however much there is, and misses nothing."""

from collections.abc import Callable
from dataclasses import asdict

import orjson
import pytest

from memory import InvalidInput, Keyspace, SessionKeys
from memory.mailbox.looks import Why
from memory.mailbox.netstrings import packed_netstrings
from tasks.overview.jobs import find_job, waiting_jobs
from tasks.overview.letters import letters
from tests.support.effort import effort
from tests.support.memory_fixtures import Backend

SESSIONS, LETTERS, LONG_MS = effort(3000, long=10_000), 5000, 600_000
PAGE = 10
MOST_BYTES = 8000
FAR_MS = 4_000_000_000_000


@pytest.fixture
def keyspace(real_backend: Backend) -> Keyspace:
    """The names of the test's keys."""
    return real_backend.settings.keyspace


@pytest.fixture
def lease(real_backend: Backend) -> Callable[..., None]:
    """Writes what a lease says."""

    def write(keys: SessionKeys, **facts: object) -> None:
        real_backend.observer.hset(keys.lease, mapping=facts)  # type: ignore[arg-type]  # texts and numbers
        real_backend.observer.pexpire(keys.lease, LONG_MS)

    return write


def fill_jobs(backend: Backend, keyspace: Keyspace, sessions: int) -> None:
    """A job in each of so many sessions, one after the other."""
    write, pending = backend.observer.pipeline(transaction=False), keyspace.quotas.pending_jobs
    for number in range(sessions):
        keys, job_id = keyspace.session("agent", f"s-{number}"), f"job-{number}"
        write.set(keyspace.job(job_id), f"digest {keys.history}", px=LONG_MS)
        write.zadd(keys.queue, {job_id: number * 1000})
        write.zadd(pending, {job_id: FAR_MS + number // 3})
    write.pexpire(pending, LONG_MS)
    write.execute()


def fill_letters(backend: Backend, keyspace: Keyspace, sessions: int, of_each: int) -> None:
    """So many dead letters, each larger than a page is shown."""
    write = backend.observer.pipeline(transaction=False)
    for number in range(sessions):
        keys = keyspace.session("agent", f"dead-{number}")
        for letter in range(of_each):
            facts = (f"dead-{number}-{letter}", "1000", "3", "5", "why", "{}", "")
            write.rpush(keys.dead, packed_netstrings(one.encode() for one in facts))
        write.pexpire(keys.dead, LONG_MS)
        write.zadd(keyspace.dead, {keys.history: number})
    write.execute()


def commands(backend: Backend) -> int:
    """How many commands the server has run."""
    return int(backend.observer.info("stats")["total_commands_processed"])


def test_pages_of_many_jobs_are_bounded_and_have_each_once(
    real_backend: Backend, keyspace: Keyspace
) -> None:
    """The first and one in the middle of thousands take the same few commands and bytes."""
    fill_jobs(real_backend, keyspace, SESSIONS)
    seen, place = list[str](), ""
    for _ in range(12):
        before = commands(real_backend)
        page = waiting_jobs(real_backend.connection, keyspace, place, limit=PAGE)
        assert commands(real_backend) - before <= 8 * PAGE + 5
        assert len(orjson.dumps(asdict(page))) <= MOST_BYTES
        seen += [job.job_id for job in page.jobs]
        place = str(page.next)
    # Members with one score are in the order of their bytes.
    ordered = real_backend.observer.zrange(keyspace.quotas.pending_jobs, 0, 12 * PAGE - 1)
    assert seen == [member.decode() for member in ordered]
    middle = waiting_jobs(
        real_backend.connection, keyspace, f"{FAR_MS + SESSIONS // 6}-1", limit=PAGE
    )
    assert len(middle.jobs) == PAGE
    with pytest.raises(InvalidInput):
        waiting_jobs(real_backend.connection, keyspace, "nowhere", limit=PAGE)


def test_pages_of_many_dead_letters_are_bounded_and_have_each_once(
    real_backend: Backend, keyspace: Keyspace
) -> None:
    """Of sessions with few and with many; sessions whose letters are gone cost no page."""
    fill_letters(real_backend, keyspace, LETTERS // 25, 25)
    real_backend.observer.delete(keyspace.session("agent", "dead-199").dead)
    seen, place = list[str](), ""
    while place is not None and len(seen) < 200:
        before = commands(real_backend)
        page = letters(real_backend.connection, keyspace, place, limit=PAGE)
        assert commands(real_backend) - before <= PAGE + 5
        assert len(orjson.dumps(asdict(page))) <= MOST_BYTES
        seen += [one.job_id for one in page.letters]
        place = page.next  # type: ignore[assignment]  # it ends with None
    wanted = [f"dead-{s}-{one}" for s in range(198, 150, -1) for one in reversed(range(25))]
    assert seen == wanted[: len(seen)]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, Why.WAKE),
        ({"token": "t", "until": FAR_MS, "job": "job-0", "attempt": 2}, Why.RUNNING),
        ({"token": "t", "until": 5, "job": "job-0", "attempt": 2}, Why.WAKE),
        ({"not_before": FAR_MS, "job": "job-0", "attempt": 1}, Why.BACKOFF),
        ({"slot_wait_until": FAR_MS, "job": "job-0"}, Why.SLOT),
        (
            {"slot_wait_until": FAR_MS, "servers_away_since": 5, "job": "job-0"},
            Why.SERVER,
        ),
        ({"slot_wait_until": FAR_MS, "paused": 1, "job": "job-0"}, Why.PAUSED),
        ({"not_before": FAR_MS, "job": "another"}, Why.WAKE),
        ({"not_before": "soon", "until": b"\xff", "job": "job-0"}, Why.WAKE),
    ],
)
def test_a_job_says_why_it_waits(
    real_backend: Backend,
    keyspace: Keyspace,
    lease: Callable[..., None],
    facts: dict[str, object],
    why: Why,
) -> None:
    """As its lease has it, were that of another job or of another program; those behind it wait for
    it."""
    fill_jobs(real_backend, keyspace, 1)
    keys = keyspace.session("agent", "s-0")
    if facts:
        lease(keys, **facts)
    real_backend.observer.zadd(keys.queue, {"behind": 5000})
    real_backend.observer.set(keyspace.job("behind"), f"digest {keys.history}", px=LONG_MS)
    found = find_job(real_backend.connection, keyspace, "job-0")
    assert found is not None
    assert found.state == why.value
    behind = find_job(real_backend.connection, keyspace, "behind")
    assert behind is not None
    assert behind.job is not None
    assert (behind.job.why, behind.job.before, behind.job.ahead) == (Why.BEHIND, 1, "job-0")
    assert find_job(real_backend.connection, keyspace, "nobody") is None
