"""Beat's periodic tasks, run by the maintenance worker, leave their effects."""

from itertools import pairwise
from pathlib import Path

import pytest

from memory import Housekeeping, get_redis_memory
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.support.waiting import wait_until

OFTEN = {
    "MEMORY_EXTEND_EVERY": "0.3",
    "MEMORY_CLEANUP_EVERY": "0.3",
    "MEMORY_STATS_EVERY": "0.3",
    "MEMORY_STALE_AFTER": "2",
    "MEMORY_ACTIVE_WINDOW": "1.5",
    "REDIS_MEMORY_TTL": "600",
}
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module", autouse=True)
def processes(stack: GriotStack) -> list[ServerProcess]:
    """A maintenance worker and two beats: nothing may happen twice."""
    maintenance = stack.maintenance(**OFTEN)
    beats = [stack.beat(**OFTEN), stack.beat(**OFTEN)]
    return [maintenance, *beats]


def test_an_active_session_gets_its_ttl_again(valkey: ValkeyServer) -> None:
    """A session that is in use does not expire under its user."""
    memory = get_redis_memory()
    memory.save_conversation_history("energy", "active", HELLO, ttl=60)
    wait_until(
        lambda: int(str(valkey.command("TTL", "ecowas:history:energy:active"))) > 500,
        what="the TTL is extended",
    )


def test_a_stale_session_is_deleted_with_all_it_had(valkey: ValkeyServer) -> None:
    """History, session data and index entry of a session that nobody uses go."""
    memory = get_redis_memory()
    memory.save_conversation_history("agriculture", "stale", HELLO, ttl=600)
    memory.set_session_data("stale", "metadata", {"user_id": "u1"})
    names = ("ecowas:history:agriculture:stale", "ecowas:session:stale:metadata")
    wait_until(
        lambda: valkey.command("EXISTS", *names) == 0,
        timeout_s=20,
        what="history and data are deleted",
    )
    wait_until(
        lambda: valkey.command("ZSCORE", "ecowas:sessions:agriculture", "stale") is None,
        what="the index entry is gone",
    )


def test_statistics_become_a_series_in_time() -> None:
    """Snapshots are taken again and again, and can be read as a series."""
    memory = get_redis_memory()
    housekeeping = Housekeeping(memory.connection, memory.keyspace)
    wait_until(lambda: len(housekeeping.read_stats()) >= 3, what="three snapshots")
    points = housekeeping.read_stats()
    # A maintenance worker that was late takes two in one millisecond.
    assert all(point.at <= later.at for point, later in pairwise(points))
    assert points[-1].used_memory_bytes > 0


def test_a_broker_that_is_away_costs_beat_a_line(stack: GriotStack, tmp_path: Path) -> None:
    """Not two tracebacks for each sweep; it sends again when the broker is back, and says so."""
    with ValkeyServer() as broker:
        sent = tmp_path / "alive"
        beat = stack.beat(CELERY_BROKER_URL=broker.url(1), WORKER_ALIVE_FILE=str(sent), **OFTEN)
        wait_until(sent.exists, what="beat has sent something")
        seen = len(beat.log_text())
        broker.kill()
        wait_until(
            lambda: "beat could not send " in beat.log_text()[seen:],
            timeout_s=20,
            what="it is said",
        )
        broker.start()
        wait_until(
            lambda: "beat sends tasks again" in beat.log_text()[seen:],
            timeout_s=20,
            what="beat has found the broker",
        )
        said = beat.log_text()[seen:]
        beat.stop()
    assert said.count("beat could not send ") == 1, said
    assert "Traceback" not in said, said
