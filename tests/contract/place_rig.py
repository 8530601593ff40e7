"""The places at one model, with a clock that only the test moves."""

from dataclasses import dataclass, replace

from memory.call import Call
from memory.codes import raw, sequence_of
from memory.connection import Connection
from memory.keys import Keyspace, SessionKeys
from memory.places import InLine, Occupancy, Places

START_MS = 1_800_000_000_000
LEASE_MS = 30_000
RESERVE_MS = 5_000
SERVER, OTHER = "http://ollama:11434", "http://other:11434"
MODEL = "llama3.2:1b"


@dataclass
class PlaceRig:
    """A model with `limit` places, asked for at `now_ms`. Sessions are named `agent/session`."""

    connection: Connection
    keyspace: Keyspace
    limit: int = 1
    model: str = MODEL
    servers: tuple[str, ...] = (SERVER,)
    now_ms: int = START_MS

    @property
    def places(self) -> Places:
        return Places(self.keyspace, self.model, self.servers, self.limit, self.now_ms * 1000)

    def later(self, delay_ms: int) -> None:
        self.now_ms += delay_ms

    def keys_of(self, name: str) -> SessionKeys:
        agent, session = name.split("/")
        return self.keyspace.session(agent, session)

    def take(self, name: str) -> bool:
        """Whether a session got a place; its token is named like itself."""
        return self.take_at(name) is not None

    def take_at(self, name: str, *servers: str) -> str | None:
        """The server at which a session got a place."""
        session = self.keys_of(name)
        call = self.places.take(session, name, lease_ms=LEASE_MS, servers=servers)
        return self.connection.run(call)

    def hold(self, token: str) -> bool:
        return self.connection.run(self.places.hold(token, lease_ms=LEASE_MS))

    def stand(self, name: str, arrived_us: int) -> InLine:
        return self.connection.run(self.places.stand(self.keys_of(name), arrived_us=arrived_us))

    def call_next(self) -> list[str]:
        """The sessions that are called, after what lapsed was taken back."""
        calls = self.places.lapse(), self.places.call_next(reserve_ms=RESERVE_MS)
        called = self.connection.run_last(*calls)
        return [f"{keys.agent_id}/{keys.session_id}" for keys in called]

    def leave(self, token: str, took_ms: int = 1000) -> list[str]:
        """Give a place back; who is called to it."""
        self.connection.run(self.places.leave(token, took_ms=took_ms))
        return self.call_next()

    def pass_on(self, name: str) -> list[str]:
        """Give the place of a session back that does not come; who is called to it."""
        self.connection.run(self.places.pass_on(self.keys_of(name)))
        return self.call_next()

    def occupancy(self) -> Occupancy:
        """How full the model is."""
        at = self.places
        taken = tuple(self.connection.run_each(at.taken()))
        return Occupancy(taken, *self.connection.run_all(at.waiting(), at.mean_ms()))

    def called_until_all_are(self) -> list[str]:
        """Have each that is called take its place and leave it, until nobody is called."""
        order: list[str] = []
        called = self.call_next()
        while called:
            name = called.pop(0)
            assert self.take(name)
            order.append(name)
            called += self.leave(name)
        return order

    def ask(self, *args: str | bytes | int) -> object:
        """The plain reply to a command."""
        return self.connection.run(Call(lambda reply: reply, args))

    def dump(self) -> dict[bytes, object]:
        """Every key with its serialized value: equal dumps mean that nothing was written."""
        keys = sequence_of(raw, self.ask("KEYS", f"{self.keyspace.prefix}:*"))
        return {key: self.ask("DUMP", key) for key in sorted(keys)}

    def at_model(self, model: str) -> "PlaceRig":
        """The places at another model."""
        return replace(self, model=model)
