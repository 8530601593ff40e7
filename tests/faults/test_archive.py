"""The archiver and Redis are killed at any moment: no message is lost, none is there twice."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from memory.archive.archiver import Archiver
from memory.archive.opening import archive_at
from memory.errors import MemoryServiceError
from memory.records import archived, history, index
from memory.records.archived import Stay
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import integer
from memory.settings import MemorySettings
from sandbox.valkey import ValkeyServer
from tests.support.effort import effort
from tests.support.servers.no_sync import NO_SYNC
from tests.support.warm.piped import piped_python

SESSIONS, ROUNDS = 20, effort(5, long=100)
STAY = Stay(messages=6, size_bytes=1_000_000)
OVER_MS = 31_536_000_000_000 - 1000
ARCHIVER = """
import sys
from memory.archive.archiver import Archiver
from memory.archive.opening import archive_at
from memory.errors import MemoryServiceError
from memory.records.archived import Stay, release_lock
from memory.redis.connection import Connection
from memory.settings import MemorySettings

settings = MemorySettings()
connection, file = Connection(settings), archive_at(settings.archive_url)
while True:
    try:
        connection.run(release_lock(settings.keyspace))  # of the one that was killed
        Archiver(connection, settings.keyspace, file, Stay(6, 1_000_000)).run()
        print("run", flush=True)
    except MemoryServiceError as exc:
        print(exc, flush=True)
"""


class Conversations:
    """What was said in each session, and what Redis and the archive have of it."""

    def __init__(self, settings: MemorySettings) -> None:
        self.connection = Connection(settings)
        self.keyspace = settings.keyspace
        self.file = archive_at(settings.archive_url or SecretStr(""))
        self.said = [0] * SESSIONS

    def say(self) -> None:
        """One more message in each session. What Redis did not confirm is said again, under its
        own id."""
        for number in range(SESSIONS):
            keys = self.keyspace.session("a", f"s{number}")
            record = b'{"role":"user","content":"%d"}' % self.said[number]
            append = history.append(
                keys, [record], write_id=history.new_write_id(), keep=10**6, ttl_s=60,
                is_exact=False,
            )  # fmt: skip
            self.sure(append, *index.touch(self.keyspace, "a", f"s{number}"))
            self.said[number] += 1

    def end(self, number: int) -> None:
        """The time of a session is over."""
        history_key = self.keyspace.session("a", f"s{number}").history
        self.sure(Command(integer, ("PEXPIRE", history_key, OVER_MS)))

    def sure(self, *commands: Command[object]) -> None:
        """Send until Redis has confirmed it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.connection.run_each(commands)
            except MemoryServiceError:
                continue
            return
        pytest.fail("Redis does not come back")

    def found(self, number: int) -> list[int]:
        """The messages of a session in their order, each as often as it is anywhere."""
        keys = self.keyspace.session("a", f"s{number}")
        gone = self.file.every(keys, but=self.connection.run(archived.place(keys)))
        here = self.connection.run(history.elements(keys, 0, -1))
        messages = history.decode(keys, [*gone, *here]).messages
        return [int(str(one["content"])) for one in messages]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server that keeps what it has acknowledged."""
    directory = tmp_path_factory.mktemp("valkey")
    with ValkeyServer(data_dir=directory, append_only="always", options=NO_SYNC) as made:
        yield made


def test_killed_at_any_moment_nothing_is_lost_or_doubled(
    server: ValkeyServer, tmp_path: Path
) -> None:
    """The archiver in each round, Redis in every other one; sessions go on, and end, meanwhile."""
    chance = random.Random(18)
    url = f"sqlite:///{tmp_path / 'a.db'}"
    settings = MemorySettings(url=SecretStr(server.url()), archive_url=SecretStr(url), timeout_s=5)
    talk = Conversations(settings)
    env = {"REDIS_URL": server.url(), "ARCHIVE_URL": url, "PYTHONPATH": str(Path.cwd())}
    for round_ in range(ROUNDS):
        archiver = piped_python("-c", ARCHIVER, env=env, cwd=tmp_path)
        assert archiver.stdout is not None
        assert archiver.stdout.readline() == "run\n"
        for _ in range(chance.randrange(2, 9)):
            talk.say()
            talk.end(chance.randrange(SESSIONS))
        if round_ % 2:
            server.kill()
            archiver.kill()
            server.start()
        with archiver:
            archiver.kill()
    talk.sure(archived.release_lock(talk.keyspace))
    Archiver(talk.connection, talk.keyspace, talk.file, STAY).run()
    assert min(talk.said) > ROUNDS
    assert talk.file.content().messages > SESSIONS
    for number in range(SESSIONS):
        assert talk.found(number) == list(range(talk.said[number]))
