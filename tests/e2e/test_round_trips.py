"""How often a job goes to Redis, counted on the wire: what its costs are made of."""

import json
import re
from collections.abc import Iterator

import pytest
import redis

from sandbox.ollama import OllamaStandIn
from sandbox.proxy import Proxy
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.piped import Piped, piped_python
from tests.support.warm.python import run_python, warm

JOBS = 60
SERIES = 10
# A process of its own, whose memory is behind one proxy and whose broker is behind another.
PRODUCER = """
import sys
from tasks import chat_task
for _ in sys.stdin:
    job = chat_task.delay("energy", sys.argv[1], "hello", model="instant")
    print(job.id, flush=True)
"""

FETCH = """
import sys
from tasks import chat_task
for number in range(int(sys.argv[1])):
    found = chat_task.AsyncResult(f"j{number}").get(timeout=20)["response"]
    if number == 0:
        print(found, flush=True)
        sys.stdin.readline()
print(found, flush=True)
"""

MANY = """
from tasks import send_many
jobs = [
    {"agent_id": "energy", "session_id": f"s-{number % 500}", "message": "hello"}
    for number in range(1000)
]
print(len({answer.job_id for answer in send_many(jobs) if answer.outcome == "accepted"}))
"""


@pytest.fixture
def memory(valkey: ValkeyServer) -> Iterator[Proxy]:
    """The way to the memory, which counts."""
    with Proxy(valkey.port) as proxy:
        yield proxy


@pytest.fixture
def broker(valkey: ValkeyServer) -> Iterator[Proxy]:
    """The way to the broker, which counts."""
    with Proxy(valkey.port) as proxy:
        yield proxy


@pytest.fixture
def results(valkey: ValkeyServer) -> Iterator[Proxy]:
    """The way to the results, which counts."""
    with Proxy(valkey.port) as proxy:
        yield proxy


@pytest.fixture
def counted(
    memory: Proxy,
    broker: Proxy,
    valkey: ValkeyServer,
    ollama: OllamaStandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GriotStack]:
    """Processes whose ways lead through the proxies; they do nothing but what is counted."""
    valkey.command("FLUSHALL")  # the jobs of another test would be done too
    with GriotStack(
        tmp_path_factory.mktemp("counted"),
        redis_url=f"redis://127.0.0.1:{memory.port}/0",
        ollama_url=ollama.url,
        settings={
            **FAST,
            "CHAT_LEASE_SECONDS": "30",
            "CHAT_SWEEP_SECONDS": "600",
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{broker.port}/1",
            "CELERY_RESULT_BACKEND": valkey.url(2),
        },
        starter=warm,
    ) as stack:
        yield stack


@pytest.fixture
def producer(counted: GriotStack, session_id: str) -> Iterator[Piped]:
    """Sends one job for each line, and says its id."""
    with piped_python(
        "-c", PRODUCER, session_id, env=counted.env, cwd=counted.directory
    ) as process:
        send(process)  # opens the connections
        yield process
        process.kill()


def send(producer: Piped) -> str:
    """Have one job sent. Its id."""
    assert producer.stdin is not None
    assert producer.stdout is not None
    producer.stdin.write("\n")
    return producer.stdout.readline().strip()


def test_a_producer_makes_one_round_trip_and_publishes(
    producer: Piped, memory: Proxy, broker: Proxy
) -> None:
    """Only the first job of a session is published: the others cost one round trip in all."""
    before = memory.round_trips, broker.round_trips
    for _ in range(JOBS):
        assert send(producer)
    assert memory.round_trips - before[0] == JOBS
    assert broker.round_trips == before[1]


def test_a_result_takes_one_round_trip(
    counted: GriotStack, results: Proxy, valkey: ValkeyServer
) -> None:
    """One that is there already; Celery makes three, and subscribes to it."""
    for number in range(JOBS + 1):
        said = {"status": "SUCCESS", "result": {"response": str(number)}, "children": []}
        stored = json.dumps({**said, "task_id": f"j{number}", "traceback": None})
        with redis.Redis.from_url(valkey.url(2)) as server:
            server.set(f"celery-task-meta-j{number}", stored)
    env = {**counted.env, "CELERY_RESULT_BACKEND": f"redis://127.0.0.1:{results.port}/2"}
    with piped_python("-c", FETCH, str(JOBS + 1), env=env, cwd=counted.directory) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "0\n"  # it has opened a connection
        before = results.round_trips
        process.stdin.write("\n")
        assert process.stdout.readline() == f"{JOBS}\n"
        assert results.round_trips - before == JOBS
        process.kill()


def test_a_thousand_jobs_share_their_round_trips(
    counted: GriotStack, memory: Proxy, broker: Proxy
) -> None:
    """Of 500 sessions with two messages each; so do their wake-ups."""
    sent = run_python("-c", MANY, env=counted.env, cwd=counted.directory, timeout_s=scaled(60))
    assert sent.stdout.strip() == "1000"
    assert memory.round_trips < 60
    assert broker.round_trips < 120


def test_a_worker_makes_two_round_trips_for_a_turn(
    producer: Piped,
    counted: GriotStack,
    memory: Proxy,
    valkey: ValkeyServer,
    session_id: str,
) -> None:
    """ACQUIRE with the history, COMMIT with all that is told.

    The relay, the leases and the wait for stops make some besides, by the clock and not by turn: so
    of all series of turns the one counts that met the fewest of them.
    """
    for _ in range(JOBS - 1):
        send(producer)
    producer.kill()
    counted.worker()
    seen: dict[int, int] = {}

    def is_done() -> bool:
        committed = int(str(valkey.command("LLEN", f"ecowas:history:energy:{session_id}"))) // 2
        seen.setdefault(committed, memory.round_trips)
        return committed >= JOBS

    wait_until(is_done, timeout_s=20, what="all turns are committed")
    per_turn = [
        (later_trips - trips) / (later - turns)
        for turns, trips in seen.items()
        for later, later_trips in seen.items()
        if turns and later - turns >= SERIES
    ]
    # Looked at between two round trips, a series may seem one shorter than it is.
    # A slow machine's clock adds some to every series; a third round trip would make it three.
    assert 1.6 < min(per_turn) < 2.6


def test_the_next_job_of_a_session_needs_no_wake_up(
    producer: Piped, counted: GriotStack, valkey: ValkeyServer
) -> None:
    """The worker that has committed a turn begins the next itself; Celery sees each job begin."""
    for _ in range(JOBS - 1):
        send(producer)
    producer.kill()
    valkey.command("CONFIG", "RESETSTAT")
    worker = counted.worker(CHAT_GRACE_SECONDS="30")
    succeeded = r"tasks\.chat_task\[\S+\] succeeded"
    wait_until(
        lambda: len(re.findall(succeeded, worker.log_text())) == JOBS,
        timeout_s=20,
        what="all jobs have succeeded",
    )
    # Nothing but wake-ups is pushed from the left.
    assert "cmdstat_lpush:" not in str(valkey.command("INFO", "commandstats"))


def test_a_full_worker_lets_others_go_first(
    producer: Piped, counted: GriotStack, valkey: ValkeyServer, session_id: str
) -> None:
    """With no place free the next job goes behind what waits in the queue, as a wake-up."""
    for _ in range(SERIES - 1):
        send(producer)
    producer.kill()
    valkey.command("CONFIG", "RESETSTAT")
    counted.worker("-c", "1", CHAT_GRACE_SECONDS="30")
    history = f"ecowas:history:energy:{session_id}"
    wait_until(
        lambda: int(str(valkey.command("LLEN", history))) == 2 * SERIES,
        timeout_s=20,
        what="all turns are committed",
    )
    assert f"cmdstat_lpush:calls={SERIES - 1}," in str(valkey.command("INFO", "commandstats"))
