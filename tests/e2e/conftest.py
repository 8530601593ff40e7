"""Real processes: a server, a stand-in for Ollama, workers, beat, Flower.

They are those of Griot's own pytest plugin, for the tests of one module (griot_scope), at the
address that this process' producer knows.
"""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pytest_griot.setup import GriotSetup
from sandbox.ollama import OllamaStandIn
from sandbox.process import Starter
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST, REDIS_PORT
from tests.support.effort import end_grace_s
from tests.support.servers.no_sync import NO_SYNC
from tests.support.warm.python import warm


@pytest.fixture(scope="module")
def griot_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server that keeps all that it acknowledged: tests kill it."""
    directory = tmp_path_factory.mktemp("valkey")
    with ValkeyServer(REDIS_PORT, directory, append_only="always", options=NO_SYNC) as server:
        yield server


@pytest.fixture(scope="module")
def griot_settings() -> Mapping[str, str]:
    """Short times, on this machine."""
    return FAST


@pytest.fixture(scope="module")
def valkey(griot_redis: ValkeyServer) -> ValkeyServer:
    """The server."""
    return griot_redis


@pytest.fixture(scope="module")
def ollama(griot_model_server: OllamaStandIn) -> OllamaStandIn:
    """The stand-in for Ollama."""
    return griot_model_server


@pytest.fixture(scope="module")
def logs(griot_directory: Path) -> Path:
    """Where the processes of a module write their logs."""
    return griot_directory


@pytest.fixture(scope="module")
def starter() -> Starter:
    """How the processes of a module are started."""
    return warm


@pytest.fixture(scope="module")
def griot_servers(
    griot_redis: ValkeyServer,
    griot_model_server: OllamaStandIn,
    griot_directory: Path,
    griot_settings: Mapping[str, str],
    starter: Starter,
) -> Iterator[GriotSetup]:
    """The plugin's, started as `starter` does it."""
    setup = GriotSetup(
        griot_directory, griot_redis, griot_model_server, griot_settings, starter=starter
    )
    yield setup
    setup.teardown()


@pytest.fixture(scope="module")
def stack(griot_servers: GriotSetup) -> Iterator[GriotStack]:
    """Starts Griot's processes against these servers and kills them after the module."""
    yield griot_servers.processes
    griot_servers.processes.stop(end_grace_s())


@pytest.fixture
def session_id() -> str:
    """A session of the test's own."""
    return f"session-{uuid.uuid4()}"
