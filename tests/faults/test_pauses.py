"""What operators pause: jobs are taken in and wait, and go on in their order; no attempt counts."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from celery.exceptions import TaskRevokedError

from memory import Event, EventType, Outage, Slots
from sandbox.process import ServerProcess
from tasks import CancelOutcome, JobExpired, aio, chat_task, follow_job, pause, paused, resume
from tests.support.faults.rig import Rig
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import scaled
from tests.support.waiting import elapsed, wait_until

pytestmark = pytest.mark.timeout(240)

SEEN_S = 1.0
"""So soon each worker has seen a pause."""


@pytest.fixture(scope="module", autouse=True)
def workers(rig: Rig) -> list[ServerProcess]:
    """Two workers, for as long as the module lasts."""
    return [rig.worker(name=f"pausable{number}") for number in range(2)]


@pytest.fixture(autouse=True)
def nothing_paused(rig: Rig) -> Iterator[None]:
    """Before and after each test. Nobody waits any more: the next test counts who does."""
    yield
    found = [one.target for one in paused()]
    for one in found:
        resume(one.kind.value, one.name)  # type: ignore[arg-type]  # one of them
    # A pause that has ended by itself may still have somebody who waits for its end.
    for what in {"all", *map(str, found)}:
        nobody = partial(is_left_by_all, rig, what)
        wait_until(nobody, timeout_s=scaled(10), what=f"nobody waits for {what}")
    assert paused() == []


def waiting(rig: Rig, what: str) -> Callable[[], int]:
    """How many sessions wait for the end of a pause."""
    return lambda: rig.connection.run(Outage.of_pause(rig.keyspace, what).waiting())


def is_left_by_all(rig: Rig, what: str) -> bool:
    """Whether nobody waits for the end of a pause."""
    return waiting(rig, what)() == 0


def wait_for(rig: Rig, what: str, sessions: int) -> None:
    """Return when so many sessions wait for the end of this pause."""
    wait_until(
        lambda: waiting(rig, what)() == sessions, timeout_s=scaled(10), what=f"{sessions} wait"
    )


def told(job_id: str) -> Event:
    """The job's first `waiting`."""
    return next(event for event in follow_job(job_id) if event.type is EventType.WAITING)


def seen() -> None:
    """Return when each worker has seen what was paused."""
    wait_until(elapsed(SEEN_S), what="each worker has seen it")


@pytest.mark.parametrize(
    "kind",
    ["agent", "server", *(pytest.param(one, marks=pytest.mark.slow) for one in ("model", "all"))],
)
def test_what_is_paused_waits_and_goes_on(rig: Rig, kind: str) -> None:
    """Jobs are taken in, none is begun, and the wait says why; then all are answered, in their
    first attempt."""
    model = "delay:30ms" if kind == "model" else "instant"
    name = {"agent": AGENT_ID, "model": model, "server": rig.ollama.url, "all": ""}[kind]
    named = [name] if name else []
    # The workers' own settings say which servers there are.
    command = ["pause", kind, *named, "--reason", "new disk", "--for", "1h", "--json"]
    (said,) = rig.griot(command)
    made = json.loads(said)
    what, until_ms = made["paused"], made["until_ms"]
    seen()
    sender, calls = Sender(model), rig.ollama.stats.requests
    sessions = sender.sessions(5)
    sender.send_all(sessions, 2)
    wait_for(rig, what, 5)
    event = told(sender.jobs[sessions[0]][0].job_id)
    assert event.data["reason"] == "paused"
    assert event.data["paused"] == what
    assert event.data["why"] == "new disk"
    assert event.data["until"] == pytest.approx(until_ms / 1000, abs=0.1)
    assert rig.ollama.stats.requests == calls
    assert resume(kind, name)  # type: ignore[arg-type]
    rig.check(sender, timeout_s=20, max_calls=1)
    results = [chat_task.AsyncResult(one.job_id) for jobs in sender.jobs.values() for one in jobs]
    assert {one.get(timeout=scaled(5))["attempt"] for one in results} == {1}
    assert waiting(rig, what)() == 0


def test_a_pause_ends_by_itself(rig: Rig) -> None:
    """By Redis' clock, and nobody resumes it."""
    pause("all", for_s=scaled(5))
    seen()
    sender = Sender("instant")
    sender.send_all(sender.sessions(3), 1)
    wait_for(rig, "all", 3)
    rig.check(sender, timeout_s=20 + scaled(5), max_calls=1)
    assert paused() == []


def test_what_runs_goes_on(rig: Rig) -> None:
    """A turn in mid-stream is finished; the next of its session waits."""
    sender = Sender(f"slow-tokens:20x{scaled(0.2):.2f}s")
    (session,) = sender.sessions(1)
    sender.send_all([session], 2)
    rig.wait_active(1)
    pause("agent", AGENT_ID)
    first, second = sender.jobs[session]
    assert chat_task.AsyncResult(first.job_id).get(timeout=scaled(20))["attempt"] == 1
    assert told(second.job_id).data["reason"] == "paused"
    resume("agent", AGENT_ID)
    rig.check(sender, timeout_s=20, max_calls=1)


def test_a_cancel_works_at_once_and_what_expires_expires(rig: Rig) -> None:
    """While it is paused; the model is not asked."""
    pause("all")
    seen()
    calls = rig.ollama.stats.requests
    sender = Sender("instant")
    first = sender.send(sender.sessions(1)[0])
    late = chat_task.apply_async((AGENT_ID, "expires-paused", "hello"), expires=scaled(2))
    wait_for(rig, "all", 2)
    assert chat_task.cancel(first.id) is CancelOutcome.CANCELLED
    with pytest.raises(TaskRevokedError):
        first.get(timeout=scaled(5))
    with pytest.raises(JobExpired):
        late.get(timeout=scaled(20))
    assert rig.ollama.stats.requests == calls
    wait_until(
        lambda: is_left_by_all(rig, "all"), what="nobody waits any more, though it is paused"
    )
    assert paused()


def test_a_pause_outlives_every_worker(rig: Rig, workers: list[ServerProcess]) -> None:
    """All are killed, and a new one has seen it before it begins anything; what waited is found."""
    pause("agent", AGENT_ID)
    seen()
    sender = Sender("instant")
    sessions = sender.sessions(4)
    sender.send_all(sessions, 1)
    wait_for(rig, f"agent {AGENT_ID}", 4)
    for worker in workers:
        worker.signal(signal.SIGKILL)
        worker.wait(scaled(5))
    workers[:] = [rig.worker(name="after")]
    sender.send_all(sessions, 1)
    more = sender.sessions(2)
    sender.send_all(more, 1)
    wait_for(rig, f"agent {AGENT_ID}", 6)
    resume("agent", AGENT_ID)
    rig.check(sender, timeout_s=30, max_calls=1)


def test_operators_see_what_is_paused(rig: Rig) -> None:
    """`griot pause`, `griot status`, `griot resume`, `griot audit`."""
    said, pauses, status, resumed, again, audit = rig.griot(
        ["pause", "agent", AGENT_ID, "--reason", "wrong prices", "--for", "10m"],
        ["pause", "--json"],
        ["status", "--json"],
        ["resume", "agent", AGENT_ID],
        ["resume", "agent", AGENT_ID],
        ["audit", "--limit", "3", "--json"],
    )
    assert f"agent {AGENT_ID} is paused until" in said
    (shown,) = json.loads(pauses)
    assert (shown["what"], shown["reason"]) == (f"agent {AGENT_ID}", "wrong prices")
    assert json.loads(status)["pauses"] == [shown]
    assert "is resumed" in resumed
    assert "was not paused" in again
    assert [one["deed"] for one in json.loads(audit)] == ["resume", "resume", "pause"]


def test_a_lost_wake_up_is_found_after_the_pause(rig: Rig) -> None:
    """And what takes the place of a job that waits, or comes later, waits as that did."""
    asyncio.run(aio.pause("all"))
    seen()
    sender = Sender("instant")
    lost, replaced, later = sender.sessions(3)
    rig.enqueue_silently(sender, lost)
    old = chat_task.delay(AGENT_ID, replaced, "old", model="instant")
    wait_for(rig, "all", 2)
    sender.send(replaced, on_busy="replace_pending")
    with pytest.raises(TaskRevokedError):
        old.get(timeout=scaled(10))
    soon = datetime.now(UTC) + timedelta(seconds=1)
    sender.send(later, not_before=soon.isoformat())
    wait_for(rig, "all", 3)
    assert [str(one.target) for one in asyncio.run(aio.paused())] == ["all"]
    assert asyncio.run(aio.resume("all"))
    rig.check(sender, timeout_s=30, max_calls=1)


def test_a_paused_waiter_passes_its_slot_on(rig: Rig) -> None:
    """Sessions of another agent get the slots at once; it waits for one again afterwards."""
    worker = rig.worker("-Q", "few", name="few", OLLAMA_NUM_PARALLEL="1", CHAT_GRACE_SECONDS="60")
    model = "delay:300ms"
    slots = Slots(rig.keyspace, model, (rig.ollama.url,), 1)
    held, free = Sender(model, agent_id="held"), Sender(model, agent_id="free")
    for sender in (held, free):
        for session in sender.sessions(4):
            sender.send(session, queue="few")
    wait_until(lambda: rig.connection.run(slots.waiting()) >= 5, what="they wait for the slot")
    pause("agent", "held")
    # A grant that nobody uses would keep the slot for CHAT_GRACE_SECONDS.
    wait_until(
        lambda: all(chat_task.AsyncResult(one[0].job_id).ready() for one in free.jobs.values()),
        timeout_s=30,
        what="the free ones are answered",
    )
    resume("agent", "held")
    rig.check(free, timeout_s=20, max_calls=1)
    rig.check(held, timeout_s=30, max_calls=1)
    worker.kill()


def test_an_eager_job_waits_for_the_end_of_a_pause(rig: Rig) -> None:
    """Its sender does it itself, and waits as a worker would."""
    pause("all", for_s=scaled(3))
    code = (
        "import time; from tasks import app, chat_task; app.conf.task_always_eager = True; "
        "began = time.monotonic(); "
        "reply = chat_task.delay('energy', 'eager-paused', 'hello', model='instant').get(); "
        "print(time.monotonic() - began, reply['attempt'])"
    )
    took_s, attempt = rig.python(code, role="worker").stdout.split()[-2:]
    assert float(took_s) > scaled(1) / 2
    assert attempt == "1"
