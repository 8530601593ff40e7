"""What there is in all sessions is counted, and of the dead letters the oldest go."""

import logging

import pytest

from memory import Command, Keyspace, Mailbox, dead_letters, index
from memory.mailbox.intake import Intake
from memory.mailbox.outcomes import Ending
from memory.quotas import pending
from memory.upkeep.housekeeping import Housekeeping
from memory.upkeep.totals import Totals, read_totals
from tests.support.mailbox.server_clock import ClockedConnection
from tests.support.memory_fixtures import Backend

START_MS = 1_800_000_000_000


class Deployment:
    """Sessions in which jobs die, by a clock that only the test moves."""

    def __init__(self, backend: Backend) -> None:
        self.plain = backend.connection
        self.keyspace = Keyspace(backend.prefix)
        self.now_ms = START_MS
        self.connection = ClockedConnection(backend.connection, lambda: self.now_ms)

    def bury(self, session: str, job: str) -> None:
        """A job of the session becomes a dead letter, a second after the one before."""
        self.now_ms += 1000
        box = Mailbox.of(self.keyspace, "energy", session)
        take_in = box.take_in(Intake(job, b"{}", 100), grace_ms=1)
        self.connection.run_last(dead_letters.note(box), *take_in)
        out = box.discard(job, "x", owner="o", ending=Ending.DEAD, ttl_s=60, grace_ms=1)
        self.connection.run_last(*out)

    def letters(self, session: str) -> list[str]:
        """The jobs whose dead letters a session has."""
        box = Mailbox.of(self.keyspace, "energy", session)
        found = self.connection.run(dead_letters.letters(box)).letters
        return [letter.job_id for letter in found]

    def ask(self, parts: tuple[str | int, ...]) -> object:
        """The plain reply to a command."""
        return self.plain.run(Command(lambda reply: reply, parts))

    def keep(self, most: int) -> Totals:
        """Let so many dead letters stay."""
        return Housekeeping(self.plain, self.keyspace).keep_totals(max_letters=most)


@pytest.fixture
def deployment(backend: Backend) -> Deployment:
    """Three sessions with dead letters, on the real and on the fake server in turn."""
    made = Deployment(backend)
    for session, job in (("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "5"), ("a", "6")):
        made.bury(session, job)
    return made


@pytest.mark.parametrize(
    ("most", "left"),
    [
        (6, ["136", "25", "4"]),
        (5, ["36", "25", "4"]),
        (3, ["6", "5", "4"]),
        (1, ["6", "", ""]),
        (0, ["", "", ""]),
    ],
)
def test_the_oldest_letters_of_all_sessions_go(
    deployment: Deployment, most: int, left: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """At the bound none, one over it one; each that goes is named, and the setting."""
    with caplog.at_level(logging.WARNING):
        assert deployment.keep(most).dead_letters == most
    assert ["".join(deployment.letters(session)) for session in "abc"] == left
    kept = "".join(left)
    named = "".join(record.getMessage().partition("jobs ")[2] for record in caplog.records)
    assert {job for job in "123456" if job not in kept} == set(named) - set(", ")
    assert all("CHAT_MAX_DEAD_LETTERS=" in record.getMessage() for record in caplog.records)


def test_a_dropped_letter_stays_done(deployment: Deployment) -> None:
    """A late message of its job runs nothing."""
    deployment.keep(0)
    box = Mailbox.of(deployment.keyspace, "energy", "a")
    assert deployment.connection.run(box.is_committed("1")) is False


def test_totals_are_noted_for_those_who_admit_jobs(deployment: Deployment) -> None:
    """Before that nothing is known."""
    assert read_totals(deployment.plain, deployment.keyspace) is None
    for session in ("s1", "s2"):
        deployment.plain.run_all(*index.touch(deployment.keyspace, "energy", session))
    totals = deployment.keep(4)
    assert totals == Totals(2, 4)
    assert read_totals(deployment.plain, deployment.keyspace) == totals
    look = pending.look(deployment.keyspace, "energy")
    assert deployment.plain.run(look).sessions == 2


def test_a_damaged_list_of_letters_hides_no_other(deployment: Deployment) -> None:
    """It is named in the log, and counts nothing."""
    dead = deployment.keyspace.session("energy", "b").dead
    deployment.ask(("UNLINK", dead))
    deployment.ask(("SET", dead, "x", "EX", 100))
    assert deployment.keep(2).dead_letters == 2
    assert [deployment.letters(session) for session in "ac"] == [["6"], ["4"]]


def test_an_element_that_is_no_letter_goes_first(deployment: Deployment) -> None:
    """Nobody can say how old it is."""
    dead = deployment.keyspace.session("energy", "c").dead
    deployment.ask(("LPUSH", dead, "nonsense"))
    assert deployment.keep(6).dead_letters == 6
    assert [deployment.letters(session) for session in "abc"] == [
        ["1", "3", "6"],
        ["2", "5"],
        ["4"],
    ]
