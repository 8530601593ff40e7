"""The invariants of the session mailbox, asserted from what a fault has left behind. Pure.

From three witnesses: the dump of Redis, the stand-in's log of calls, and the ids that `delay()`
returned, in order. Not seen from there: I6 and I8 (tests/faults/test_fairness.py measures them).

I1  each job has at most one turn          I5  only the holder commits (so: never two, never late)
I2  each accepted job is done or pending   I7  a mailbox that is not empty is on the sweeper's list
I3  turns stand in the order of the jobs   I9  marks outlive every redelivery
I4  each turn was computed from exactly    I10 when the fault is over, every mailbox drains
    the turns before it
I11 result, last event, mark and history say the same of how a job ended
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sandbox.ollama import RecordedCall
from tests.support.faults.dump import SessionDump
from tests.support.faults.sender import SentJob

DAY_MS = 86_400_000
HEAD_FIELDS = frozenset(
    {
        "token",
        "until",
        "job",
        "attempt",
        "not_before",
        "seq",
        "lease_ms",
        "delay_ms",
        "errors",
        "servers_away_since",
        "paused",
    }
)

ENDS = {
    "done": "SUCCESS",
    "merged": "SUCCESS",
    "failed": "FAILURE",
    "erased": "FAILURE",
    "cancelled": "REVOKED",
}
"""What Celery stores for the last event of a job."""

Said = tuple[object, object]
"""A message as (role, content)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a test expects besides: at most `max_calls` model calls per job; `dead` jobs given up.

    `window` is how many earlier messages the model is shown.
    """

    max_calls: int | None = None
    dead: frozenset[str] = frozenset()
    window: int = 1000


@dataclass(slots=True)
class Turns:
    """The turns of a history: which jobs have one, in which order, and what was said."""

    job_ids: list[str] = field(default_factory=list)
    said: dict[str, tuple[Said, Said]] = field(default_factory=dict)


def assert_invariants(
    sessions: Iterable[SessionDump],
    jobs: Mapping[str, Sequence[SentJob]],
    calls: Sequence[RecordedCall],
    rules: Rules | None = None,
) -> None:
    """Fail with every violation, or return."""
    by_message: dict[object, list[RecordedCall]] = defaultdict(list)
    for call in calls:
        if call.messages:
            by_message[call.messages[-1].get("content")].append(call)
    found = [
        f"{dump.session_id}: {problem}"
        for dump in sessions
        for problem in violations(dump, jobs[dump.session_id], by_message, rules or Rules())
    ]
    assert not found, "\n".join(found[:20])


def violations(
    dump: SessionDump,
    jobs: Sequence[SentJob],
    calls: Mapping[object, Sequence[RecordedCall]],
    rules: Rules,
) -> Iterator[str]:
    """Every invariant that does not hold, in words. `calls` by their last message."""
    turns = Turns()
    yield from _read_turns(dump, turns)
    yield from _order(turns, jobs)
    yield from _accounts(dump, turns, jobs, rules)
    yield from _drained(dump)
    yield from _ends(dump, turns, jobs)
    yield from _calls(turns, jobs, calls, rules)


def _read_turns(dump: SessionDump, turns: Turns) -> Iterator[str]:
    history = dump.history
    if len(history) % 2:
        yield f"I1: {len(history)} messages are not whole turns"
    for asked, replied in zip(history[::2], history[1::2], strict=False):
        job_id = str(asked.get("job_id"))
        roles = (asked.get("role"), replied.get("role"))
        if roles != ("user", "assistant") or replied.get("job_id") != job_id:
            yield f"I1: half a turn of {job_id} and {replied.get('job_id')}: {roles}"
        if job_id in turns.said:
            yield f"I1: {job_id} has two turns"
        turns.job_ids.append(job_id)
        turns.said[job_id] = (_said(asked), _said(replied))


def _order(turns: Turns, jobs: Sequence[SentJob]) -> Iterator[str]:
    in_order = [job.job_id for job in jobs if job.job_id in turns.said]
    known = [job_id for job_id in turns.job_ids if job_id in set(in_order)]
    if known != in_order:
        yield f"I3: turns {known} of jobs {in_order}"
    if strangers := set(turns.job_ids) - {job.job_id for job in jobs}:
        yield f"I3: turns of jobs that nobody sent: {strangers}"
    for job in jobs:
        if job.job_id in turns.said and turns.said[job.job_id][0] != ("user", job.message):
            yield f"I3: the turn of {job.job_id} answers another message"


def _accounts(
    dump: SessionDump, turns: Turns, jobs: Sequence[SentJob], rules: Rules
) -> Iterator[str]:
    marks = dict(dump.marks)
    for job in jobs:
        mark_ms = marks.get(job.job_id, 0.0)
        states = {
            "committed": mark_ms > 0 and job.job_id in turns.said,
            "dead": mark_ms < 0 and job.job_id in dump.dead and job.job_id not in turns.said,
            "pending": job.job_id in dump.pending and job.job_id in dump.envelopes,
        }
        if sum(states.values()) != 1:
            yield f"I2: {job.job_id} (mark {mark_ms}) is {states}"
        if states["dead"] != (job.job_id in rules.dead):
            yield f"I2: {job.job_id} is {'' if states['dead'] else 'not '}dead, not as expected"
    if unmarked := set(turns.said) - {job_id for job_id, mark in dump.marks if mark > 0}:
        yield f"I5: turns without the mark of a commit: {unmarked}"
    if dump.marks and dump.marks_ttl_ms < 6.9 * DAY_MS:
        yield f"I9: the marks are kept for {dump.marks_ttl_ms} ms only"


def _ends(dump: SessionDump, turns: Turns, jobs: Sequence[SentJob]) -> Iterator[str]:
    if dump.undelivered:
        yield f"I11: ends are not delivered: {sorted(dump.undelivered)}"
    last = {event["job"]: event["type"] for event in dump.events if event["type"] in ENDS}
    for job in jobs:
        stored = dump.results.get(job.job_id, {})
        state, result = stored.get("status"), stored.get("result")
        is_dead, turn = job.job_id in dump.dead, turns.said.get(job.job_id)
        expected = "FAILURE" if is_dead else "SUCCESS" if turn else None
        if expected is not None and state != expected:
            yield f"I11: {job.job_id} is stored as {state}, not {expected}"
        elif turn is not None and isinstance(result, dict) and result["response"] != turn[1][1]:
            yield f"I11: the result of {job.job_id} is another reply than its turn's"
        if job.job_id in last and ENDS[str(last[job.job_id])] != state:
            yield f"I11: {job.job_id} ended as {last[job.job_id]}, and is stored as {state}"


def _drained(dump: SessionDump) -> Iterator[str]:
    if dump.pending and not dump.is_due:
        yield "I7: jobs are pending and the sweeper does not know"
    if dump.pending or dump.envelopes:
        yield f"I10: pending {dump.pending}, envelopes {sorted(dump.envelopes)}"
    elif left := HEAD_FIELDS & dump.lease:
        yield f"I5: the mailbox is empty, its lease is held: {sorted(left)}"


def _calls(
    turns: Turns,
    jobs: Sequence[SentJob],
    calls: Mapping[object, Sequence[RecordedCall]],
    rules: Rules,
) -> Iterator[str]:
    before: list[Said] = []
    for job in jobs:
        of_job = calls.get(job.message, ())
        expected = [*(before[-rules.window :] if rules.window else []), ("user", job.message)]
        for call in of_job:
            if _shown(call) != expected:
                yield f"I4: the model was shown {_shown(call)} for {expected}"
        if rules.max_calls is not None and len(of_job) > rules.max_calls:
            yield f"{len(of_job)} model calls for {job.job_id}, at most {rules.max_calls}"
        if job.job_id in turns.said:
            reply = turns.said[job.job_id][1][1]
            if not any(call.outcome == "answered" and call.reply == reply for call in of_job):
                yield f"I4: no model call gave the reply of {job.job_id}: {reply!r}"
            before += turns.said[job.job_id]


def _shown(call: RecordedCall) -> list[Said]:
    return [_said(message) for message in call.messages if message.get("role") != "system"]


def _said(message: Mapping[str, object]) -> Said:
    return message.get("role"), message.get("content")
