"""What is shown of pauses where Redis is away."""

import pytest
from pydantic import SecretStr

from memory import Connection, Keyspace, MemorySettings, MemoryUnavailable
from sandbox.ports import free_port
from tasks.overview.pauses import find_pauses, pauses_now


@pytest.fixture
def nobody() -> Connection:
    """A connection to a port on which nobody listens."""
    return Connection(MemorySettings(url=SecretStr(f"redis://127.0.0.1:{free_port()}/0")))


def test_no_pauses_and_no_answer_are_two_things(nobody: Connection) -> None:
    """`griot pause` never says that nothing is paused where Redis does not say so."""
    with pytest.raises(MemoryUnavailable):
        find_pauses(nobody, Keyspace("ecowas"))
    assert pauses_now(nobody, Keyspace("ecowas")) == ()
