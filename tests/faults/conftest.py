"""A world for each module of tests; a test that breaks a part of it puts that right again."""

from collections.abc import Iterator

import pytest

from sandbox.process import ServerProcess
from tests.support.faults.rig import Rig, new_rig
from tests.support.faults.sender import Sender


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Servers of the module's own, and what starts workers."""
    with new_rig(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.fixture
def sender() -> Sender:
    """A producer with sessions of its own."""
    return Sender()


@pytest.fixture(scope="module")
def steady(rig: Rig) -> ServerProcess:
    """A worker that lives as long as the module."""
    return rig.worker(name="steady")
