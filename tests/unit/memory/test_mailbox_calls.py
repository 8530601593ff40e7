"""What the mailbox sends, and in which order. No server is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory import dead_letters
from memory.errors import CorruptData, InvalidInput
from memory.ids import MAX_ID_BYTES
from memory.keys import Keyspace
from memory.mailbox.dead_letters import DeadLetter
from memory.mailbox.intake import Intake, OnBusy, Request
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.outcomes import Ending
from memory.records.history import find_reply

BOX = Mailbox.of(Keyspace(), "energy", "session-1")
LETTER = DeadLetter("j1", 1, 1, 1, "reason", b"envelope", b"stored")


def names_of(commands: object) -> list[str]:
    """The operation, or the command, of each call."""
    assert isinstance(commands, tuple)
    return [command.script.name if command.script else command.args[0] for command in commands]


@pytest.mark.parametrize(
    ("commands", "names"),
    [
        (BOX.enqueue("j1", b"", cap=1, grace_ms=1), ["schedule", "enqueue"]),
        (
            BOX.acquire("j1", "t", lease_ms=1, history_n=1, max_attempts=1, ttl_s=1, grace_ms=1),
            ["PEXPIRE", "schedule", "acquire"],
        ),
        (
            BOX.commit("t", "j1", [b"x"], event=b"e", keep=1, ttl_s=1, grace_ms=1),
            ["schedule", "commit"],
        ),
        (BOX.fail("t", delay_ms=1, refund=False, grace_ms=1), ["schedule", "fail"]),
        (
            BOX.discard("j1", "x", owner="o", ending=Ending.CANCELLED, ttl_s=1, grace_ms=1),
            ["schedule", "discard"],
        ),
        (
            BOX.take_in(dead_letters.requeued(BOX.keys, LETTER, cap=1), grace_ms=1),
            ["schedule", "enqueue"],
        ),
    ],
)
def test_the_look_goes_before_what_it_guards(commands: object, names: list[str]) -> None:
    """A caller that dies in between leaves an entry, never a forgotten mailbox."""
    assert names_of(commands) == names


@pytest.mark.parametrize("on_busy", OnBusy)
def test_an_id_is_claimed_with_the_job_and_on_a_cluster_before_it(on_busy: OnBusy) -> None:
    """One trip on one server; on a cluster the pointer lies on another server than the mailbox."""
    intake = Intake("j1", b"", 1, on_busy)
    *_, take_in = BOX.take_in(intake, grace_ms=1)
    assert take_in.keys[-1] == BOX.keyspace.job("j1")
    assert BOX.claim(intake) is None
    on_cluster = Mailbox.of(Keyspace(is_cluster=True), "energy", "session-1")
    *_, take_in = on_cluster.take_in(intake, grace_ms=1)
    assert all("{" in key or key == on_cluster.keys.history for key in take_in.keys)
    claim = on_cluster.claim(intake)
    assert claim is not None
    assert claim.keys == (BOX.keyspace.job("j1"),)
    assert claim.args[0] == f"{Request().digest} {BOX.keys.history}"


@given(agent_id=st.text(max_size=40), session_id=st.text(max_size=40))
def test_a_history_key_leads_back_to_its_session(agent_id: str, session_id: str) -> None:
    """The sweeper knows nothing but the key."""
    keyspace = Keyspace("some:prefix")
    try:
        keys = keyspace.session(agent_id, session_id)
    except InvalidInput:
        return
    assert keyspace.parse_history(keys.history) == keys


@given(
    one=st.tuples(st.text(max_size=8), st.text(max_size=8)),
    other=st.tuples(st.text(max_size=8), st.text(max_size=8)),
)
def test_distinct_sessions_share_no_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Whatever is in their ids."""
    keyspace = Keyspace()
    try:
        first, second = keyspace.session(*one), keyspace.session(*other)
    except InvalidInput:
        return
    assert (first.history == second.history) == (one == other)


@pytest.mark.parametrize(
    "history_key",
    [
        "",
        "ecowas:history:",
        "ecowas:history:a",
        "ecowas:history:a:",
        "ecowas:history::b",
        "ecowas:history:a:b:c",
        "other:history:a:b",
        "ecowas:queue:a:b",
        "ecowas:history:%61:b",
        "ecowas:history:a:%zz",
        "ecowas:history:a:%ff",
        "ecowas:history:a:b c",
        "ecowas:history:a:" + "b" * (MAX_ID_BYTES + 1),
    ],
)
def test_what_is_not_the_key_of_a_history_is_corrupt(history_key: str) -> None:
    """Only the one spelling that `session` gives is read back."""
    with pytest.raises(CorruptData):
        Keyspace().parse_history(history_key)


@pytest.mark.parametrize("bad", ["", "\ud800", "x" * (MAX_ID_BYTES + 1)])
def test_an_id_that_cannot_be_in_a_key_is_refused(bad: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidInput):
        BOX.enqueue(bad, b"", cap=1, grace_ms=1)


def test_the_last_reply_of_a_job_is_found() -> None:
    """The assistant's, of that job, the last one there is."""
    messages = [
        b'{"role":"assistant","job_id":"j1","content":"1"}',
        b'{"role":"user","job_id":"j1","content":"2"}',
        b'{"role":"assistant","job_id":"j2","content":"3"}',
        b'{"role":"assistant","content":"\\"job_id\\":\\"j1\\""}',
        b'not JSON but with "job_id"',
        b'["job_id"]',
    ]
    assert find_reply(messages, "j1") == messages[0]
    assert find_reply(messages, "j3") is None
    assert find_reply([], "j1") is None


def test_of_a_cancelled_turn_the_last_message_is_found() -> None:
    """The answer as far as it came, or the question where there is none; both are marked."""
    question = b'{"role":"user","job_id":"j1","content":"1","cancelled":true}'
    answer = b'{"role":"assistant","job_id":"j1","content":"2","cancelled":true}'
    assert find_reply([question], "j1") == question
    assert find_reply([question, answer], "j1") == answer
    assert find_reply([question], "j2") is None


def test_results_do_not_show_what_users_wrote() -> None:
    """Envelopes and histories stay out of logs and tracebacks."""
    assert "envelope" not in repr(LETTER).replace("envelope_of", "")
