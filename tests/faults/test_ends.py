"""Ends of jobs outlive whoever made them, servers that are away, and damaged keys."""

import uuid

import pytest
from celery.result import AsyncResult
from kombu import Connection as Broker

from memory.lifetimes import DEDUPE_MS
from memory.mailbox.outcomes import AcquireOutcome, Ending
from sandbox.process import ServerProcess
from tasks import EventType, app, chat_task, follow_job
from tasks.process.crash_points import CrashPoint
from tasks.submit.dead_letters import all_letters, letter_of
from tasks.submit.erase import erase
from tests.support.faults.rig import GRACE_S, LEASE_S, SWEEP_S, Rig
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import scaled
from tests.support.waiting import elapsed, wait_until

WAIT_S = scaled(30)


def test_a_worker_dies_between_commit_and_result(rig: Rig, steady: ServerProcess) -> None:
    """The result is the same as any, and the link runs, once."""
    doomed = rig.doomed_worker(CrashPoint.BEFORE_RESULT, 1, "-Q", "ends", name="ends")
    inbox = f"inbox-{uuid.uuid4().hex[:8]}"
    job = chat_task.apply_async(
        kwargs={
            "agent_id": AGENT_ID,
            "session_id": f"s-{uuid.uuid4()}",
            "message": "hello",
            "model": "instant",
            "metadata": {"user_id": "u"},
            "format": "json",
        },
        queue="ends",
        link=app.signature("somebody.elses", queue=inbox),
    )
    result = job.get(timeout=WAIT_S)
    assert not doomed.is_running
    assert result["metadata"] == {"user_id": "u"}
    assert {"server", "timings", "receipt", "parsed"} <= result.keys()
    broker: Broker
    with app.connection_for_read(rig.valkey.url(1)) as broker:
        queue = broker.SimpleQueue(inbox)
        message = queue.get(timeout=WAIT_S)
        message.ack()
        assert message.payload[0] == [result]
        with pytest.raises(queue.Empty):
            queue.get(timeout=SWEEP_S + 2 * GRACE_S + rig.slack_s)


def test_a_worker_dies_as_it_gives_a_job_up(rig: Rig, steady: ServerProcess) -> None:
    """ACQUIRE has made it a dead letter, and nobody heard: it is listed, and FAILURE."""
    settings = {"CHAT_MAX_ATTEMPTS": "1"}
    first = rig.worker("-Q", "last", name="last-1", **settings)
    job = chat_task.apply_async(
        args=(AGENT_ID, f"s-{uuid.uuid4()}", "hello"), kwargs={"model": "hang"}, queue="last"
    )
    rig.wait_active(1)
    first.kill()
    second = rig.doomed_worker(CrashPoint.BEFORE_WAKE, 1, "-Q", "last", name="last-2", **settings)
    wait_until(lambda: not second.is_running, timeout_s=WAIT_S, what="it has died")
    wait_until(lambda: job.state == "FAILURE", timeout_s=WAIT_S, what="the result is stored")
    assert letter_of(job.id).letter.reason == "no answer after 1 attempts"
    assert job.id in {one.letter.job_id for one in all_letters()}
    assert [event.type for event in follow_job(job.id)][-1] is EventType.FAILED


def test_a_worker_dies_before_it_hears_that_a_job_is_given_up(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """ACQUIRE's answer is lost with it: whoever delivers the end lists the letter."""
    (session_id,) = sender.sessions(1)
    rig.enqueue_silently(sender, session_id)
    mailbox = rig.mailbox(session_id)
    (job_id,) = rig.connection.run(mailbox.pending())

    def acquired(token: str) -> AcquireOutcome:
        calls = mailbox.acquire(
            job_id, token, lease_ms=1, history_n=0, max_attempts=1, ttl_s=600, grace_ms=100
        )
        return rig.connection.run_last(*calls).outcome

    assert acquired("dies-first") is AcquireOutcome.RUN
    wait_until(lambda: acquired("dies-too") is AcquireOutcome.DEAD, what="it is given up")
    job = AsyncResult(job_id, app=app)
    wait_until(lambda: job.state == "FAILURE", timeout_s=WAIT_S, what="the result is stored")
    assert job_id in {one.letter.job_id for one in all_letters()}
    assert rig.observer.pttl(rig.keyspace.job(job_id)) > DEDUPE_MS


def test_a_turn_is_recorded_though_its_last_tokens_cannot_be(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """Redis is full while a reply streams: the turn is committed, and computed once."""
    sender.model = f"slow-tokens:40x{scaled(0.03)}s"
    (session_id,) = sender.sessions(1)
    sender.send(session_id)
    sender.send(session_id)
    rig.wait_active(1)
    with rig.full_memory():
        wait_until(
            lambda: len(rig.dump(session_id).history) >= 2,
            timeout_s=WAIT_S,
            what="the turn is committed",
        )
    rig.check(sender, timeout_s=WAIT_S, max_calls=1)


def test_damage_of_one_session_and_of_the_lists_holds_up_no_other(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """Keys of a wrong type, and members that are no text: the others go on, the damage is named."""
    broken = rig.keys("broken")
    rig.observer.set(broken.outbox, "what is this")
    rig.observer.zadd(rig.keyspace.due, {b"\xff\xfe": 1, broken.history: 1})
    rig.observer.zadd(rig.keyspace.outbox, {b"\xff\xfe": 1, broken.history: 1})
    sessions = sender.sessions(3)
    for session_id in sessions:
        sender.send(session_id)
        rig.enqueue_silently(sender, session_id)
    rig.check(sender, timeout_s=WAIT_S)
    for listed in (rig.keyspace.due, rig.keyspace.outbox):
        wait_until(
            lambda key=listed: rig.observer.zscore(key, b"\xff\xfe") is None,  # type: ignore[misc]
            timeout_s=WAIT_S,
            what="what is no text is set aside",
        )
    assert broken.outbox in steady.log_text()
    rig.observer.delete(broken.outbox)
    rig.observer.zrem(rig.keyspace.outbox, broken.history)


def test_a_damaged_list_of_outboxes_costs_late_results_only(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """Turns, their results and lost wake-ups go on; the log names the key."""
    rig.observer.set(rig.keyspace.outbox, "what is this")
    try:
        (session_id,) = sender.sessions(1)
        sender.send(session_id)
        rig.enqueue_silently(sender, session_id)
        rig.check(sender, timeout_s=WAIT_S)
        wait_until(
            lambda: repr(rig.keyspace.outbox) in steady.log_text(),
            timeout_s=WAIT_S,
            what="the damage is named",
        )
    finally:
        rig.observer.delete(rig.keyspace.outbox)


def test_a_lost_wake_up_is_found_beside_an_end_that_cannot_be_noted(
    rig: Rig, steady: ServerProcess, sender: Sender
) -> None:
    """Nor is the end: where the list of outboxes is damaged, the sweep of the mailbox delivers."""
    (session_id,) = sender.sessions(1)
    mailbox, gone = rig.mailbox(session_id), str(uuid.uuid4())
    rig.observer.set(rig.keyspace.outbox, "what is this")
    try:
        calls = mailbox.discard(
            gone, "cancelled", owner="dead", ending=Ending.CANCELLED, ttl_s=600, grace_ms=100
        )
        rig.connection.run_last(*calls)
        rig.enqueue_silently(sender, session_id)
        (lost,) = rig.connection.run(mailbox.pending())
        for job_id, state in ((lost, "SUCCESS"), (gone, "REVOKED")):
            job = AsyncResult(job_id, app=app)
            wait_until(
                lambda of=job, its=state: of.state == its,  # type: ignore[misc]
                timeout_s=WAIT_S,
                what=f"a job is {state}",
            )
    finally:
        rig.observer.delete(rig.keyspace.outbox)


def test_erasing_a_session_whose_turn_runs(rig: Rig, steady: ServerProcess, sender: Sender) -> None:
    """No word of it is left anywhere, its jobs end as erased, and nothing is written again."""
    secret = f"secret-{uuid.uuid4().hex}"
    (session_id,) = sender.sessions(1)
    asked = (AGENT_ID, session_id, secret)
    done = chat_task.delay(*asked, model="instant")
    assert secret in done.get(timeout=WAIT_S)["response"]
    runs = chat_task.delay(*asked, model=f"slow-tokens:400x{scaled(0.02)}s")
    waits = chat_task.delay(*asked, model="instant")
    following = follow_job(runs.id)
    while next(following).type is not EventType.TOKEN:
        pass
    receipt = erase(app, AGENT_ID, session_id, dry_run=True)
    assert (receipt.kept.messages, receipt.kept.pending) == (2, 2)
    erase(app, AGENT_ID, session_id)
    assert [event.type for event in following][-1] is EventType.ERASED
    for job in (done, runs, waits):
        wait_until(
            lambda of=job: AsyncResult(of.id, app=app).state == "FAILURE",  # type: ignore[misc]
            timeout_s=WAIT_S,
            what="it has ended as erased",
        )
    rig.wait_active(0)
    wait_until(elapsed(LEASE_S), timeout_s=WAIT_S, what="whoever still ran has given up")
    for server in (rig.observer, rig.results):
        for key in server.scan_iter(count=1000):
            assert secret.encode() not in (server.dump(key) or b""), key
