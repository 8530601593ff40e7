"""The slots at one model, with a clock that only the test moves."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from memory.keys import Keyspace, SessionKeys
from memory.priority import RANKS, Priority, Shares
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import strings
from memory.slots.occupancy import Occupancy, SlotWait
from memory.slots.slots import Slots
from tests.support.mailbox.server_clock import ClockedConnection

START_MS = 1_800_000_000_000
LEASE_MS = 30_000
RESERVE_MS = 5_000
SERVER, OTHER = "http://ollama:11434", "http://other:11434"
MODEL = "llama3.2:1b"


@dataclass
class SlotRig:
    """A model with `limit` slots, at the time `now_ms`. Sessions are named `agent/session`."""

    connection: Connection
    keyspace: Keyspace
    limit: int = 1
    model: str = MODEL
    servers: tuple[str, ...] = (SERVER,)
    own_limits: Mapping[str, int] = field(default_factory=dict)
    now_ms: int = START_MS
    shares: Shares = field(default_factory=Shares)

    def __post_init__(self) -> None:
        self.connection = ClockedConnection(self.connection, lambda: self.now_ms)

    @property
    def slots(self) -> Slots:
        return Slots(
            self.keyspace, self.model, self.servers, self.limit, self.own_limits, self.shares
        )

    def later(self, delay_ms: int) -> None:
        self.now_ms += delay_ms

    def keys_of(self, name: str) -> SessionKeys:
        agent, session = name.split("/")
        return self.keyspace.session(agent, session)

    def take(self, name: str) -> bool:
        """Whether a session got a slot; its token is named like itself."""
        return self.take_at(name) is not None

    def take_at(self, name: str, *servers: str) -> str | None:
        """The server at which a session got a slot."""
        session = self.keys_of(name)
        command = self.slots.take(session, name, lease_ms=LEASE_MS, servers=servers)
        return self.connection.run(command)

    def renew(self, token: str) -> bool:
        return self.connection.run(self.slots.renew(token, lease_ms=LEASE_MS))

    def wait(self, name: str, arrived_us: int, priority: Priority = Priority.NORMAL) -> SlotWait:
        session = self.keys_of(name)
        return self.connection.run(
            self.slots.wait(session, arrived_us=arrived_us, priority=priority)
        )

    def grant_next(self) -> list[str]:
        """The sessions that are granted a slot, after what expired was released."""
        expire = self.slots.expire(lease_ms=LEASE_MS, most_reserve_ms=RESERVE_MS)
        commands = expire, self.slots.grant_next(reserve_ms=RESERVE_MS)
        granted = self.connection.run_last(*commands)
        return [f"{keys.agent_id}/{keys.session_id}" for keys in granted]

    def release(self, token: str, took_ms: int = 1000) -> list[str]:
        """Release a slot; the sessions that get one then."""
        self.connection.run(self.slots.release(token, took_ms=took_ms))
        return self.grant_next()

    def unreserve(self, name: str) -> list[str]:
        """Release the slot of a session that does not come; the sessions that get one then."""
        self.connection.run(self.slots.unreserve(self.keys_of(name)))
        return self.grant_next()

    def occupancy(self) -> Occupancy:
        """How full the model is."""
        at = self.slots
        taken = tuple(self.connection.run_each(at.taken()))
        waiting = zip(RANKS, self.connection.run_each(at.waiting_of()), strict=True)
        return Occupancy(taken, dict(waiting), self.connection.run(at.mean_ms()))

    def serve_all(self) -> list[str]:
        """Have each granted session take and release its slot, until no session is granted one."""
        order: list[str] = []
        granted = self.grant_next()
        while granted:
            name = granted.pop(0)
            assert self.take(name)
            order.append(name)
            granted += self.release(name)
        return order

    def ask(self, *args: str | bytes | int) -> object:
        """The plain reply to a command."""
        return self.connection.run(Command(lambda reply: reply, args))

    def dump(self) -> dict[bytes, object]:
        """Every key with its serialized value: equal dumps mean that nothing was written."""
        keys = strings(self.ask("KEYS", f"{self.keyspace.prefix}:*"))
        return {key: self.ask("DUMP", key) for key in sorted(keys)}

    def at_model(self, model: str) -> "SlotRig":
        """The slots at another model."""
        return replace(self, model=model)
