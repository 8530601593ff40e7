"""Redis is full or denies what it is asked: faults 15 and 16."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory import MemoryFull
from sandbox.errors import ServerDied
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tests.support.faults.rig import SETTINGS, Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import elapsed, wait_until
from tests.support.warm.python import warm

WAIT_S = 30


def test_redis_is_full_with_work_queued(rig: Rig, steady: ServerProcess, sender: Sender) -> None:
    """`delay()` raises clearly, running turns are committed, and all is done after relief."""
    sender.model = f"delay:{scaled(0.7)}s"
    sessions = sender.sessions(4)
    sender.send_all(sessions, 3)
    rig.wait_active(len(sessions))
    with rig.full_memory():
        with pytest.raises(MemoryFull, match="out of memory"):
            sender.send(sessions[0])
        wait_until(
            lambda: all(len(dump.history) >= 2 for dump in rig.dumps(sender)),
            what="the running turns are committed all the same",
        )
        wait_until(elapsed(1), what="a while passes in which nothing can be published")
        assert steady.is_running, steady.log_tail()
    rig.check(sender, timeout_s=WAIT_S, max_calls=1)
    assert steady.is_running, steady.log_tail()


def _url(rig: Rig, password: str) -> str:
    return f"redis://worker:{password}@127.0.0.1:{rig.valkey.port}/0"


@pytest.fixture(scope="module")
def restricted(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A worker that has a user of its own in Redis; it takes the queue "restricted"."""
    rig.valkey.command("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all")
    with GriotStack(
        tmp_path_factory.mktemp("restricted"),
        redis_url=_url(rig, "secret"),
        ollama_url=rig.ollama.url,
        settings=SETTINGS,
        starter=warm,
    ) as stack:
        yield stack.worker("-Q", "restricted", name="restricted")


DENIED = {
    "scripts": "-evalsha",
    "the broker's reads": "-blmpop",
    "the broker's writes": "-lpush",
    "everything": "-@all",
}


@pytest.mark.parametrize(
    "denied",
    ["scripts", "everything"]
    + [
        pytest.param(one, marks=pytest.mark.slow)
        for one in ("the broker's reads", "the broker's writes")
    ],
)
def test_rights_are_taken_away_and_given_back(
    rig: Rig, restricted: ServerProcess, sender: Sender, denied: str
) -> None:
    """NOPERM in mid-turn: the worker says so, lives, and goes on when it may again."""
    sender.model = f"delay:{scaled(0.3)}s"
    for session_id in sender.sessions(4):
        for _ in range(3):
            sender.send(session_id, queue="restricted")
    rig.wait_active(4)
    rig.valkey.command("ACL", "SETUSER", "worker", DENIED[denied])
    try:
        wait_until(elapsed(1), what="the worker meets the refusal")
    finally:
        rig.valkey.command("ACL", "SETUSER", "worker", "+@all")
    rig.check(sender, timeout_s=WAIT_S)
    assert restricted.is_running, restricted.log_tail()


def test_a_wrong_password_at_the_start(rig: Rig, restricted: ServerProcess, tmp_path: Path) -> None:
    """The worker does not start: it says why in one line without the password, and exits
    with the status that is documented for settings."""
    with GriotStack(
        tmp_path,
        redis_url=_url(rig, "wr0ng"),
        ollama_url=rig.ollama.url,
        settings=SETTINGS,
        starter=warm,
    ) as stack:
        with pytest.raises(ServerDied, match="ended with status 78") as died:
            stack.worker(name="stranger")
        (line,) = [line for line in str(died.value).splitlines() if line.startswith("griot: ")]
        assert "rejected the password" in line
        assert "REDIS_PASSWORD" in line
        assert "wr0ng" not in str(died.value)
