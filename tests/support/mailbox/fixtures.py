"""Fixtures for the tests of the mailbox; a test module takes them with `pytest_plugins`."""

from collections.abc import Iterator

import pytest

from memory.keys import Keyspace
from sandbox.valkey import ValkeyServer
from tests.support.mailbox.rig import Rig
from tests.support.mailbox.world import Wire
from tests.support.memory_fixtures import Backend


@pytest.fixture
def rig(backend: Backend) -> Rig:
    """An empty mailbox, on the real and on the fake server in turn."""
    return Rig(backend.connection, Keyspace(backend.prefix))


@pytest.fixture
def real_rig(real_backend: Backend) -> Rig:
    """An empty mailbox on the real server, for what the fake one cannot do."""
    return Rig(real_backend.connection, Keyspace(real_backend.prefix))


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """A server for simulations alone."""
    # Its path is relative to the server's own folder: such a path may not be long.
    with ValkeyServer(options={"unixsocket": "unix"}) as server:
        wire = Wire(server.data_dir / "unix")
        yield wire
        wire.close()
