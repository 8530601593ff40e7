"""Jobs are counted for their owners, and quotas of them keep to their bounds."""

import random
from dataclasses import dataclass

import pytest

from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.lifetimes import ADMISSION_MS, PENDING_MS
from memory.quotas import charges
from memory.quotas.charges import Charged, ChargeOutcome
from memory.quotas.owners import Owner
from memory.quotas.pending import PendingCounts
from tests.support.effort import effort
from tests.support.memory_fixtures import Backend
from tests.support.quotas.rig import (
    DAY_MS,
    MINUTE_MS,
    OwnerModel,
    QuotaModel,
    QuotaRig,
    agent,
    user,
)

CHARGED, KNOWN = Charged(ChargeOutcome.CHARGED), Charged(ChargeOutcome.KNOWN)
SECOND_MS, HOUR_MS = 1000, 3_600_000


@pytest.fixture
def rig(backend: Backend) -> QuotaRig:
    """Nothing counted yet, on the real and on the fake server in turn."""
    return QuotaRig(backend.connection, Keyspace(backend.prefix))


# ---- counting


def test_jobs_are_counted_in_all_and_of_each_agent(rig: QuotaRig) -> None:
    """Each once, however often it is noted, until it is released; that, too, counts once."""
    assert rig.note("j1", agent()) == PendingCounts(1, 1, is_new=True)
    assert rig.note("j1", agent()) == PendingCounts(1, 1)
    assert rig.note("j2", agent("water"), user()) == PendingCounts(2, 1, is_new=True)
    assert rig.look("energy") == PendingCounts(2, 1)
    assert rig.release("j1", "nobody's") == 1
    assert rig.release("j1") == 0
    assert rig.look("energy") == PendingCounts(1, 0)
    assert rig.release("j2") == 1
    assert rig.key_names() == []


def test_looking_counts_nothing(rig: QuotaRig) -> None:
    """It leaves no key."""
    assert rig.look("energy") == PendingCounts()
    assert rig.key_names() == []


def test_sessions_are_as_maintenance_has_counted_them(rig: QuotaRig) -> None:
    """They come along."""
    rig.ask("HSET", rig.keyspace.quotas.totals, "sessions", 7)
    rig.ask("EXPIRE", rig.keyspace.quotas.totals, 100)
    assert rig.note("j1", agent()).sessions == 7


def test_what_nobody_releases_counts_no_longer_after_its_time(rig: QuotaRig) -> None:
    """Its process died between the count and the mailbox, or its end was lost."""
    rig.note("j1", agent())
    rig.later(PENDING_MS - 1)
    assert rig.note("j2", agent()).pending == 2
    rig.later(1)
    assert rig.look("energy") == PendingCounts(1, 1)


def test_the_counts_outlive_what_they_count(rig: QuotaRig) -> None:
    """Also those that begin anew after a time without any job; nothing is written each time."""
    for _ in range(2):
        rig.note("j1", agent())
        lives = [int(str(rig.ask("PTTL", key))) for key in rig.key_names()]
        assert len(lives) == 3
        assert all(PENDING_MS < life <= 2 * PENDING_MS for life in lives)
        rig.release("j1")


def test_damaged_counts_are_said_and_cost_no_job(
    rig: QuotaRig, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows then how many there are."""
    rig.ask("SET", rig.keyspace.quotas.counts, "x", "EX", 100)
    assert rig.note("j1", agent()) == PendingCounts()
    assert rig.release("j1") == 0
    assert rig.keyspace.quotas.counts in caplog.text
    with pytest.raises(CorruptData, match="counts"):
        rig.charge("j1", agent(jobs_at_once=1))


# ---- jobs per minute


def test_a_quota_is_used_up_by_jobs_and_fills_again(rig: QuotaRig) -> None:
    """The refusal says when there is room; before that there is none, and it costs nothing."""
    whose = user(jobs_per_minute=3)
    for number in range(3):
        assert rig.charge(f"j{number}", whose) == CHARGED
    before = rig.dump()
    refused = rig.charge("j3", whose)
    assert (refused.outcome, refused.rule) == (ChargeOutcome.REFUSED, "jobs_per_minute")
    assert (refused.owner, refused.wait_ms) == (whose, 20 * SECOND_MS)
    assert rig.dump() == before
    rig.later(20 * SECOND_MS - 1)
    assert rig.charge("j3", whose).wait_ms == 1
    rig.later(1)
    assert rig.charge("j3", whose) == CHARGED
    assert rig.charge("j4", whose).outcome is ChargeOutcome.REFUSED


def test_a_repeat_is_not_charged_twice(rig: QuotaRig) -> None:
    """As long as the job counts: its reply was lost, or the sender sends it again."""
    whose = user(jobs_per_minute=2)
    assert rig.charge("j1", whose) == CHARGED
    assert rig.charge("j1", whose) == KNOWN
    rig.note("j1", agent(), whose)
    rig.later(HOUR_MS)
    assert rig.charge("j1", whose) == KNOWN
    rig.later(-HOUR_MS)
    assert rig.charge("j2", whose) == CHARGED


def test_all_owners_pay_or_none(rig: QuotaRig) -> None:
    """A job that its agent has no room for costs its user nothing, and the other way round."""
    small, large = agent(jobs_per_minute=1), user(jobs_per_minute=2)
    assert rig.charge("j1", small, large) == CHARGED
    for number in range(5):
        assert rig.charge(f"r{number}", small, large).owner == small
    assert rig.charge("j2", agent("water"), large) == CHARGED
    assert rig.charge("j3", agent("water"), large).owner == large
    rig.later(MINUTE_MS // 2)
    assert rig.charge("j4", small, large).owner == small, "the longest wait is named"


def test_users_have_quotas_of_their_own_and_no_key_names_them(rig: QuotaRig) -> None:
    """A digest does."""
    assert rig.charge("j1", user("ama", jobs_per_minute=1)) == CHARGED
    assert rig.charge("j2", user("kofi", jobs_per_minute=1)) == CHARGED
    assert not any(b"ama" in key or b"kofi" in key for key in rig.key_names())


def test_what_was_not_taken_in_is_given_back_once(rig: QuotaRig) -> None:
    """Its mailbox was full."""
    whose = user(jobs_per_minute=2, jobs_at_once=2)
    rig.charge("j1", whose)
    rig.charge("j2", whose)
    assert rig.refund("j2", whose) == 1
    assert rig.refund("j2", whose) == 0
    assert rig.charge("j3", whose) == CHARGED
    assert rig.charge("j4", whose).outcome is ChargeOutcome.REFUSED


def test_a_full_quota_needs_no_key(rig: QuotaRig) -> None:
    """It goes when it is full again; one of tokens stays as long as that takes."""
    whose = user(jobs_per_minute=2, tokens_per_day=24)
    rig.charge("j1", whose)
    (bucket,) = [key for key in rig.key_names() if b":quota:" in key]
    assert 0 < int(str(rig.ask("PTTL", bucket))) <= 30 * SECOND_MS
    rig.note("j1", whose)
    rig.spend("j1", 2, whose)
    assert HOUR_MS < int(str(rig.ask("PTTL", bucket))) <= 2 * HOUR_MS


# ---- jobs at once


def test_so_many_jobs_at_once_and_no_more(rig: QuotaRig) -> None:
    """Until one has ended; nobody can say when that is."""
    whose = user(jobs_at_once=2)
    for job in ("j1", "j2"):
        assert rig.charge(job, agent(), whose) == CHARGED
        rig.note(job, agent(), whose)
    refused = rig.charge("j3", agent(), whose)
    assert (refused.rule, refused.wait_ms) == ("jobs_at_once", None)
    rig.release("j1")
    assert rig.charge("j3", agent(), whose) == CHARGED


def test_a_charge_of_a_job_that_never_came_is_over_after_a_minute(rig: QuotaRig) -> None:
    """Its producer died before the mailbox had it. One that is in counts on."""
    whose = user(jobs_at_once=2)
    rig.charge("never", agent(), whose)
    rig.charge("in", agent(), whose)
    rig.note("in", agent(), whose)
    assert rig.charge("j3", agent(), whose).outcome is ChargeOutcome.REFUSED
    rig.later(ADMISSION_MS)
    assert rig.charge("j3", agent(), whose) == CHARGED
    assert rig.charge("j4", agent(), whose).outcome is ChargeOutcome.REFUSED


# ---- tokens per day


def test_tokens_are_paid_when_they_are_known(rig: QuotaRig) -> None:
    """A turn may cost more than there is left; then the owner waits until that is earned."""
    whose = user(tokens_per_day=24_000)
    assert rig.charge("j1", whose) == CHARGED
    rig.note("j1", agent(), whose)
    assert rig.spend("j1", 25_000, whose) == [1]
    assert rig.spend("j1", 25_000, whose) == [0], "a repeat"
    refused = rig.charge("j2", whose)
    assert refused.rule == "tokens_per_day"
    assert refused.wait_ms == pytest.approx(HOUR_MS + DAY_MS / 24_000, abs=2)
    rig.later(HOUR_MS + 5 * SECOND_MS)
    assert rig.charge("j2", whose) == CHARGED


def test_each_attempt_at_a_job_pays_for_itself(rig: QuotaRig) -> None:
    """One that was cancelled or went wrong too; and the job still ends for all its owners."""
    whose = (agent(), user(tokens_per_day=24_000, jobs_at_once=1))
    assert rig.charge("j1", *whose) == CHARGED
    rig.note("j1", *whose)
    assert rig.spend("j1", 12_000, *whose, attempt="first") == [1]
    assert rig.spend("j1", 12_000, *whose, attempt="first") == [0], "a repeat"
    assert rig.spend("j1", 13_000, *whose, attempt="second") == [1]
    assert rig.spend("j1", 0, *whose, attempt="third") == [], "it has called no model"
    assert rig.release("j1") == 1
    assert rig.look("energy").of_agent == 0
    refused = rig.charge("j2", *whose)
    assert refused.rule == "tokens_per_day"
    assert refused.wait_ms == pytest.approx(HOUR_MS + DAY_MS / 24_000, abs=2)


def test_small_turns_of_a_large_quota_add_up(rig: QuotaRig) -> None:
    """A token of a billion per day is 0.09 ms: nothing is lost to rounding."""
    whose = user(tokens_per_day=1_000_000_000)
    for number, tokens in enumerate([1_000_000, *[7] * 50]):
        rig.note(f"j{number}", agent(), whose)
        rig.spend(f"j{number}", tokens, whose)
    (bucket,) = [key for key in rig.key_names() if b":quota:" in key]
    until = float(bytes(rig.ask("HGET", bucket, "tokens_until")))  # type: ignore[arg-type]  # a bulk string
    assert until - rig.now_ms - 86_400 == pytest.approx(350 * DAY_MS / 1e9, rel=0.05)


def test_only_who_has_such_a_quota_pays(rig: QuotaRig) -> None:
    """Without one nothing is sent."""
    assert rig.spend("j1", 5, agent(jobs_at_once=1), user()) == []
    assert rig.spend("unknown", 5, user(tokens_per_day=1)) == [0]


def test_a_user_is_forgotten(rig: QuotaRig) -> None:
    """What was used up is not known any more."""
    whose = user("ama", jobs_per_minute=1)
    rig.charge("j1", whose)
    rig.connection.run(charges.forget_user(rig.keyspace, "ama"))
    rig.release("j1")
    assert rig.key_names() == []


@pytest.mark.parametrize("rules", [{"jobs_per_minute": 2}, {"tokens_per_day": 2}])
def test_a_clock_that_is_set_back_locks_nobody_out(rig: QuotaRig, rules: dict[str, int]) -> None:
    """Nobody waits longer than it takes to earn what was used up."""
    whose = user(**rules)
    for job in ("j1", "j2"):
        assert rig.charge(job, agent(), whose) == CHARGED
        rig.spend(job, 1, whose)
    rig.later(-10 * DAY_MS)
    refused = rig.charge("j3", agent(), whose)
    assert refused.wait_ms is not None
    assert refused.wait_ms <= DAY_MS // 2 + 2
    rig.later(refused.wait_ms)
    assert rig.charge("j3", agent(), whose) == CHARGED


# ---- any order of events


@dataclass
class History:
    """What happens to a deployment, on the server and in the books."""

    rng: random.Random
    rig: QuotaRig
    model: QuotaModel

    @property
    def whose(self) -> tuple[Owner, ...]:
        return tuple(one.owner for one in self.model.owners)

    def any_job(self) -> str:
        jobs = sorted(self.model.jobs)
        return self.rng.choice(jobs) if jobs else "nobody's"

    def send(self) -> None:
        job, slack = f"j{self.rng.random()}", self.model.slack()
        is_admitted = self.rig.charge(job, *self.whose) == CHARGED
        # On the edge either is right.
        assert abs(slack) < 1e-3 or is_admitted == (slack > 0), slack
        if is_admitted:
            self.model.admit(job)
            self.rig.note(job, *self.whose)

    def repeat(self) -> None:
        if self.model.jobs:
            assert self.rig.charge(self.any_job(), *self.whose) == KNOWN

    def end(self) -> None:
        job = self.any_job()
        assert self.rig.release(job) == (job in self.model.jobs)
        self.model.drop(job)

    def take_back(self) -> None:
        job = self.any_job()
        assert self.rig.refund(job, *self.whose) == (job in self.model.jobs)
        self.model.drop(job, is_refunded=True)

    def pay(self) -> None:
        job, tokens = self.any_job(), self.rng.choice([1, 10, 200])
        attempt = self.rng.choice(["t1", "t2"])
        self.rig.spend(job, tokens, *self.whose, attempt=attempt)
        self.model.spend(job, tokens, attempt)

    def wait(self) -> None:
        delay_ms = self.rng.choice([0, 1, 700, 5_000, 61_000, HOUR_MS])
        self.rig.later(delay_ms)
        self.model.now_ms += delay_ms


@pytest.mark.parametrize("seed", range(effort(6, long=60)))
def test_any_history_comes_to_what_plain_books_say(seed: int, real_backend: Backend) -> None:
    """Sends, repeats, ends, refunds, payments and time, in any order: the script admits exactly
    what a textbook's buckets admit, so in no period more than the bound and what was saved up."""
    rng = random.Random(seed)
    rig = QuotaRig(real_backend.connection, Keyspace(real_backend.prefix))
    whose = (
        agent(jobs_per_minute=rng.choice([5, 7]), jobs_at_once=rng.choice([3, 50])),
        user(jobs_per_minute=rng.choice([3, 11]), tokens_per_day=rng.choice([100, 5000])),
    )
    history = History(rng, rig, QuotaModel([OwnerModel(one) for one in whose]))
    names = ["send", "repeat", "end", "take_back", "pay", "wait"]
    for name in rng.choices(names, [6, 1, 3, 1, 2, 3], k=150):
        getattr(history, name)()
        assert rig.look("energy").of_agent == len(history.model.jobs)
