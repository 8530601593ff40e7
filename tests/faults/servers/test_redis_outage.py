"""Redis is killed, frozen, far away, cut off, or forgets its scripts: faults 13, 14, 17 and 18."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from kombu.asynchronous.hub import Hub
from kombu.connection import Connection

from memory.ids import shown_id
from sandbox.process import ServerProcess
from sandbox.proxy import Proxy
from sandbox.stack import GriotStack
from tests.support.effort import effort
from tests.support.faults.rig import LEASE_S, SETTINGS, Rig
from tests.support.faults.sender import Sender
from tests.support.machine import SLOWNESS, scaled
from tests.support.waiting import elapsed, wait_until
from tests.support.warm.piped import piped_python
from tests.support.warm.python import warm
from worker.broker.transport import Transport

WAIT_S = scaled(40)
STORM = effort(6, long=20)
"""Sessions."""
HOLD_S = max(scaled(1.5 * LEASE_S), 6)
"""Longer than a lease, and than a call waits for Redis."""


@contextmanager
def storm(sender: Sender, *, sessions: int, jobs: int) -> Iterator[list["Future[None]"]]:
    """Producers that send all the time within the block, four at once, until all is sent."""

    def converse(session_id: str) -> None:
        for _ in range(jobs):
            sender.insist(session_id)

    with ThreadPoolExecutor(4) as producers:
        futures = [producers.submit(converse, one) for one in sender.sessions(sessions)]
        yield futures
        for future in futures:
            future.result(timeout=WAIT_S)


@pytest.mark.long
def test_redis_killed_in_a_storm(rig: Rig, steady: ServerProcess, sender: Sender) -> None:
    """kill -9 among ENQUEUE, ACQUIRE and COMMIT: what was acknowledged is there, and answered."""
    sender.model = "delay:20ms"
    before = _answered(rig)
    with storm(sender, sessions=STORM, jobs=10):
        for done in (2 * STORM, 5 * STORM):
            wait_until(lambda: _answered(rig) >= before + done, what="the storm is under way")  # noqa: B023
            rig.valkey.kill()
            rig.valkey.start()
    rig.check(sender, timeout_s=WAIT_S)
    assert steady.is_running, steady.log_tail()


def test_redis_killed_while_the_model_answers(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """The reply that has cost a model call is kept until Redis is back, and committed then."""
    sender.model = f"delay:{scaled(0.5)}s"
    sender.send_all(sender.sessions(4), 3)
    rig.wait_active(4)
    rig.valkey.kill()
    rig.wait_active(0)
    wait_until(elapsed(1), what="longer than one call on Redis insists, shorter than the lease")
    rig.valkey.start()
    rig.check(sender, timeout_s=WAIT_S, max_calls=1)
    assert steady.is_running, steady.log_tail()


def _freeze(rig: Rig) -> None:
    rig.valkey.freeze()
    wait_until(elapsed(HOLD_S / SLOWNESS), what="it has been frozen long enough")
    rig.valkey.thaw()


def _pause(rig: Rig) -> None:
    rig.valkey.command("CLIENT", "PAUSE", round(scaled(1.5 * LEASE_S) * 1000), "ALL")


@pytest.mark.parametrize(
    "hold",
    [
        pytest.param(_freeze, id="SIGSTOP"),
        pytest.param(_pause, id="CLIENT PAUSE", marks=pytest.mark.slow),
    ],
)
def test_redis_frozen_in_mid_turn(
    rig: Rig, steady: ServerProcess, sender: Sender, hold: Callable[[Rig], None]
) -> None:
    """Longer than the lease without an answer: the worker lives, each job has one turn."""
    sessions = sender.sessions(5)
    # So that Redis knows the scripts, and executes what it finds waiting, and the worker has
    # connections on which to send it.
    sender.send_all(sessions, 2)
    rig.wait_drained(sender)
    for session_id in sessions:
        sender.send(session_id, model=f"delay:{scaled(1)}s")
    sender.send_all(sessions, 1)
    wait_until(lambda: rig.ollama.stats.active >= len(sessions) / 2, what="turns are under way")
    hold(rig)
    rig.check(sender, timeout_s=WAIT_S)
    assert steady.is_running, steady.log_tail()


PRODUCER = """
import sys, time
from tasks import NotAccepted, chat_task
session_id, *messages = sys.argv[1:]
for message in messages:
    began = time.monotonic()
    try:
        chat_task.apply_async(("energy", session_id, message), task_id=f"job {message}")
    except NotAccepted as exc:
        print(f"{time.monotonic() - began:.2f}", exc)
"""


def test_a_producer_while_redis_is_frozen(rig: Rig, steady: ServerProcess, sender: Sender) -> None:
    """It hears within twice the time-out that nobody knows; sent again, the job has one turn."""
    (session_id,) = sender.sessions(1)
    message = sender.next_message(session_id)
    rig.valkey.freeze()
    try:
        told = rig.python(PRODUCER, session_id, message, REDIS_TIMEOUT="1")
    finally:
        rig.valkey.thaw()
    took_s, _, why = told.stdout.partition(" ")
    assert float(took_s) < scaled(2 + rig.slack_s)
    assert f"did not confirm job {shown_id(f'job {message}')}" in why
    assert not rig.python(PRODUCER, session_id, message).stdout
    sender.note(session_id, f"job {message}", message)
    rig.check(sender, max_calls=1)


PIPE = """
import io, sys
from worker.cli import main
session_id, message = sys.argv[1:]
sys.stdin = io.StringIO(message)
main(["chat", "energy", session_id])
"""


def test_a_pipe_while_redis_is_frozen(rig: Rig, steady: ServerProcess, sender: Sender) -> None:
    """`griot chat` sends a line that was not confirmed again, under its id: one turn, one reply."""
    (session_id,) = sender.sessions(1)
    message = sender.next_message(session_id)
    rig.valkey.freeze()
    env = {**rig.stack.env_of("operator"), "REDIS_TIMEOUT": "1"}
    talk = piped_python("-c", PIPE, session_id, message, env=env, cwd=rig.stack.directory)
    with talk:
        first = talk.stderr.readline() if talk.stderr else ""
        rig.valkey.thaw()
        reply, remarks = talk.communicate(timeout=scaled(30))
    assert first.endswith("; sending it again, duplicates are ignored\n"), remarks
    assert reply.count(message) == 1
    assert [one["role"] for one in rig.dump(session_id).history] == ["user", "assistant"]


def test_scripts_forgotten_under_load(rig: Rig, steady: ServerProcess, sender: Sender) -> None:
    """SCRIPT FLUSH again and again: scripts are sent anew, and no model call is made twice."""
    with storm(sender, sessions=4, jobs=8) as producers:
        while not all(future.done() for future in producers):
            rig.valkey.command("SCRIPT", "FLUSH")
    rig.check(sender, timeout_s=WAIT_S, max_calls=1)
    assert steady.is_running, steady.log_tail()


@dataclass
class Far:
    """A worker whose way to Redis leads through a proxy; the producer's does not."""

    proxy: Proxy
    worker: ServerProcess


@pytest.fixture(scope="module")
def far_worker(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """It takes the queue "far"."""
    with (
        Proxy(rig.valkey.port) as proxy,
        GriotStack(
            tmp_path_factory.mktemp("far"),
            redis_url=f"redis://127.0.0.1:{proxy.port}/0",
            ollama_url=rig.ollama.url,
            settings=SETTINGS,
            starter=warm,
        ) as stack,
    ):
        yield Far(proxy, stack.worker("-Q", "far", name="far"))


@pytest.fixture
def far(far_worker: Far) -> Iterator[Far]:
    """The same, alive after the test, and as near as before."""
    yield far_worker
    far_worker.proxy.latency_s = 0
    assert far_worker.worker.is_running, far_worker.worker.log_tail()


@pytest.mark.long
@pytest.mark.parametrize(
    "round_trip_ms", [pytest.param(50, marks=pytest.mark.slow), effort(200, long=500)]
)
def test_redis_far_away(rig: Rig, far: Far, sender: Sender, round_trip_ms: int) -> None:
    """Slower, and correct: no lease is lost to the distance."""
    far.proxy.latency_s = round_trip_ms / 2000
    # Few of them: Celery takes one message after the other, at several round trips each.
    (session_id,) = sender.sessions(1)
    # The farther away, the longer a turn: from 200 ms on more than a lease, and time to lose it.
    for model in (f"delay:{scaled(LEASE_S) * round_trip_ms / 150}s", "instant", "instant"):
        sender.send(session_id, queue="far", model=model)
    rig.check(sender, timeout_s=WAIT_S, max_calls=1)


def test_a_producer_far_away(rig: Rig, far: Far, steady: ServerProcess, sender: Sender) -> None:
    """Slower, and each job is in, once and in its order."""
    far.proxy.latency_s = 0.05
    (session_id,) = sender.sessions(1)
    messages = []
    for _ in range(3):
        messages.append(sender.next_message(session_id))
        sender.note(session_id, f"job {messages[-1]}", messages[-1])
    url = f"redis://127.0.0.1:{far.proxy.port}/0"
    produced = rig.python(PRODUCER, session_id, *messages, REDIS_URL=url)
    assert (produced.returncode, produced.stdout) == (0, ""), produced.stderr
    rig.check(sender, timeout_s=WAIT_S, max_calls=1)


def test_connections_dropped_all_the_time(rig: Rig, far: Far, sender: Sender) -> None:
    """Every connection of the worker is reset five times in mid-turn: each job has one turn."""
    sender.model = "delay:0.1s"
    calls_before = rig.ollama.stats.requests
    for session_id in sender.sessions(4):
        for _ in range(5):
            sender.send(session_id, queue="far")
    for calls in (2, 5, 8, 11, 14):
        wait_until(lambda: rig.ollama.stats.requests - calls_before >= calls, what="jobs run")  # noqa: B023
        wait_until(far.proxy.drop_connections, what="connections are dropped")
    rig.check(sender, timeout_s=WAIT_S)


def test_reconnections_leave_nothing_in_the_event_loop(rig: Rig) -> None:
    """What a worker's loop does on each turn does not grow with each connection it has lost."""
    hub, turns = Hub(), []
    for _ in range(3):
        with Connection(rig.valkey.url(1), transport=Transport) as connection:
            connection.register_with_event_loop(hub)
            turns.append(len(hub.on_tick))
    assert turns == [turns[0]] * 3


def _answered(rig: Rig) -> int:
    return sum(call.outcome == "answered" for call in rig.ollama.calls)
