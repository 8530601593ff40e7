"""The outage of one server, with a clock that only the test moves."""

from dataclasses import dataclass

from memory.keys import Keyspace, SessionKeys
from memory.outages.outages import Look, NotedLook, Outage, Parked, ServerOutage
from memory.priority import Priority
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import strings
from tests.support.mailbox.server_clock import ClockedConnection

START_MS = 1_800_000_000_000
SERVER = "http://ollama:11434"


@dataclass
class OutageRig:
    """A server, at the time `now_ms`. Sessions are named `agent/session`."""

    connection: Connection
    keyspace: Keyspace
    server: str = SERVER
    model: str = ""
    now_ms: int = START_MS

    def __post_init__(self) -> None:
        self.connection = ClockedConnection(self.connection, lambda: self.now_ms)

    @property
    def outage(self) -> Outage:
        return Outage(self.keyspace, self.server, self.model)

    def later(self, delay_ms: int) -> None:
        self.now_ms += delay_ms

    def keys_of(self, name: str) -> SessionKeys:
        agent, session = name.split("/")
        return self.keyspace.session(agent, session)

    def park(
        self,
        name: str,
        *,
        is_first: bool = True,
        pause_ms: int = 0,
        priority: Priority = Priority.NORMAL,
    ) -> Parked:
        session = self.keys_of(name)
        return self.connection.run(
            self.outage.park(session, is_first=is_first, pause_ms=pause_ms, priority=priority)
        )

    def look(self, *, is_ours: bool = True) -> Look:
        return self.connection.run(self.outage.look(is_ours=is_ours))

    def note_look(self, *, answers: bool) -> NotedLook:
        return self.connection.run(self.outage.note_look(answers=answers))

    def named(self, noted: NotedLook) -> list[str]:
        """The sessions to wake."""
        found = (self.outage.session(entry) for entry in noted.to_wake)
        return [f"{keys.agent_id}/{keys.session_id}" for keys in found if keys is not None]

    def take_off(self, noted: NotedLook) -> int:
        return self.connection.run(self.outage.take_off(noted.to_wake))

    def state(self) -> ServerOutage | None:
        return self.connection.run(self.outage.state())

    def waiting(self) -> int:
        return self.connection.run(self.outage.waiting())

    def ask(self, *args: str | bytes | int) -> object:
        """The plain reply to a command."""
        return self.connection.run(Command(lambda reply: reply, args))

    def stored(self) -> list[bytes]:
        """All that there is."""
        return strings(self.ask("KEYS", f"{self.keyspace.prefix}:*"))
