"""The checker itself: it is silent on what is right, and names each invariant that is broken."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from sandbox.ollama import RecordedCall
from tests.support.faults.dump import SessionDump
from tests.support.faults.invariants import Rules, assert_invariants
from tests.support.faults.sender import SentJob

JOBS = (SentJob("j0", "first"), SentJob("j1", "second"), SentJob("j2", "third"))
LONG_MS = 7 * 86_400_000


def _message(role: str, content: str, job_id: str) -> dict[str, object]:
    return {"role": role, "content": content, "job_id": job_id}


def _turn(job: SentJob) -> tuple[dict[str, object], ...]:
    reply = f"re {job.message}"
    return (
        _message("user", job.message, job.job_id),
        _message("assistant", reply, job.job_id),
    )


def _result(job: SentJob) -> dict[str, object]:
    return {"status": "SUCCESS", "result": {"response": f"re {job.message}"}}


def _call(job: SentJob, before: Sequence[SentJob], outcome: str = "answered") -> RecordedCall:
    turns = [message for past in before for message in _turn(past)]
    shown = ({"role": "system", "content": "be kind"}, *turns, _turn(job)[0])
    return RecordedCall(
        number=1,
        path="/api/chat",
        model="ok",
        scenario="ok",
        messages=shown,  # type: ignore[arg-type]
        options={},
        stream=True,
        body=b"",
        started_s=0,
        finished_s=1,
        disconnected_s=None,
        outcome=outcome,  # type: ignore[arg-type]
        status=200,
        tokens=1,
        tokens_after_disconnect=0,
        reply=f"re {job.message}",
    )


GOOD = SessionDump(
    session_id="s",
    history=tuple(message for job in JOBS for message in _turn(job)),
    marks=tuple((job.job_id, 1.0) for job in JOBS),
    lease=frozenset({"last"}),
    marks_ttl_ms=LONG_MS,
    events=tuple({"type": "done", "job": job.job_id} for job in JOBS),
    results={job.job_id: _result(job) for job in JOBS},
)
CALLS = tuple(_call(job, JOBS[:n]) for n, job in enumerate(JOBS))
DEAD = replace(
    GOOD,
    history=GOOD.history[:4],
    marks=(*GOOD.marks[:2], ("j2", -1.0)),
    dead={"j2": "refused"},
    events=({"type": "failed", "job": "j2"},),
    results={**GOOD.results, "j2": {"status": "FAILURE"}},
)


def check(
    dump: SessionDump = GOOD, calls: Sequence[RecordedCall] = CALLS, rules: Rules | None = None
) -> None:
    """The checker on one session."""
    assert_invariants([dump], {"s": JOBS}, calls, rules)


def test_what_is_right_passes() -> None:
    """Turns in order, each from the ones before; a dead job where one is expected; a retry."""
    check()
    check(DEAD, rules=Rules(dead=frozenset({"j2"})))
    check(calls=(*CALLS, _call(JOBS[1], JOBS[:1], "disconnected")), rules=Rules(max_calls=2))
    shown_two = replace(CALLS[2], messages=CALLS[2].messages[3:])
    check(calls=(*CALLS[:2], shown_two), rules=Rules(window=2))


h, m = GOOD.history, GOOD.marks
BROKEN: dict[str, tuple[str, SessionDump]] = {
    "a turn twice": ("I1", replace(GOOD, history=(*h, *h[:2]))),
    "half a turn": ("I1", replace(GOOD, history=h[:5])),
    "two questions, then two replies": ("I1", replace(GOOD, history=(h[0], h[2], h[1], h[3]))),
    "a job that is nowhere": ("I2", replace(GOOD, history=h[:4], marks=m[:2])),
    "a mark without a turn": ("I2", replace(GOOD, history=h[:4])),
    "a job done and pending": (
        "I2",
        replace(GOOD, pending=("j2",), envelopes=frozenset({"j2"})),
    ),
    "pending without its envelope": (
        "I2",
        replace(GOOD, history=h[:4], marks=m[:2], pending=("j2",)),
    ),
    "dead and yet answered": ("I2", replace(DEAD, history=h)),
    "dead without being expected to be": ("I2", DEAD),
    "turns out of order": ("I3", replace(GOOD, history=(*h[2:4], *h[:2], *h[4:]))),
    "a turn of a job nobody sent": (
        "I3",
        replace(GOOD, history=(*h, *_turn(SentJob("x", "what?")))),
    ),
    "another question under a job's id": (
        "I3",
        replace(GOOD, history=(_message("user", "no", "j0"), *h[1:])),
    ),
    "a reply that no model gave": (
        "I4",
        replace(GOOD, history=(*h[:5], _message("assistant", "made up", "j2"))),
    ),
    "a turn without its mark": ("I5", replace(GOOD, marks=m[:2])),
    "a lease left behind": ("I5", replace(GOOD, lease=frozenset({"last", "token"}))),
    "pending and unknown to the sweeper": (
        "I7",
        replace(GOOD, pending=("j9",), is_due=False),
    ),
    "marks that end too soon": ("I9", replace(GOOD, marks_ttl_ms=1000)),
    "a mailbox that is not empty": ("I10", replace(GOOD, pending=("j9",))),
    "an end that nobody has delivered": ("I11", replace(GOOD, undelivered=frozenset({"j2"}))),
    "a turn without a result": ("I11", replace(GOOD, results={})),
    "a result that is another reply": (
        "I11",
        replace(GOOD, results={**GOOD.results, "j0": _result(JOBS[1])}),
    ),
    "a last event that says otherwise": (
        "I11",
        replace(GOOD, events=({"type": "cancelled", "job": "j1"},)),
    ),
    "an envelope left behind": ("I10", replace(GOOD, envelopes=frozenset({"j9"}))),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_wrong_in_redis_is_named(fault: str) -> None:
    """Each kind of damage is found, under the invariant that it breaks."""
    invariant, dump = BROKEN[fault]
    with pytest.raises(AssertionError, match=f"s: {invariant}:"):
        check(dump)


BAD_CALLS: dict[str, Callable[[], Sequence[RecordedCall]]] = {
    "a turn it did not see": lambda: (*CALLS[:2], _call(JOBS[2], JOBS[:1])),
    "a turn out of its future": lambda: (_call(JOBS[0], JOBS[1:2]), *CALLS[1:]),
    "a failed attempt that saw too little": lambda: (*CALLS, _call(JOBS[2], (), "broken")),
    "no call that was answered": lambda: (*CALLS[:2], _call(JOBS[2], JOBS[:2], "broken")),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_what_the_model_should_not_have_seen_is_named(fault: str) -> None:
    """I4 is about every call, the committed and the lost ones."""
    with pytest.raises(AssertionError, match="s: I4:"):
        check(calls=BAD_CALLS[fault]())


def test_needless_model_calls_are_counted() -> None:
    """Where a test says how many there may be."""
    with pytest.raises(AssertionError, match="2 model calls for j0, at most 1"):
        check(calls=(*CALLS, CALLS[0]), rules=Rules(max_calls=1))
