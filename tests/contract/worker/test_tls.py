"""Memory, broker and results through TLS: all three trust the same servers, and say in one line why
they trust one not."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from memory import Connection
from sandbox.valkey import ValkeyServer
from tasks.process import app as process_app
from tasks.process.app import GriotCelery
from tasks.process.configuration import load_settings
from tests.support.servers.tls_rig import Authority, TlsDoor
from worker.broker.transport import register_transport
from worker.checks.deployment import check_broker, check_redis, check_results
from worker.checks.findings import Finding, Level
from worker.checks.redis_rights import check_broker_rights, check_result_rights

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One server behind doors of each kind, by what is wrong with the address."""
    directory: Path = tmp_path_factory.mktemp("tls")
    ours, theirs = Authority(directory, "ours").create(), Authority(directory, "theirs").create()
    trusted, untrusted = (f"?ssl_ca_certs={one.certificate}" for one in (ours, theirs))
    with ExitStack() as running:
        server = running.enter_context(ValkeyServer())

        def door(host: str, days: int = 2) -> int:
            return running.enter_context(TlsDoor(server.port, ours.issue(host, days=days))).port

        expired = door("localhost", -1)
        good, another = door("localhost"), door("other.example")
        yield {
            "nothing": f"rediss://localhost:{good}/0{trusted}",
            "another host": f"rediss://localhost:{another}/0{trusted}",
            "expired": f"rediss://localhost:{expired}/0{trusted}",
            "unknown authority": f"rediss://localhost:{good}/0{untrusted}",
            "plain text to TLS": f"redis://localhost:{good}/0",
            "TLS to plain text": f"rediss://localhost:{server.port}/0{trusted}",
        }


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[Finding]]]:
    """What a process with this REDIS_URL finds of all three."""
    register_transport()

    def found(url: str) -> list[Finding]:
        monkeypatch.setenv("REDIS_URL", url)
        monkeypatch.setenv("REDIS_TIMEOUT", "0.5")
        load_settings.cache_clear()
        settings = load_settings()
        app = GriotCelery("tls", set_as_current=False)
        app.config_from_object(process_app._load_config())
        with closing(Connection(settings.memory)) as connection:
            of_three = [check_redis(connection)[0], check_broker(app), check_results(app)]
        if all(one.level is Level.OK for one in of_three):
            of_three += [*check_broker_rights(app, settings), *check_result_rights(app)]
        return of_three

    yield found
    load_settings.cache_clear()


def test_a_server_that_proves_itself_is_used(
    addresses: dict[str, str], checks: Callable[[str], list[Finding]]
) -> None:
    """For scripts, blocking reads, publishing and subscribing."""
    assert {one.level for one in checks(addresses["nothing"])} == {Level.OK}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("another host", "Hostname mismatch"),
        ("expired", "certificate has expired"),
        ("unknown authority", "unable to get local issuer certificate"),
        ("plain text to TLS", "Connection closed by server"),
        ("TLS to plain text", "does not answer with TLS|Timeout connecting to server"),
    ],
)
def test_a_server_that_does_not_is_refused_by_all(
    addresses: dict[str, str], checks: Callable[[str], list[Finding]], wrong: str, said: str
) -> None:
    """In one line each, with what to look at."""
    for one in checks(addresses[wrong]):
        assert one.level is Level.FAIL, one
        assert re.search(re.escape(said).replace(r"\|", "|"), one.found)
        assert "\n" not in one.found
        said_in_all = one.found + one.advice
        assert "rediss://" in said_in_all or "ssl_ca_certs" in said_in_all
