"""A job is taken in where there is room for it, by each door; else it costs nobody anything."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from agents import Profiles
from memory import (
    AsyncConnection,
    Backpressure,
    Enqueued,
    Keyspace,
    Mailbox,
    MemoryUnavailable,
    intake,
)
from memory.mailbox.outcomes import Ending
from memory.quotas import pending
from memory.quotas.owners import Quota
from memory.quotas.pending import PendingCounts
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.steps import run_steps_async
from tasks.attempt.start import take_in_raw
from tasks.errors import ChatError, JobConflict, LimitReached, NotAccepted, QuotaExceeded
from tasks.job.envelope import Envelope, JobRef
from tasks.job.job import ChatJob
from tasks.process.app import app
from tasks.process.configuration import Settings, load_settings
from tasks.process.queue_wait import QueueWait
from tasks.submit.producer import Producer
from tasks.submit.submission import Submission
from tests.support.memory_fixtures import Backend


class Counting(Connection):
    """Counts the trips to the server."""

    trips = 0
    is_losing = False
    """Whether it goes away when a mailbox is asked."""

    def run_last(self, *commands: Command[object]) -> object:
        self.trips += 1
        if self.is_losing and commands[-1].script in intake.SCRIPTS:
            raise MemoryUnavailable("gone")
        return super().run_last(*commands)


class Sender(Producer):
    """Wakes nobody: there is no broker."""

    def follow_up(self, submission: Submission, enqueued: Enqueued) -> None:
        pass


class Doors:
    """The three ways in, over a server of the test's own, with these settings."""

    def __init__(self, backend: Backend, **settings: object) -> None:
        self.keyspace = Keyspace(backend.prefix)
        self.memory = Counting(backend.settings)
        self.aio = AsyncConnection(backend.settings)
        self.settings = settings
        self.producer = self.new_producer()

    def new_producer(self) -> Producer:
        """As of a process that has just started."""
        known, given = load_settings(), dict(self.settings)
        quota = given.pop("agent_quota", Quota())
        profile = replace(known.profiles.default, quota=quota)
        settings = Settings(
            memory=known.memory,
            llm=known.llm,
            agents=known.agents,
            queue=known.queue.model_copy(update=given),
            profiles=Profiles(profile, {}),
            webhooks=known.webhooks,
        )
        return Sender(app, self.memory, self.keyspace, settings, QueueWait(5.0))

    def job(self, session: str, user: str | None, agent: str, **options: object) -> ChatJob:
        metadata = None if user is None else {"user_id": user}
        return ChatJob.checked(
            {
                "agent_id": agent,
                "session_id": session,
                "message": "hi",
                "metadata": metadata,
                **options,
            },
            max_message_bytes=100,
        )

    def delay(
        self,
        job_id: str,
        session: str = "s",
        user: str | None = "ama",
        agent: str = "energy",
        **options: object,
    ) -> None:
        """As `chat_task.delay` does."""
        job = self.job(session, user, agent, **options)
        self.producer.submit(self.producer.submission(Envelope(job=job), job_id))

    async def send(self, job_id: str, session: str = "s", user: str | None = "ama") -> None:
        """As `tasks.aio.send` does."""
        job = self.job(session, user, "energy")
        submission = self.producer.submission(Envelope(job=job), job_id)
        await run_steps_async(self.aio, self.producer.admission.take_in(submission))

    async def raw(self, job_id: str, session: str = "s", user: str | None = "ama") -> None:
        """As a worker does with a raw job; what refused it is raised here."""
        envelope = Envelope(job=self.job(session, user, "energy"))
        ref = JobRef(job_id, "energy", session, None, envelope)
        refused = await take_in_raw(self.producer, self.aio, ref)
        if refused is not None:
            raise refused

    def counts(self, agent: str = "energy") -> PendingCounts:
        """What is pending now."""
        return self.memory.run(pending.look(self.keyspace, agent))

    def pending_in(self, session: str = "s") -> list[str]:
        """The jobs in a mailbox."""
        return self.memory.run(Mailbox.of(self.keyspace, "energy", session).pending())


@pytest.fixture
async def doors(real_backend: Backend) -> AsyncIterator[Callable[..., Doors]]:
    """Makes doors, with settings in code."""
    made: list[Doors] = []

    def make(**settings: object) -> Doors:
        made.append(Doors(real_backend, **settings))
        return made[-1]

    yield make
    for one in made:
        one.memory.close()
        await one.aio.aclose()


async def by(doors: Doors, door: str, job_id: str, **options: str) -> None:
    """Send a job by one of the three doors."""
    if door == "delay":
        await asyncio.to_thread(doors.delay, job_id, **options)
    else:
        await getattr(doors, door)(job_id, **options)


every_door = pytest.mark.parametrize("door", ["delay", "send", "raw"])

# ---- trips


def test_a_job_costs_one_trip_once_its_process_has_sent_one(doors: Callable[..., Doors]) -> None:
    """The first asks how much there is; with a quota each costs one more."""
    plain, bounded = doors(), doors(user_jobs_per_minute=1000)
    for one, first, later in ((plain, 2, 1), (bounded, 3, 2)):
        before = one.memory.trips
        one.delay(f"{later}-0")
        assert one.memory.trips - before == first
        for number in range(1, 5):
            one.delay(f"{later}-{number}")
        assert one.memory.trips - before == first + 4 * later


def test_a_quota_of_users_costs_a_job_of_nobody_nothing(doors: Callable[..., Doors]) -> None:
    """Whose it is decides."""
    one = doors(user_jobs_per_minute=1)
    for number in range(3):
        one.delay(f"j{number}", user=None)


# ---- bounds in all


@every_door
async def test_there_are_so_many_jobs_in_all(doors: Callable[..., Doors], door: str) -> None:
    """One more is refused, by whichever process, in whichever session; a repeat is answered."""
    one = doors(max_pending_total=3)
    for number in range(3):
        await by(one, door, f"j{number}", session=f"s{number}")
    for _ in range(2):
        with pytest.raises(LimitReached, match=r"3 jobs .*CHAT_MAX_PENDING_TOTAL"):
            await by(one, door, "j3", session="other")
        one.producer = one.new_producer()
    await by(one, door, "j2", session="s2")
    assert one.pending_in("other") == []
    assert one.counts() == PendingCounts(3, 3)
    one.memory.run(pending.release(one.keyspace, ("j0",)))
    await by(one, door, "j3", session="other")


def test_an_agent_has_so_many_jobs(doors: Callable[..., Doors]) -> None:
    """Another agent goes on."""
    one = doors(max_pending_per_agent=2)
    for number in range(2):
        one.delay(f"j{number}", session=f"s{number}")
    with pytest.raises(LimitReached, match=r"agent energy.*CHAT_MAX_PENDING_PER_AGENT"):
        one.delay("j2", session="s2")
    one.delay("j2", agent="water")


@every_door
async def test_with_so_many_sessions_no_other_begins(
    doors: Callable[..., Doors], door: str
) -> None:
    """Those that are there go on."""
    one = doors(max_sessions=2)
    await by(one, door, "j1", session="old")
    totals = one.keyspace.quotas.totals
    one.memory.run(Command(int, ("HSET", totals, "sessions", 2)))
    one.memory.run(Command(int, ("EXPIRE", totals, 100)))
    await by(one, door, "j2", session="old")
    with pytest.raises(LimitReached, match="CHAT_MAX_SESSIONS"):
        await by(one, door, "j3", session="new")
    await by(one, door, "j3", session="old")


# ---- quotas


@every_door
async def test_a_quota_is_kept_and_says_when_it_has_room(
    doors: Callable[..., Doors], door: str
) -> None:
    """The refused job leaves nothing; another user goes on; a repeat is answered, not charged."""
    one = doors(user_jobs_per_minute=2)
    for job_id in ("j1", "j2", "j1"):
        await by(one, door, job_id)
    with pytest.raises(QuotaExceeded, match=r"2 jobs per minute.*CHAT_USER_JOBS_PER_MIN") as caught:
        await by(one, door, "j3")
    assert 25 < caught.value.retry_after_s <= 30
    await by(one, door, "j2")
    await by(one, door, "k1", user="kofi")
    assert one.pending_in() == ["j1", "j2", "k1"]
    assert one.counts().pending == 3


def test_an_agents_quota_is_that_of_its_profile(doors: Callable[..., Doors]) -> None:
    """For all its users together; each unknown agent has its own."""
    one = doors(agent_quota=Quota(jobs_at_once=1))
    one.delay("j1", user="ama")
    with pytest.raises(QuotaExceeded, match=r"1 jobs at once of agent energy") as caught:
        one.delay("j2", user="kofi")
    assert caught.value.retry_after_s == 1
    one.delay("j2", agent="water")


def test_a_refusal_by_the_mailbox_costs_nothing(doors: Callable[..., Doors]) -> None:
    """A full mailbox, a busy session, an id that is another request's, a job that is over."""
    one = doors(user_jobs_per_minute=2, user_jobs_at_once=2, max_pending=1)
    one.delay("j1")
    with pytest.raises(Backpressure):
        one.delay("j2")
    with pytest.raises(ChatError, match="is busy"):
        one.delay("j2", on_busy="reject")
    with pytest.raises(JobConflict):
        one.delay("j1", session="other")
    assert one.counts() == PendingCounts(1, 1)
    box = Mailbox.of(one.keyspace, "energy", "s")
    gone = box.discard("j1", "x", owner="o", ending=Ending.CANCELLED, ttl_s=60, grace_ms=1)
    one.memory.run_last(*gone)
    one.memory.run(pending.release(one.keyspace, ("j1",)))
    one.delay("j1")
    assert one.counts() == PendingCounts()
    one.delay("j2")
    assert one.counts() == PendingCounts(1, 1)


def test_without_a_quota_a_refusal_leaves_no_count(doors: Callable[..., Doors]) -> None:
    """Else refusals would fill what there may be in all."""
    one = doors(max_pending=1)
    one.delay("j1")
    for number in range(3):
        with pytest.raises(Backpressure):
            one.delay(f"r{number}")
    assert one.counts() == PendingCounts(1, 1)


def test_damaged_quotas_fail_no_job(
    doors: Callable[..., Doors], caplog: pytest.LogCaptureFixture
) -> None:
    """They are named in the log, and nobody is bounded until they are mended."""
    one = doors(user_jobs_at_once=1)
    key = one.keyspace.quotas.owners
    one.memory.run(Command(bool, ("SET", key, "x", "EX", 100)))
    for number in range(3):
        one.delay(f"j{number}")
    assert key in caplog.text
    assert len(one.pending_in()) == 3


def test_a_job_of_which_nothing_is_known_is_charged_once(
    doors: Callable[..., Doors],
) -> None:
    """Redis is away between charge and mailbox: the sender repeats it, and pays once."""
    one = doors(user_jobs_per_minute=1, user_jobs_at_once=1)
    one.memory.is_losing = True
    with pytest.raises(NotAccepted):
        one.delay("j1")
    one.memory.is_losing = False
    one.delay("j1")
    assert one.pending_in() == ["j1"]
    with pytest.raises(QuotaExceeded):
        one.delay("j2")


def test_the_errors_survive_the_way_through_a_result_backend() -> None:
    """By class and message: pickled, and made anew."""
    error = QuotaExceeded.after("the user's 2 jobs per minute are used up", 1.25)
    for again in (pickle.loads(pickle.dumps(error)), QuotaExceeded(*error.args)):  # noqa: S301 - our own
        assert (str(again), again.retry_after_s) == (str(error), 1.25)
    assert str(pickle.loads(pickle.dumps(LimitReached("full")))) == "full"  # noqa: S301 - our own
