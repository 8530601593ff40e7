"""Fixtures for the tests of the mailbox; a test module takes them with `pytest_plugins`."""

import pytest

from memory.keys import Keyspace
from tests.support.mailbox.rig import Rig
from tests.support.memory_fixtures import Backend


@pytest.fixture
def rig(backend: Backend) -> Rig:
    """An empty mailbox, on the real and on the fake server in turn."""
    return Rig(backend.connection, Keyspace(backend.prefix))


@pytest.fixture
def real_rig(real_backend: Backend) -> Rig:
    """An empty mailbox on the real server, for what the fake one cannot do."""
    return Rig(real_backend.connection, Keyspace(real_backend.prefix))
