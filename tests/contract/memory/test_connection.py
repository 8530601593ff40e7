"""What the memory does when Redis forgets, refuses, is full, frozen or gone."""

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from memory import (
    InvalidInput,
    MemoryBusy,
    MemoryFull,
    MemoryRefused,
    MemoryServiceError,
    MemorySettings,
    MemoryUnavailable,
    RedisMemoryService,
)
from sandbox.proxy import Proxy
from sandbox.valkey import ValkeyServer
from tests.support.machine import scaled
from tests.support.memory_fixtures import Backend

MESSAGE = {"role": "user", "content": "x"}
PASSWORD = "s3cret:@/word"  # noqa: S105 - of a server that lives for these tests


def _service(server: ValkeyServer, **changes: object) -> RedisMemoryService:
    settings = MemorySettings(url=None, host="127.0.0.1", port=server.port, timeout_s=1)
    return RedisMemoryService(settings=settings.model_copy(update=changes))


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server that this test may hurt."""
    with ValkeyServer(append_only="always") as server:
        yield server


def test_scripts_that_redis_forgot_are_sent_again(server: ValkeyServer) -> None:
    """After SCRIPT FLUSH the same calls work, in the same order."""
    with _service(server) as service:
        service.append_to_history("a", "s", MESSAGE)
        server.command("SCRIPT", "FLUSH")

        service.append_to_history("a", "s", MESSAGE)
        service.extend_ttl("a", "s")

        assert len(service.get_conversation_history("a", "s")) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_where_nobody_listens_nothing_is_said_of_tls(server: ValkeyServer, host: str) -> None:
    """A refused connection and an unknown host are to be started or corrected."""
    server.kill()
    with (
        _service(server, host=host) as service,
        pytest.raises(MemoryUnavailable, match="start it, or correct its address") as caught,
    ):
        service.get_conversation_history("a", "s")
    assert "rediss" not in str(caught.value)


def test_a_server_that_says_nothing_may_want_tls(server: ValkeyServer) -> None:
    """It is asked about: a plain connection to a port with TLS may end so."""
    with Proxy(server.port) as proxy:
        proxy.black_hole()
        with (
            _service(server, port=proxy.port, timeout_s=scaled(0.3)) as service,
            pytest.raises(MemoryUnavailable, match="rediss:// where it has TLS"),
        ):
            service.get_conversation_history("a", "s")


def test_a_restarted_server_is_found_again(server: ValkeyServer) -> None:
    """Without a new client; what was acknowledged is there."""
    with _service(server) as service:
        service.append_to_history("a", "s", MESSAGE)
        server.kill()
        assert service.health_check() is False
        server.restart()

        service.append_to_history("a", "s", MESSAGE)
        assert service.get_conversation_history("a", "s") == [MESSAGE, MESSAGE]


def test_a_frozen_server_costs_a_bounded_time(server: ValkeyServer) -> None:
    """About twice the time-out, then MemoryUnavailable; the health check within the time-out."""
    with _service(server, timeout_s=scaled(0.3)) as service:
        assert service.health_check() is True
        server.freeze()
        try:
            started = time.monotonic()
            with pytest.raises(MemoryUnavailable):
                service.get_agent_state("a")
            assert time.monotonic() - started < scaled(1.5)

            started = time.monotonic()
            assert service.health_check() is False
            assert time.monotonic() - started < scaled(0.6)
        finally:
            server.thaw()
        assert service.health_check() is True


def test_a_black_hole_costs_a_bounded_time(server: ValkeyServer) -> None:
    """A connection that is accepted and never answered."""
    with Proxy(server.port) as proxy:
        proxy.black_hole()
        with _service(server, port=proxy.port, timeout_s=scaled(0.3)) as service:
            started = time.monotonic()
            assert service.health_check() is False
            with pytest.raises(MemoryUnavailable):
                service.append_to_history("a", "s", MESSAGE)
            assert time.monotonic() - started < scaled(2)


def test_a_full_server_says_so_and_writes_nothing(server: ValkeyServer) -> None:
    """MemoryFull; reading, clearing and erasing still work."""
    with _service(server) as service:
        service.append_to_history("a", "s", MESSAGE)
        server.command("CONFIG", "SET", "maxmemory", "1")

        writes: tuple[Callable[[], object], ...] = (
            lambda: service.append_to_history("a", "s", MESSAGE),
            lambda: service.save_agent_state("a", {}),
            lambda: service.save_conversation_history("a", "s", [MESSAGE]),
            lambda: service.set_session_data("s", "k", 1),
        )
        for write in writes:
            with pytest.raises(MemoryFull):
                write()

        assert service.get_session_data("s", "k") is None
        assert service.get_conversation_history("a", "s") == [MESSAGE]
        assert service.extend_ttl("a", "s") is True
        assert service.clear_conversation_history("a", "s") is True
        assert service.clear_all_agent_data("a") == 0
        assert service.health_check() is True


def test_a_wrong_password_is_refused_without_repeating_it() -> None:
    """MemoryRefused; neither the right nor the wrong password is in the error."""
    with ValkeyServer(password=PASSWORD) as server:
        for password in (SecretStr("wrong-word"), None):
            with _service(server, password=password) as service:
                assert service.health_check() is False
                with pytest.raises(MemoryRefused) as caught:
                    service.get_agent_state("a")
                report = "".join(traceback.format_exception(caught.value))
                assert "wrong-word" not in report
        with _service(server, password=SecretStr(PASSWORD)) as service:
            assert service.health_check() is True


def test_a_password_in_the_url_works() -> None:
    """Percent-encoded, as URLs have it."""
    with ValkeyServer(password=PASSWORD) as server:
        settings = MemorySettings(url=SecretStr(server.url()))
        with RedisMemoryService(settings=settings) as service:
            assert service.health_check() is True
            assert PASSWORD not in repr(service.connection.label)


def test_a_user_of_the_acl_is_held_to_its_rights(server: ValkeyServer) -> None:
    """User name and password; a command that the user may not run raises MemoryRefused."""
    server.command("ACL", "SETUSER", "reader", "on", ">pw", "~ecowas:*", "+@read", "+@connection")
    with _service(server, username="reader", password=SecretStr("pw")) as service:
        assert service.health_check() is True
        assert service.get_agent_state("a") is None
        with pytest.raises(MemoryRefused):
            service.save_agent_state("a", {})


def test_a_read_only_replica_is_busy(server: ValkeyServer) -> None:
    """During a fail-over writes are refused for a moment: try again."""
    with _service(server) as service:
        server.command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(MemoryBusy):
            service.save_agent_state("a", {})


def test_waiting_out_a_short_outage(server: ValkeyServer) -> None:
    """A fail-over of a fraction of a second is not seen at all."""
    with _service(server) as service, Proxy(server.port) as proxy:
        with _service(server, port=proxy.port) as through:
            through.append_to_history("a", "s", MESSAGE)
            proxy.refuse()
            back = threading.Timer(0.15, proxy.forward)
            back.start()

            through.append_to_history("a", "s", MESSAGE)
            back.join()

        assert len(service.get_conversation_history("a", "s")) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_gets_connections_of_its_own(real_backend: Backend) -> None:
    """Parent and child both go on with the service that existed before the fork."""
    service = real_backend.service()
    service.append_to_history("a", "s", MESSAGE)

    child = os.fork()
    if child == 0:
        try:
            is_well = service.append_to_history("a", "s", MESSAGE) and service.health_check()
        except MemoryServiceError:
            is_well = False
        os._exit(0 if is_well else 1)
    for _ in range(20):
        service.get_conversation_history("a", "s")
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert len(service.get_conversation_history("a", "s")) == 2


def test_settings_that_contradict_each_other_are_refused() -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidInput):
        RedisMemoryService(settings=MemorySettings(url=SecretStr("http://:hidden@host")))
    with pytest.raises(InvalidInput):
        RedisMemoryService(settings=MemorySettings(url=None, mode="cluster", db=1))
