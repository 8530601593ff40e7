"""Servers and services for tests of the memory, and the check that no key is left to live for ever.

With REDIS_URL in the environment the tests use that server, under a prefix of their own, and
delete only what lies under it; without, a server is started for the session.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import fakeredis
import pytest
from fakeredis._clients._sync import FakeRedisConnection
from fakeredis.commands_mixins import scripting_mixin
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import ResponseError

from memory import MemorySettings, RedisMemoryService
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.endpoint import Endpoint
from sandbox.valkey import ValkeyServer
from tests.conftest import USER_REDIS_URL
from tests.support.key_kinds import KINDS
from tests.support.servers.redis_users import EVERYTHING, user_of_everything, users_of_tests

T = TypeVar("T")


@dataclass(frozen=True)
class Backend:
    """A server as a test sees it: settings for the memory, and a client that looks on."""

    settings: MemorySettings
    observer: Redis
    connection: Connection

    @property
    def prefix(self) -> str:
        """What every key of this test begins with."""
        return self.settings.key_prefix

    def keys(self) -> list[str]:
        """All keys of this test, sorted."""
        return sorted(key.decode() for key in self.observer.scan_iter(f"{self.prefix}:*"))

    def service(self) -> RedisMemoryService:
        """A service over the shared connection."""
        return RedisMemoryService(settings=self.settings, connection=self.connection)

    def immortal_keys(self) -> list[str]:
        """Keys without a TTL that are not of a permanent kind: leaks."""
        return [
            key
            for key in self.keys()
            if self.observer.ttl(key) == -1
            and not self._is_permanent(key)
            # A history does not expire while a job waits that needs it.
            and not self.observer.exists(f"{self.prefix}:queue:{{{key}}}")
        ]

    def _is_permanent(self, key: str) -> bool:
        name = key.removeprefix(f"{self.prefix}:")
        word, colon, _ = name.partition(":")
        permanent = [kind.pattern for kind in KINDS if kind.is_permanent]
        if colon:
            return any(pattern.startswith(f"{word}:") for pattern in permanent)
        return name in permanent


class SplitConnection(Connection):
    """Sends scripts as the user, and what stands alone as the administrator: that is how tests
    look on, with any command."""

    def __init__(self, settings: MemorySettings, administrator: Connection) -> None:
        super().__init__(settings)
        self._administrator = administrator

    def run(self, command: Command[T]) -> T:
        """One command, as who may."""
        return super().run(command) if command.script else self._administrator.run(command)

    def run_each(self, commands: Sequence[Command[T]]) -> list[T]:
        """Likewise; any script among them makes all the user's."""
        if any(command.script for command in commands):
            return super().run_each(commands)
        return self._administrator.run_each(commands)

    def close(self) -> None:
        """Both."""
        super().close()
        self._administrator.close()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The server of REDIS_URL, or one that lives as long as the tests."""
    if USER_REDIS_URL:
        yield USER_REDIS_URL
        return
    with ValkeyServer() as server:
        yield server.url()


@pytest.fixture
def memory_settings(redis_url: str) -> MemorySettings:
    """Settings for the server, with a key prefix that no other test has."""
    prefix = f"test:{uuid.uuid4().hex}"
    return MemorySettings(url=SecretStr(redis_url), key_prefix=prefix, timeout_s=5)


@pytest.fixture
def real_backend(memory_settings: MemorySettings, redis_url: str) -> Iterator[Backend]:
    """A real server."""
    connection, users = Connection(memory_settings), users_of_tests()
    with Redis.from_url(redis_url, protocol=2) as observer:
        if users:
            observer.execute_command(*user_of_everything(memory_settings.key_prefix))
            url = SecretStr(users.logged_in(redis_url, EVERYTHING))
            as_user = memory_settings.model_copy(update={"url": url})
            connection = SplitConnection(as_user, connection)
        yield from _checked(Backend(memory_settings, observer, connection))


@pytest.fixture
def fake_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """fakeredis, in this process."""
    monkeypatch.setattr(ScriptingCommandsMixin, "eval", _eval_without_shebang())
    # It looked through all of Lua's globals before each call of a script, which was a seventh of a
    # script's time; a server refuses scripts that set one.
    monkeypatch.setattr(scripting_mixin, "_check_for_lua_globals", lambda *_: None)
    settings = MemorySettings(url=None, key_prefix=f"test:{uuid.uuid4().hex}")
    server = fakeredis.FakeServer(server_type="valkey", version=(8, 0))

    def new_client(_: Endpoint) -> Redis:
        return fakeredis.FakeRedis(server=server, protocol=2, connection_class=_FakeConnection)

    with fakeredis.FakeRedis(server=server, protocol=2) as observer:
        yield from _checked(
            Backend(settings, observer, Connection(settings, new_client=new_client))
        )


@pytest.fixture(params=["real", "fake"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each in turn: what holds for one must hold for the other."""
    chosen: Backend = request.getfixturevalue(f"{request.param}_backend")
    return chosen


@pytest.fixture
def redis_memory(backend: Backend) -> RedisMemoryService:
    """The documented service over each backend."""
    return backend.service()


class _FakeConnection(FakeRedisConnection):
    """One whose replies can be read from its parser, as the product reads them."""

    def set_parser(self, _: object) -> None:
        """Whatever redis-py asks for."""
        self._parser = _FakeParser(self)


class _FakeParser:
    def __init__(self, connection: FakeRedisConnection) -> None:
        self._connection, self._reader = connection, self

    def on_connect(self, _: object) -> None:
        """Nothing is needed for it."""

    def on_disconnect(self) -> None:
        """Nothing is needed for it."""

    def gets(self) -> object:
        """The next reply, which may be an error."""
        try:
            return self._connection.read_response()
        except ResponseError as exc:
            return exc


def _checked(backend: Backend) -> Iterator[Backend]:
    yield backend
    leaks = backend.immortal_keys()
    for key in backend.keys():  # noqa: SIM118 - a method that asks the server
        backend.observer.unlink(key)
    backend.connection.close()
    assert leaks == [], "keys that would live for ever"


def _eval_without_shebang() -> Callable[..., object]:
    """fakeredis's EVAL, for scripts that begin with `#!lua`, which it takes for Lua."""
    original: Callable[..., object] = ScriptingCommandsMixin.__dict__["eval"]

    def evaluate(self: object, script: bytes, *rest: object) -> object:
        return original(self, b"--" + script, *rest)

    evaluate.__dict__.update(original.__dict__)
    return evaluate
