"""A history keeps so many bytes: the oldest turns go, whole, and the newest stays."""

import random

import pytest

from memory import InvalidInput, Keyspace, Mailbox, RedisMemoryService
from memory.mailbox.intake import Intake
from memory.records import history
from memory.redis.command import Command
from memory.redis.replies import strings
from memory.upkeep import transfer_file
from tests.support.memory_fixtures import Backend

BOUND = 2000


class Session:
    """One session; its turns are committed, its messages appended, within `BOUND` bytes."""

    def __init__(self, backend: Backend) -> None:
        self.connection = backend.connection
        self.box = Mailbox.of(Keyspace(backend.prefix), "a", "s")
        self.jobs = 0

    def commit(self, *sizes: int, keep: int = 1000) -> list[bytes]:
        """A turn whose messages have these sizes."""
        self.jobs += 1
        job = f"j{self.jobs}"
        records = [message(job, size) for size in sizes]
        self.connection.run_last(*self.box.take_in(Intake(job, b"{}", 100), grace_ms=1))
        ask = self.box.acquire(
            job, job, lease_ms=1000, history_n=0, max_attempts=9, ttl_s=60, grace_ms=1
        )
        self.connection.run_last(*ask)
        commit = self.box.commit(
            job,
            job,
            records,
            event=b'{"type":"done","job":"x","attempt":1}',
            keep=keep,
            most_bytes=BOUND,
            ttl_s=60,
            grace_ms=1,
        )
        self.connection.run_last(*commit)
        return records

    def append(self, size: int, keep: int = 1000) -> list[bytes]:
        """A message of no turn."""
        records = [message("", size)]
        write = history.append(
            self.box.keys,
            records,
            write_id=history.new_write_id(),
            keep=keep,
            most_bytes=BOUND,
            ttl_s=60,
            is_exact=False,
        )
        self.connection.run(write)
        return records

    def messages(self) -> list[bytes]:
        """What is kept."""
        return self.connection.run(Command(strings, ("LRANGE", self.box.keys.history, 0, -1)))


def message(job: str, size: int) -> bytes:
    """A message of so many bytes."""
    head = b'{"role":"user","job_id":"' + job.encode() + b'","content":"'
    if not job:
        head = b'{"role":"user","content":"'
    return head + b"x" * (size - len(head) - 2) + b'"}'


@pytest.fixture
def session(backend: Backend) -> Session:
    """An empty session, on the real and on the fake server in turn."""
    return Session(backend)


def test_at_the_bound_all_stays_and_one_byte_over_the_oldest_turn_goes(session: Session) -> None:
    """Whole: its question does not go without its answer."""
    first, second = session.commit(500, 500), session.commit(500, 400)
    third = session.commit(50, 50)
    assert session.messages() == [*first, *second, *third]
    fourth = session.commit(51, 50)
    assert session.messages() == [*second, *third, *fourth]


def test_a_turn_that_is_larger_than_all_there_may_be_stays_alone(session: Session) -> None:
    """It was asked and answered just now."""
    session.commit(300, 300)
    large = session.commit(1500, 1500)
    assert session.messages() == large
    small = session.commit(50, 50)
    assert session.messages() == small


def test_messages_of_no_turn_go_one_by_one(session: Session) -> None:
    """Also between turns."""
    kept = [session.append(600)[0] for _ in range(5)][-3:]
    assert session.messages() == kept
    turn = session.commit(400, 400)
    assert session.messages() == [*kept[-2:], *turn]


def test_the_number_of_messages_is_bounded_as_before(session: Session) -> None:
    """Whichever bound is reached first."""
    turns = [session.commit(50, 50, keep=4) for _ in range(4)]
    assert session.messages() == [*turns[2], *turns[3]]
    large = session.commit(1000, 950, keep=4)
    assert session.messages() == large


def test_what_another_program_wrote_is_counted(session: Session) -> None:
    """It changes how many messages there are, and so they are counted anew."""
    session.commit(100, 100)
    foreign = message("", 1700)
    session.connection.run(Command(int, ("RPUSH", session.box.keys.history, foreign)))
    turn = session.commit(101, 100)
    assert session.messages() == [foreign, *turn]


def test_a_new_history_is_counted_anew(backend: Backend, session: Session) -> None:
    """Also one with as many messages as the old one had."""
    session.commit(50, 50)
    large = [message("", 900), message("", 900)]
    write = history.replace(session.box.keys, large, write_id=b"w", ttl_s=60)
    backend.connection.run(write)
    turn = session.commit(101, 100)
    assert session.messages() == [large[1], *turn]


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_writes_keeps_to_the_bound(backend: Backend, seed: int) -> None:
    """What stays is the end of what was written, at most `BOUND` bytes but for the last write, and
    a turn is there as a whole or not at all."""
    rng, session = random.Random(seed), Session(backend)
    written: list[list[bytes]] = []
    for _ in range(40):
        size = rng.choice([60, 200, 700])
        written.append(session.append(size) if rng.random() < 0.3 else session.commit(size, 60, 90))
        expected: list[bytes] = []
        for turn in reversed(written):
            if expected and sum(map(len, [*turn, *expected])) > BOUND:
                break
            expected = [*turn, *expected]
        assert session.messages() == expected


def test_the_documented_service_keeps_to_it(backend: Backend) -> None:
    """An append lets the oldest go; a save that is too large is refused, by name."""
    settings = backend.settings.model_copy(update={"history_max_bytes": BOUND})
    service = RedisMemoryService(settings=settings, connection=backend.connection)
    said = [{"role": "user", "content": f"{number}" * 700} for number in range(4)]
    for one in said:
        service.append_to_history("a", "s", one)
    assert service.get_conversation_history("a", "s") == said[-2:]
    with pytest.raises(InvalidInput, match=r"the limit is 2000 \(HISTORY_MAX_BYTES\)"):
        service.save_conversation_history("a", "s", said)
    assert service.get_conversation_history("a", "s") == said[-2:]
    assert service.save_conversation_history("a", "s", said[:2])


def test_an_import_that_is_too_large_is_refused() -> None:
    """Nothing is written."""
    header = {
        "kind": transfer_file.HEADER,
        "version": transfer_file.VERSION,
        "agent_id": "a",
        "session_id": "s",
        "ttl_s": None,
    }
    line = {"kind": "message", "message": {"role": "user", "content": "x" * 500}}
    lines = list(transfer_file.as_lines([header, *[line] * 4]))
    with pytest.raises(InvalidInput, match="HISTORY_MAX_BYTES"):
        transfer_file.read(lines, most_messages=9, max_bytes=1000, most_bytes=BOUND)
    assert transfer_file.read(lines, most_messages=9, max_bytes=1000, most_bytes=BOUND + 400)
