"""Beat, the maintenance worker and clean-up among running jobs: faults 27, 28 and 30."""

import pytest

from sandbox.process import ServerProcess
from tasks import app
from tasks.beat.maintenance import (
    clean_stale_sessions,
    extend_active_sessions,
    snapshot_memory_stats,
)
from tasks.process.wakeup import publish
from tests.support.faults.rig import GRACE_S, SWEEP_S, Rig
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import scaled
from tests.support.waiting import elapsed, wait_until

EVERY_S = 0.3
OFTEN = {
    "MEMORY_EXTEND_EVERY": str(EVERY_S),
    "MEMORY_CLEANUP_EVERY": str(EVERY_S),
    "MEMORY_STATS_EVERY": str(EVERY_S),
    "CHAT_SWEEP_SECONDS": "0.2",
}


@pytest.fixture(scope="module")
def maintenance(rig: Rig) -> ServerProcess:
    """The maintenance worker."""
    return rig.stack.maintenance(**OFTEN)


def test_two_beats_and_then_none(
    rig: Rig, steady: ServerProcess, maintenance: ServerProcess, sender: Sender
) -> None:
    """Whatever is sent twice acts once; killed beats leave the workers' own timers."""
    beats = [rig.stack.beat(**OFTEN), rig.stack.beat(**OFTEN)]
    wait_until(lambda: len(rig.housekeeping.read_stats()) >= 4, what="beat's tasks run")
    for session_id in sender.sessions(5):
        rig.enqueue_silently(sender, session_id)
    within_s = SWEEP_S + 2 * GRACE_S + rig.slack_s
    rig.check(sender, timeout_s=within_s, max_calls=1)
    for beat in beats:
        beat.kill()
    rig.enqueue_silently(sender, *sender.sessions(1))
    rig.check(sender, timeout_s=within_s, max_calls=1)
    assert steady.is_running
    assert maintenance.is_running


def test_maintenance_behind_10_000_chat_jobs(rig: Rig, maintenance: ServerProcess) -> None:
    """However long the chat queue is, periodic work is done within a second."""
    publish(app, "a-job", {"agent_id": AGENT_ID, "session_id": "nobody"}, {"queue": "crowd"})
    message = rig.broker("LPOP", "crowd")
    assert isinstance(message, bytes | str)
    for _ in range(10):
        rig.broker("LPUSH", "chat", *[message] * 1000)
    try:
        tasks = (extend_active_sessions, clean_stale_sessions, snapshot_memory_stats)
        for sent in [task.delay() for task in tasks]:
            assert sent.get(timeout=scaled(1 + rig.delay_s))
        assert int(str(rig.broker("LLEN", "chat"))) > 5000
    finally:
        rig.broker("DEL", "chat")


def test_clean_up_while_jobs_arrive(rig: Rig, steady: ServerProcess, sender: Sender) -> None:
    """Clean-up in a loop over sessions with work pending: it deletes nothing of them."""
    sender.model = "delay:5ms"
    sessions = sender.sessions(5)
    sender.send_all(sessions, 6)
    for session_id in sessions:
        sender.send(session_id, model=f"delay:{scaled(2)}s")
    met = 0
    while rig.ollama.stats.active < len(sessions) or not _are_all_at_their_last(rig, sender):
        met += rig.housekeeping.clean_stale(idle_s=0).pending
    assert met > 0, "the clean-up met sessions with work pending"
    rig.check(sender, max_calls=1)
    assert rig.housekeeping.clean_stale(idle_s=0).deleted >= len(sessions), "they are deleted now"


def _are_all_at_their_last(rig: Rig, sender: Sender) -> bool:
    return all(len(dump.pending) <= 1 for dump in rig.dumps(sender))


def test_a_history_that_expires_in_mid_turn(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """What was pending is still answered; the turn begins the history anew."""
    (session_id,) = sender.sessions(1)
    sender.send(session_id)
    rig.check(sender)
    running = sender.send(session_id, model=f"delay:{scaled(0.3)}s")
    after = sender.send(session_id)
    rig.wait_active(1)
    assert rig.observer.pexpire(rig.keys(session_id).history, 1)
    wait_until(elapsed(0.01), what="the history has expired")
    rig.wait_drained(sender)
    (dump,) = rig.dumps(sender)
    assert [past["job_id"] for past in dump.history[::2]] == [running.id, after.id]
    shown = [message["content"] for message in rig.ollama.calls[-1].messages]
    assert shown[-3:-1] == [past["content"] for past in dump.history[:2]]
