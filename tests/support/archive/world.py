"""Conversations and their archiver in turns, on a real server: between any two steps of one of them
others act, it is killed, or its command is sent twice. What was said is known, and compared.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TypeVar

from memory import CommitOutcome, Keyspace, Mailbox, RedisMemoryService, erase_session
from memory.archive.archiver import Archiver
from memory.archive.file import ArchiveFile
from memory.archive.reading import kept_elsewhere
from memory.lifetimes import ARCHIVE_HOLD_S
from memory.records import archived, history, index
from memory.records.archived import Stay
from memory.redis.command import Command, LuaScript
from memory.redis.connection import Connection
from memory.redis.replies import integer
from memory.settings import MemorySettings

T = TypeVar("T")

STAY = Stay(messages=3, size_bytes=100_000)
OVER_MS = ARCHIVE_HOLD_S * 1000 - 1000
MEDDLES, DIES, IS_SENT_TWICE = 0.4, 0.03, 0.1
LONG_AGO_MS = 1


class Killed(BaseException):
    """The process ends here."""


class Violation(AssertionError):
    """What is there is not what was said."""


class SteppedConnection(Connection):
    """A connection before each of whose calls `step` is called, and some of whose calls are sent
    twice: the first reply was lost."""

    def __init__(
        self, settings: MemorySettings, step: Callable[[], bool], mutants: Mapping[str, LuaScript]
    ) -> None:
        super().__init__(settings)
        self._step = step
        self._mutants = mutants

    def run(self, command: Command[T]) -> T:
        """The result of one call."""
        return self.run_each([command])[0]

    def run_each(self, commands: Sequence[Command[T]]) -> list[T]:
        """The results of some."""
        sent = [self._mutated(one) for one in commands]
        if self._step():
            super().run_each(sent)
        return super().run_each(sent)

    def _mutated(self, command: Command[T]) -> Command[T]:
        script = command.script and self._mutants.get(command.script.name)
        return replace(command, script=script) if script else command


class ArchiveWorld:
    """Some sessions, those who speak, clear, replace and erase, and the archiver."""

    def __init__(
        self,
        settings: MemorySettings,
        path: Path,
        seed: int,
        mutants: Mapping[str, LuaScript] | None = None,
        *,
        sessions: Sequence[str] = ("s1", "s2"),
    ) -> None:
        self._draw = random.Random(seed)
        self._numbers = count()
        self._keyspace: Keyspace = settings.keyspace
        self._calm = SteppedConnection(settings, lambda: False, mutants or {})
        self._stepped = SteppedConnection(settings, self._step, mutants or {})
        self._file = ArchiveFile(path)
        self._service = RedisMemoryService(settings=settings, connection=self._calm)
        self._is_meddling = self._may_die = False
        self._in_turn: set[str] = set()
        self.said: dict[str, list[str]] = {session: [] for session in sessions}

    def run(self, acts: int) -> None:
        """Let so many things happen; then all ends in the archive. Raises Violation."""
        for _ in range(acts):
            self._draw.choice((self._archive, self._turn, self._act, self._come_back))()
            self._check()
        for session in self.said:
            self._end(session)
        self._file_is_forgotten()
        for _ in range(3):
            Archiver(self._calm, self._keyspace, self._file, STAY).run()
            self._file_is_forgotten()
        self._check()
        for session, said in self.said.items():
            kept = self._texts(session, self._file.every(self._keyspace.session("a", session)))
            if kept != said:
                raise Violation(f"the archive has {kept} of {said}")

    def close(self) -> None:
        """End all connections."""
        for one in (self._calm, self._stepped, self._file):
            one.close()

    def _step(self) -> bool:
        """Between two steps: whether the next one is sent twice."""
        if self._is_meddling:
            return False
        if self._may_die and self._draw.random() < DIES:
            raise Killed
        if self._draw.random() < MEDDLES:
            self._is_meddling = True
            try:
                self._draw.choice((self._act, self._act, self._turn, self._archive))()
            finally:
                self._is_meddling = False
        self._check()
        return self._draw.random() < IS_SENT_TWICE

    def _check(self) -> None:
        """Nothing is lost, doubled or out of order, and what was removed is not to be seen."""
        for session, said in self.said.items():
            keys = self._keyspace.session("a", session)
            place = self._calm.run(archived.place(keys))
            gone = kept_elsewhere(self._calm, self._keyspace, self._file, keys, place)
            here = self._calm.run(history.stored(keys, at_most=10**6))
            seen = self._texts(session, [*(gone.records if gone else ()), *here])
            if seen != said:
                raise Violation(f"{seen} is there, {said} was said")

    def _texts(self, session: str, records: Sequence[bytes]) -> list[str]:
        keys = self._keyspace.session("a", session)
        return [str(one["content"]) for one in history.decode(keys, records).messages]

    # -- who acts ------------------------------------------------------------

    def _act(self) -> None:
        """Somebody speaks, or removes what was said; or time goes by."""
        session = self._draw.choice([*self.said])
        acts = [self._say] * 4 + [self._end] * 3 + [self._clear, self._erase] * 2
        acts += [self._replace, self._time_goes_by]
        self._draw.choice(acts)(session)

    def _say(self, session: str) -> None:
        message = self._message()
        self._service.append_to_history("a", session, message)
        self.said[session].append(message["content"])

    def _end(self, session: str) -> None:
        """The time of the session is over, unless a job waits in it."""
        keys = self._keyspace.session("a", session)
        self._calm.run(Command(integer, ("PEXPIRE", keys.history, OVER_MS, "XX")))

    def _clear(self, session: str) -> None:
        self._service.clear_conversation_history("a", session)
        self.said[session] = []

    def _replace(self, session: str) -> None:
        messages = [self._message(), self._message()]
        self._service.save_conversation_history("a", session, messages)
        self.said[session] = [one["content"] for one in messages]

    def _erase(self, session: str) -> None:
        erase_session(self._calm, self._keyspace, "a", session)
        self.said[session] = []

    def _time_goes_by(self, session: str) -> None:
        """What was to be forgotten has been on its list for long."""
        self._file_is_forgotten()

    def _file_is_forgotten(self) -> None:
        key = self._keyspace.archive_forgotten
        histories = [self._keyspace.session("a", session).history for session in self.said]
        for one in histories:
            self._calm.run(Command(integer, ("ZADD", key, "XX", LONG_AGO_MS, one)))

    def _archive(self) -> None:
        """The archiver runs, unless another one does; where it is killed, its lock runs out."""
        connection = self._calm if self._is_meddling else self._stepped
        with self._mortal():
            Archiver(connection, self._keyspace, self._file, STAY).run()
            return
        self._calm.run(archived.release_lock(self._keyspace))

    def _turn(self) -> None:
        """A job's turn; where its worker is killed, it begins again."""
        session = self._draw.choice([*self.said])
        if session in self._in_turn:
            return
        self._in_turn.add(session)
        connection = self._calm if self._is_meddling else self._stepped
        job, message = f"job{next(self._numbers)}", self._message()
        is_done = False
        while not is_done:
            with self._mortal():
                if self._took_turn(connection, session, job, message):
                    self.said[session].append(message["content"])
                is_done = True
        self._in_turn.discard(session)

    def _come_back(self) -> None:
        """A session is archived, and spoken to again."""
        # What is to be forgotten is not archived before that is done.
        self._file_is_forgotten()
        for session in self.said:
            self._end(session)
        Archiver(self._calm, self._keyspace, self._file, STAY).run()
        self._turn()

    def _took_turn(
        self, connection: Connection, session: str, job: str, message: dict[str, str]
    ) -> bool:
        """Whether the turn was recorded; its session is read back before it."""
        keys = self._keyspace.session("a", session)
        mailbox = Mailbox(self._keyspace, keys)
        self._calm.run_all(
            *mailbox.enqueue(job, b"{}", cap=9, grace_ms=1000),
            *mailbox.acquire(
                job, job, lease_ms=60_000, history_n=9, max_attempts=9, ttl_s=60, grace_ms=1000
            ),
            *index.touch(self._keyspace, "a", session),
        )
        part = self._file.newest(keys, at_most=self._draw.randint(1, 4))
        if part is not None and not self._calm.run(history.stored(keys, at_most=1)):
            rev, is_readable = connection.run_all(*archived.readable(self._keyspace, keys))
            if is_readable:
                back = archived.read_back(keys, part, job_id=job, attempt=1, rev=rev)
                connection.run(back)
        self._step()
        record = b'{"role":"user","content":"%s"}' % message["content"].encode()
        commit = mailbox.commit(
            job, job, [record], event=b"{}", keep=10**6, ttl_s=60, grace_ms=1000
        )
        return self._calm.run_last(*commit).outcome is CommitOutcome.OK

    @contextmanager
    def _mortal(self) -> Iterator[None]:
        """What may be killed between its steps, but not who acts in between them."""
        may, self._may_die = self._may_die, not self._is_meddling
        try:
            yield
        except Killed:
            if self._is_meddling:
                raise
        finally:
            self._may_die = may

    def _message(self) -> dict[str, str]:
        return {"role": "user", "content": f"message {next(self._numbers)}"}
