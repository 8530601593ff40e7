"""Strange ids and messages, and keys that others have damaged: faults 31 and 32, end to end."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import pytest
from celery.exceptions import TaskRevokedError

from memory import CorruptData, get_redis_memory
from memory.keys import Keyspace, SessionKeys
from sandbox.process import ServerProcess
from tasks import CancelOutcome, InvalidJob, JobFailed, chat_task
from tests.support.faults.rig import Rig
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

WAIT_S = scaled(15)

KEPT_IDS = (
    "a:b", "a", "b:a", "*", "?", "[x]", "{x}", "new\nline", "nul\x00", " ", "%", "%3A",
    "é", "e\u0301", "😀", "x" * 512,
)  # fmt: skip
REFUSED_IDS: Mapping[str, object] = {
    "empty": "",
    "1 MB": "x" * 1_000_000,
    "a lone surrogate": "\ud800",
    "a number": 7,
    "bytes": b"x",
    "nothing": None,
}
LIMIT = 32_768
KEPT_MESSAGES = (
    "x" * LIMIT,
    "😀" * (LIMIT // 4),
    "nul \x00 in it",
    "line\r\nline",
    " ",
    '{"a": 1}',
)
REFUSED_MESSAGES: Mapping[str, object] = {
    "empty": "",
    "one byte too long": "x" * (LIMIT + 1),
    "one character too long": "😀" * (LIMIT // 4) + "é",
    "a lone surrogate": "half \ud83d of it",
    "a number": 7,
    "nothing": None,
}


def test_ids_of_every_kind(steady: ServerProcess) -> None:
    """Each agent and each session has a conversation of its own, under exactly its id."""
    # All pairs of those that could be taken for each other, and each of the others.
    pairs = [(agent_id, session_id) for agent_id in KEPT_IDS[:3] for session_id in KEPT_IDS[:4]]
    pairs += [(one, one) for one in KEPT_IDS[4:]]
    sent = [
        chat_task.delay(agent_id, session_id, f"{agent_id!r} {session_id!r}", model="instant")
        for agent_id, session_id in pairs
    ]
    memory = get_redis_memory()
    for (agent_id, session_id), job in zip(pairs, sent, strict=True):
        result = job.get(timeout=WAIT_S)
        assert (result["agent_id"], result["session_id"]) == (agent_id, session_id)
        history = memory.get_conversation_history(agent_id, session_id)
        assert [past["content"] for past in history] == [
            f"{agent_id!r} {session_id!r}",
            result["response"],
        ]


@pytest.mark.parametrize("kind", REFUSED_IDS)
def test_an_id_that_cannot_be_kept(rig: Rig, kind: str) -> None:
    """It is refused by `delay()`, as an agent's and as a session's, and nothing is written."""
    unseen = f"unseen-{uuid.uuid4()}"
    for arguments in ((REFUSED_IDS[kind], unseen), (unseen, REFUSED_IDS[kind])):
        with pytest.raises(InvalidJob, match=r"agent_id|session_id"):
            chat_task.delay(*arguments, "hello")
    assert not rig.observer.keys(f"*{unseen}*")


def test_messages_of_every_kind(rig: Rig, steady: ServerProcess) -> None:
    """They reach the model and the history byte for byte."""
    (session_id,) = Sender().sessions(1)
    sent = [chat_task.delay(AGENT_ID, session_id, message) for message in KEPT_MESSAGES]
    for job in sent:
        job.get(timeout=WAIT_S)
    history = get_redis_memory().get_conversation_history(AGENT_ID, session_id)
    assert tuple(past["content"] for past in history[::2]) == KEPT_MESSAGES
    shown = _last_asked(rig, KEPT_MESSAGES[-1])[1:]
    assert tuple(message["content"] for message in shown[::2]) == KEPT_MESSAGES


@pytest.mark.parametrize("kind", REFUSED_MESSAGES)
def test_a_message_that_cannot_be_kept(rig: Rig, kind: str) -> None:
    """It is refused by `delay()`, with no word of it in the error, and nothing is written."""
    unseen = f"unseen-{uuid.uuid4()}"
    with pytest.raises(InvalidJob, match="message") as refused:
        chat_task.delay(unseen, unseen, REFUSED_MESSAGES[kind])
    assert "half" not in str(refused.value)
    assert not rig.observer.keys(f"*{unseen}*")


def test_corrupt_elements_in_a_history(rig: Rig, steady: ServerProcess) -> None:
    """They are skipped: the model is shown the rest, and what lies there stays as it is."""
    (session_id,) = Sender().sessions(1)
    chat_task.delay(AGENT_ID, session_id, "one").get(timeout=WAIT_S)
    key = rig.keys(session_id).history
    garbage = [b"not json", b"\xff\xfe", b"[1,2]", b'{"role": "wizard"}', b"", b'{"role": "user"']
    rig.observer.rpush(key, *garbage)
    result = chat_task.delay(AGENT_ID, session_id, "two").get(timeout=WAIT_S)
    assert result["history_messages"] == 2
    assert [m["content"] for m in _last_asked(rig, "two")[1::2]] == ["one", "two"]
    assert rig.observer.lrange(key, 2, 7) == garbage
    assert rig.observer.llen(key) == 10


def _wrong_type(rig: Rig, keys: SessionKeys, kind: str) -> str:
    key: str = getattr(keys, kind)
    rig.observer.delete(key)
    rig.observer.set(key, "not ours")
    return key


@pytest.mark.parametrize("kind", ["queue", "jobs", "lease", "done"])
def test_a_key_of_a_wrong_type_at_the_door(rig: Rig, sender: Sender, kind: str) -> None:
    """`delay()` says so, nothing is half-written, and other sessions are served."""
    (session_id,) = sender.sessions(1)
    keys = rig.keys(session_id)
    damaged = _wrong_type(rig, keys, kind)
    with pytest.raises(CorruptData):
        chat_task.delay(AGENT_ID, session_id, "hello")
    assert rig.observer.get(damaged) == b"not ours"
    others = [getattr(keys, name) for name in ("history", "queue", "jobs", "lease", "done")]
    assert rig.observer.exists(*others) == 1, "no other key of the session was written"


@pytest.mark.parametrize("kind", ["history", "queue", "jobs", "lease", "done", "dead", "events"])
def test_a_key_of_a_wrong_type_in_mid_turn(
    rig: Rig, steady: ServerProcess, sender: Sender, kind: str
) -> None:
    """The commit is refused as a whole; other sessions and the worker go on."""
    damaged_id, other = sender.sessions(2)
    stuck = chat_task.delay(
        AGENT_ID, damaged_id, f"hello {damaged_id}", model=f"delay:{scaled(0.5)}s"
    )
    wait_until(lambda: _is_asked(rig, damaged_id), what="the model is asked")
    damaged = _wrong_type(rig, rig.keys(damaged_id), kind)
    sender.send(other)
    rig.check(sender)
    wait_until(lambda: not _is_asked(rig, damaged_id), what="the model has answered")
    if kind == "dead":
        assert "hello" in stuck.get(timeout=WAIT_S)["response"], "the turn needs no such key"
    else:
        assert rig.observer.get(damaged) == b"not ours"
        wait_until(
            lambda: f"job {stuck.id} cannot run" in steady.log_text(),
            what="the worker says so",
        )
        intact = {"history", "done"} - {kind}
        assert not rig.observer.exists(*(getattr(rig.keys(damaged_id), name) for name in intact))
    rig.observer.delete(damaged)
    sender.send(other)
    rig.check(sender)
    assert steady.is_running


BESIDE: Mapping[str, Callable[[Keyspace], str]] = {
    "the sweeper's list": lambda keys: keys.due,
    "the list of agents": lambda keys: keys.agents,
    "the list of an agent's sessions": lambda keys: keys.sessions(AGENT_ID),
    "the list of dead letters": lambda keys: keys.dead,
    "the announcements of stops": lambda keys: keys.cancellations,
    "the wait in the queue": lambda keys: keys.queue_wait,
    "the statistics": lambda keys: keys.stats,
    "the pauses": lambda keys: keys.pauses,
    "the list of outages": lambda keys: keys.outages,
    "the pending jobs": lambda keys: keys.quotas.pending_jobs,
    "the owners of jobs": lambda keys: keys.quotas.owners,
    "the records of jobs": lambda keys: keys.quotas.job_records,
    "the index of jobs": lambda keys: keys.quotas.job_index,
    "the ends of records": lambda keys: keys.quotas.record_ends,
    "what was counted lately": lambda keys: keys.quotas.usage_ids,
    "what was used today": lambda keys: keys.usage(f"{datetime.now(UTC):%Y%m%d}"),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_a_key_of_a_wrong_type_beside_the_sessions(
    rig: Rig, steady: ServerProcess, sender: Sender, kind: str
) -> None:
    """No session needs it: jobs are taken in, answered, cancelled and given up as ever."""
    damaged = BESIDE[kind](rig.keyspace)
    # A list: none of them is one. At once, or a sweeper makes what is right in between.
    with rig.observer.pipeline(transaction=True) as pipe:
        pipe.delete(damaged).rpush(damaged, "not ours").execute()
    try:
        answered, endless, refused = sender.sessions(3)
        job = sender.send(answered)
        assert sender.jobs[answered][0].message in job.get(timeout=WAIT_S)["response"]
        running = chat_task.delay(AGENT_ID, endless, f"talk {endless}", model="endless")
        wait_until(lambda: _is_asked(rig, endless), what="the model is asked")
        assert chat_task.cancel(running.id) is CancelOutcome.STOPPING
        with pytest.raises(TaskRevokedError):
            running.get(timeout=WAIT_S)
        with pytest.raises(JobFailed):
            chat_task.delay(AGENT_ID, refused, "hello", model="bad-400").get(timeout=WAIT_S)
        assert rig.observer.lrange(damaged, 0, -1) == [b"not ours"]
    finally:
        rig.observer.delete(damaged)
    sender.send(answered)
    rig.check(sender)
    assert steady.is_running


def _last_asked(rig: Rig, words: str) -> Sequence[Mapping[str, object]]:
    """What the model was shown when last asked this. Jobs of other tests may come between."""
    calls = reversed(rig.ollama.calls)
    return next(call.messages for call in calls if call.messages[-1]["content"] == words)


def _is_asked(rig: Rig, words: str) -> bool:
    """Whether the model is being asked this. A job of another test may run as well."""
    return any(
        call.outcome == "running" and words in str(call.messages[-1]["content"])
        for call in rig.ollama.calls
    )
