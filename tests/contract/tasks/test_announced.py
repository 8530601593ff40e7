"""Waiting for values that are announced as they are written, on a real server."""

import threading
import time
from collections.abc import Iterator

import pytest

from memory import MemorySettings, MemoryUnavailable
from memory.redis.announced import AllWait, Announcements
from sandbox.valkey import ValkeyServer
from tests.support.waiting import wait_until

TIMEOUT_S = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """One server for all of this file."""
    with ValkeyServer() as running:
        yield running


@pytest.fixture
def announcements(server: ValkeyServer) -> Iterator[Announcements]:
    """Two may wait at once."""
    server.command("FLUSHALL")
    made = Announcements(MemorySettings(url=server.url(), timeout_s=1.0), most=2)
    yield made
    made.close()


class Waiting(threading.Thread):
    """Waits for one value."""

    def __init__(self, announcements: Announcements, name: bytes) -> None:
        super().__init__(daemon=True)
        self.found: list[object] = []
        self._announcements, self._name = announcements, name
        self.start()

    def run(self) -> None:
        try:
            self.found.append(value(self._announcements, self._name))
        except (AllWait, MemoryUnavailable) as exc:  # the test looks at it
            self.found.append(type(exc))


def value(announcements: Announcements, name: bytes, timeout_s: float = TIMEOUT_S) -> bytes | None:
    """The first one that does not begin with a question mark."""
    return announcements.value(
        name, lambda found: None if found[:1] == b"?" else found, timeout_s=timeout_s
    )


def write(server: ValkeyServer, name: str, text: str) -> None:
    """As Celery does."""
    server.command("SETEX", name, 60, text)
    server.command("PUBLISH", name, text)


def wait_for_subscribers(server: ValkeyServer, name: str, amount: int = 1) -> None:
    """So many wait for it."""
    asked = "PUBSUB", "NUMSUB", name
    wait_until(lambda: server.command(*asked)[1] == amount, what="they have subscribed")  # type: ignore[index]  # a list


def test_what_is_there_takes_one_trip(server: ValkeyServer, announcements: Announcements) -> None:
    """And leaves no subscription behind but its last."""
    for number in range(20):
        write(server, f"k{number}", str(number))
        assert value(announcements, f"k{number}".encode()) == str(number).encode()
    assert server.command("PUBSUB", "CHANNELS") == ["k19"]


def test_what_comes_later_is_announced(server: ValkeyServer, announcements: Announcements) -> None:
    """To each who waits, and to nobody else; what is not final is passed over."""
    first, second = Waiting(announcements, b"k1"), Waiting(announcements, b"k2")
    wait_for_subscribers(server, "k1")
    wait_for_subscribers(server, "k2")
    write(server, "k1", "?")
    write(server, "k2", "two")
    second.join(TIMEOUT_S)
    assert not first.found
    write(server, "k1", "one")
    first.join(TIMEOUT_S)
    assert (first.found, second.found) == ([b"one"], [b"two"])


def test_a_late_message_of_the_last_question_answers_none(
    server: ValkeyServer, announcements: Announcements
) -> None:
    """It lies on the connection when the next question goes out there."""
    write(server, "k1", "one")
    assert value(announcements, b"k1") == b"one"
    write(server, "k1", "again")
    assert value(announcements, b"k2", 0.05) is None
    write(server, "k1", "again")
    assert value(announcements, b"k1") == b"again"


def test_nothing_comes_in_time(server: ValkeyServer, announcements: Announcements) -> None:
    """And the same connection is good for the next one."""
    before = time.monotonic()
    assert value(announcements, b"k1", 0.2) is None
    assert value(announcements, b"k1", 0.0) is None
    assert time.monotonic() - before >= 0.2
    write(server, "k1", "one")
    assert value(announcements, b"k1", 0.0) == b"one"
    assert len(str(server.command("CLIENT", "LIST")).split("name=griot ")) == 2


def test_no_more_wait_than_may(server: ValkeyServer, announcements: Announcements) -> None:
    """The next one is told at once."""
    waiting = [Waiting(announcements, b"k1") for _ in range(2)]
    wait_for_subscribers(server, "k1", 2)
    with pytest.raises(AllWait):
        value(announcements, b"k1")
    write(server, "k1", "one")
    for one in waiting:
        one.join(TIMEOUT_S)
    assert [one.found for one in waiting] == [[b"one"], [b"one"]]
    assert value(announcements, b"k1") == b"one"


def test_a_server_that_comes_back_is_asked_again(
    server: ValkeyServer, announcements: Announcements
) -> None:
    """By who waits, and by who comes later with a connection of before."""
    server.command("SET", "k0", "zero")
    assert value(announcements, b"k0") == b"zero"
    waiting = Waiting(announcements, b"k1")
    wait_for_subscribers(server, "k1")
    server.kill()
    server.restart()
    wait_for_subscribers(server, "k1")
    write(server, "k1", "one")
    waiting.join(TIMEOUT_S)
    assert waiting.found == [b"one"]
    assert value(announcements, b"k1") == b"one"
    announcements.close()
    assert value(announcements, b"k1") == b"one"


def test_a_server_that_stays_away_is_an_error(
    server: ValkeyServer, announcements: Announcements
) -> None:
    """One of ours, and no place is lost."""
    server.kill()
    try:
        for _ in range(3):
            with pytest.raises(MemoryUnavailable):
                value(announcements, b"k1")
    finally:
        server.restart()
    write(server, "k1", "one")
    assert value(announcements, b"k1") == b"one"
