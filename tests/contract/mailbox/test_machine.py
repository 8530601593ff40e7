"""The scripts against a model in plain Python: any series of operations gives the same answers."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from memory import outbox
from memory.mailbox.dead_letters import letters
from memory.mailbox.intake import MergedEnvelope, OnBusy
from memory.mailbox.netstrings import packed_netstrings
from memory.mailbox.outcomes import Ending, JobToWake, StopPolicy
from memory.redis.command import Command
from tests.support.effort import effort
from tests.support.mailbox.model import End, Model
from tests.support.mailbox.rig import (
    CLAIM_MS,
    DEAD_BYTES,
    GAP_MS,
    GRACE_MS,
    LEASE_MS,
    OWNER,
    Rig,
    envelope_of,
    turn_of,
)

pytest_plugins = ["tests.support.mailbox.fixtures"]

CAP = 3
ATTEMPTS = 2
ALL_JOBS = [f"j{number}" for number in range(6)]
JOBS = st.sampled_from(ALL_JOBS)
TOKENS = st.sampled_from([f"t{number}" for number in range(4)])
DELAYS_MS = st.sampled_from([0, 1, 700, GAP_MS - 1, GAP_MS, LEASE_MS - 1, LEASE_MS, 100_000])


class MailboxMachine(RuleBasedStateMachine):
    """Each rule is one operation, asked of both."""

    rig: ClassVar[Rig]

    def __init__(self) -> None:
        super().__init__()
        self.box = self.rig.other(f"session-{uuid.uuid4().hex}")
        limits = (LEASE_MS, ATTEMPTS, CAP, GAP_MS, GRACE_MS, DEAD_BYTES)
        self.model = Model(*limits, now_ms=self.box.now_ms)
        # An id is one job's; here each run has a session and the same ids.
        pointers = [self.box.keyspace.job(f"j{number}") for number in range(6)]
        self.box.ask("DEL", *pointers)

    @rule(delay_ms=DELAYS_MS)
    def time_goes_on(self, delay_ms: int) -> None:
        self.box.later(delay_ms)
        self.model.now_ms += delay_ms

    @rule(job=JOBS, on_busy=st.sampled_from(OnBusy))
    def take_in(self, job: str, on_busy: OnBusy) -> None:
        before, is_live = list(self.model.pending), bool(self.model.live_ms)
        begun, is_rollback = self.model.begun, on_busy is OnBusy.ROLLBACK
        enqueued = self.box.take_in(job, on_busy, cap=CAP)
        outcome = self.model.take_in(job, on_busy, OWNER)
        assert enqueued.outcome == outcome
        if outcome == "NEW" and on_busy is OnBusy.INTERRUPT:
            head = before[0] if before else ""
            assert (enqueued.stopping, enqueued.wake) == (("", head), (head, ""))[is_live]
        elif outcome == "NEW":
            assert enqueued.stopping == "".join(begun if is_rollback else [])
            takes_out = on_busy in (OnBusy.ROLLBACK, OnBusy.REPLACE_PENDING, OnBusy.MERGE)
            assert enqueued.ended == (len(self.model.ends) if takes_out else 0)
        elif outcome == "FULL":
            assert (enqueued.first, enqueued.pending) == (before[0], len(before))

    @rule(job=JOBS, token=TOKENS)
    def what_waits_is_merged_and_runs(self, job: str, token: str) -> None:
        self.take_in(job, OnBusy.MERGE)
        self.acquire_the_head(token)

    @rule(job=JOBS)
    def what_waits_is_merged_and_dies(self, job: str) -> None:
        self.take_in(job, OnBusy.MERGE)
        self.discard(job, "", Ending.DEAD)

    @rule(job=JOBS)
    def enqueue(self, job: str) -> None:
        enqueued = self.box.take_in(job, cap=CAP)
        assert enqueued.outcome == self.model.enqueue(job)
        if job in self.model.pending:
            assert enqueued.position == self.model.pending.index(job)
        elif job in self.model.delayed:
            assert enqueued.position == -1
        assert enqueued.is_committed == (job in self.model.committed)

    @rule(job=JOBS, wait_ms=DELAYS_MS)
    def delay(self, job: str, wait_ms: int) -> None:
        kept = self.box.delay(job, wait_ms, cap=CAP)
        assert kept.outcome == self.model.delay(job, wait_ms)

    @rule(on_busy=st.sampled_from(OnBusy))
    def what_is_due_is_taken_in(self, on_busy: OnBusy) -> None:
        ripe = self.box.ripe()
        due = {job for job, at_ms in self.model.delayed.items() if at_ms <= self.model.now_ms}
        assert {one.job_id for one in ripe.jobs} == due
        others = [at_ms for job, at_ms in self.model.delayed.items() if job not in due]
        assert ripe.wait_ms == (min(others) - self.model.now_ms if others else None)
        for one in ripe.jobs:
            self.take_in(one.job_id, on_busy)

    @rule(job=JOBS, token=TOKENS)
    def acquire(self, job: str, token: str) -> None:
        acquired = self.box.acquire(job, token, max_attempts=ATTEMPTS)
        outcome = self.model.acquire(job, token)
        assert acquired.outcome == outcome
        match outcome:
            case "RUN":
                assert acquired.attempt == self.model.attempts
                assert own_envelope(acquired.envelope) == envelope_of(job)
                merged = [one.job_id for one in MergedEnvelope.parse(acquired.envelope).merged]
                assert merged == self.model.carried.get(job, [])
                assert acquired.stop == (StopPolicy.KEEP if job in self.model.stopped else None)
                assert acquired.history == self.expected_history()
            case "NOT_HEAD":
                assert named(acquired.head) == self.model.next
            case "BUSY":
                assert acquired.wait_ms == self.model.live_ms
            case "WAIT":
                until_ms = self.model.delayed.get(job, self.model.not_before_ms)
                assert acquired.wait_ms == max(0, until_ms - self.model.now_ms)
            case "DONE":
                assert acquired.next is None
            case _:
                assert named(acquired.next) == self.model.next

    @rule(token=TOKENS)
    def renew(self, token: str) -> None:
        assert self.box.renew(token) == self.model.renew(token)

    @rule(job=JOBS, token=TOKENS)
    def commit(self, job: str, token: str) -> None:
        committed = self.box.commit(token, job)
        outcome = self.model.commit(token, job)
        assert committed.outcome == outcome
        names_next = outcome in ("OK", "ALREADY", "GONE")
        assert named(committed.next) == (self.model.next if names_next else None)

    @rule()
    def commit_what_runs(self) -> None:
        if self.model.lease is not None:
            self.commit(self.model.lease.job, self.model.lease.token)

    @rule(token=TOKENS)
    def acquire_the_head(self, token: str) -> None:
        if self.model.pending:
            self.acquire(self.model.pending[0], token)

    @rule(token=TOKENS)
    def an_attempt_dies(self, token: str) -> None:
        self.acquire_the_head(token)
        self.the_lease_ends()

    @rule(token=TOKENS, refund=st.booleans())
    def an_attempt_fails(self, token: str, refund: bool) -> None:
        self.acquire_the_head(token)
        self.fail(token, 0, refund)

    @rule()
    def the_lease_ends(self) -> None:
        self.time_goes_on(self.model.live_ms)

    @rule(token=TOKENS, delay_ms=DELAYS_MS, refund=st.booleans())
    def fail(self, token: str, delay_ms: int, refund: bool) -> None:
        failed = self.box.fail(token, delay_ms=delay_ms, refund=refund)
        was_first = self.model.lease is not None and self.model.lease.token == token
        assert failed == self.model.fail(token, delay_ms, refund=refund)
        if was_first:
            attempts = self.box.ask("HGET", self.box.box.keys.lease, "attempt")
            assert attempts == b"%d" % self.model.attempts

    @rule(job=JOBS, token=TOKENS | st.just(""), ending=st.sampled_from(Ending))
    def discard(self, job: str, token: str, ending: Ending) -> None:
        ways = {
            Ending.CANCELLED: self.box.cancel,
            Ending.DEAD: self.box.bury,
            Ending.FAILED: self.box.give_up,
        }
        discarded = ways[ending](job, token)
        outcome = self.model.discard(job, token, token or OWNER, ending)
        assert discarded.outcome == outcome
        names_next = outcome in ("DISCARDED", "GONE")
        assert named(discarded.next) == (self.model.next if names_next else None)

    @rule(owner=TOKENS | st.just(OWNER))
    def take_ends(self, owner: str) -> None:
        taken = self.box.take_ends(owner)
        expected = self.model.take_ends(owner, CLAIM_MS)
        assert {end.job_id: end.event.type.value for end in taken.ends} == expected
        assert taken.left == len(self.model.ends) - len(expected)

    @rule(owner=TOKENS | st.just(OWNER))
    def deliver(self, owner: str) -> None:
        self.take_ends(owner)
        ends = [end for job, end in self.box.ends().items() if self.model.ends[job].owner == owner]
        for end in ends:
            self.box.connection.run(outbox.delivered(self.box.box.keys, [end]))
            del self.model.ends[end.job_id]

    @rule()
    def sweep(self) -> None:
        swept = self.box.sweep()
        outcome, wait_ms = self.model.sweep()
        assert (swept.outcome, swept.wait_ms) == (outcome, wait_ms)
        assert named(swept.head) == (self.model.next if outcome == "WAKE" else None)

    @rule()
    def clean(self) -> None:
        if self.model.pending or self.model.delayed:
            assert self.box.clean(0).outcome == "PENDING"

    @invariant()
    def the_state_is_the_models(self) -> None:
        box = self.box.box
        history = Command(lambda reply: reply, ("LRANGE", box.keys.history, 0, -1))
        due_at = Command(lambda reply: reply, ("ZSCORE", box.keyspace.due, box.keys.history))
        pending, messages, dead, at_ms = self.box.connection.run_all(
            box.pending(), history, letters(box), due_at
        )
        assert pending == self.model.pending
        assert self.box.delayed() == self.model.delayed
        kept = self.box.ask("HLEN", box.keys.jobs)
        assert kept == len(pending) + len(self.model.delayed)
        assert messages == list(self.expected_history())
        letters_told = [(letter.job_id, letter.too_large_bytes > 0) for letter in dead.letters]
        assert letters_told == [(job, self.is_too_large(job)) for job in self.model.dead]
        kinds = {job: end.event.type.value for job, end in self.box.ends().items()}
        assert kinds == {job: end.kind for job, end in self.model.ends.items()}
        if pending:
            assert at_ms is not None, "every mailbox with work will be looked at"

    def expected_history(self) -> tuple[bytes, ...]:
        return tuple(message for job in self.model.committed for message in turn_of(job))

    def is_too_large(self, job: str) -> bool:
        """How many bytes more what was merged twice has is a matter of its wrapping."""
        others = [
            part
            for one in self.model.carried.get(job, [])
            for part in (one.encode(), envelope_of(one))
        ]
        stored = packed_netstrings([envelope_of(job), *others]) if others else envelope_of(job)
        return self.model.too_large_bytes(len(stored)) > 0


def own_envelope(stored: bytes) -> bytes:
    """A job's own, whatever it carries."""
    return MergedEnvelope.parse(stored).envelope


def named(waiting: JobToWake | None) -> str | None:
    """The job that an answer names, with its envelope."""
    if waiting is None:
        return None
    assert own_envelope(waiting.envelope) == envelope_of(waiting.job_id)
    return waiting.job_id


@contextmanager
def machine_on(rig: Rig) -> Iterator[type[MailboxMachine]]:
    """The machine, each of its runs in a session of its own on the server of `rig`."""
    yield type("MachineOnServer", (MailboxMachine,), {"rig": rig})


@pytest.mark.long
@pytest.mark.timeout(900)
def test_any_series_of_operations_answers_as_the_model_does(real_rig: Rig) -> None:
    """Order, exactly-once, attempts, back-off, wake-ups, dead letters: all at once."""
    with machine_on(real_rig) as machine:
        run(machine, phases=[Phase.generate, Phase.shrink])


LIES: dict[str, Callable[[Model], object]] = {
    "one attempt fewer": lambda model: setattr(model, "max_attempts", ATTEMPTS - 1),
    "one job more": lambda model: setattr(model, "cap", CAP + 1),
    "a longer lease": lambda model: setattr(model, "lease_ms", LEASE_MS + 1),
    "a shorter gap": lambda model: setattr(model, "gap_ms", GAP_MS - 1),
    "an interrupt of what is not there": lambda model: model.stopped.update(ALL_JOBS),
    "a job never sent": lambda model: model.pending.append("never sent"),
    "an end too many": lambda model: model.ends.update(j0=End("done", OWNER, 0)),
    "time without end to deliver": lambda model: setattr(model, "grace_ms", 10**9),
    "letters without envelopes": lambda model: setattr(model, "dead_bytes", 0),
    "an earlier commit": lambda model: model.committed.append("j0"),
}


@pytest.mark.parametrize("lie", LIES)
def test_the_machine_finds_a_mailbox_that_differs(real_rig: Rig, lie: str) -> None:
    """The test of the test: with a model that promises something else it fails."""
    with machine_on(real_rig) as machine:

        class Lying(machine):  # type: ignore[misc, valid-type]  # made above
            def __init__(self) -> None:
                super().__init__()
                LIES[lie](self.model)

        with pytest.raises(AssertionError):
            run(Lying, phases=[Phase.generate], is_repeatable=True)


def run(
    machine: type[MailboxMachine], phases: Sequence[Phase], *, is_repeatable: bool = False
) -> None:
    """Some runs of 40 steps, or fewer where one fails; repeatable, or with luck."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=effort(60 if is_repeatable else 25, long=2000),
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=is_repeatable,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )
