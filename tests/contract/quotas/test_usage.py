"""What is used is counted once, on its day, for its agent, user and model; and bounded."""

from datetime import UTC, date, datetime, timedelta

import pytest

from memory.keys import Keyspace
from memory.quotas import owners, pending, usage
from memory.quotas.owners import Owner
from memory.quotas.pending import EndedJob
from memory.quotas.usage import AGENT, KEPT_DAYS, MODEL, MOST_NAMES, USER, Spent
from tests.support.memory_fixtures import Backend
from tests.support.quotas.rig import DAY_MS, QuotaRig, agent, user

TURN = Spent(turns=1, tokens_in=20, tokens_out=5, slot_ms=900, tool_calls=2)
AMA = owners.named("ama:1")


@pytest.fixture
def rig(backend: Backend) -> QuotaRig:
    """Nothing used yet, on the real and on the fake server in turn."""
    return QuotaRig(backend.connection, Keyspace(backend.prefix))


def today(rig: QuotaRig) -> date:
    """The day by the server's clock."""
    return datetime.fromtimestamp(rig.now_ms / 1000, UTC).date()


def release(rig: QuotaRig, *ended: EndedJob) -> int:
    """Release jobs that have ended."""
    command = pending.release_ended(rig.keyspace, ended, now_s=rig.now_ms / 1000)
    return rig.connection.run(command)


def count(rig: QuotaRig, name: str, spent: Spent, *whose: Owner, model: str = "m:1") -> int:
    """Count what an attempt or a summary has used."""
    rows, now_s = usage.rows_of(whose, model), rig.now_ms / 1000
    return rig.connection.run(usage.count_once(rig.keyspace, name, spent, rows, now_s=now_s))


def of(rig: QuotaRig, kind: str) -> dict[str, Spent]:
    """What each of a kind has used today."""
    return rig.connection.run(usage.of_day(rig.keyspace, today(rig), kind))


def test_a_turn_counts_once_whoever_releases_it_how_often(rig: QuotaRig) -> None:
    """For its agent, its user by name and its model; the quota's digest of a user is no row."""
    rig.note("j1", agent(), user(), AMA)
    rig.spend("j1", 25, agent(tokens_per_day=99))
    end = EndedJob("j1", "done", "llama3:8b", TURN)
    assert [release(rig, end, end), release(rig, end)] == [1, 0]
    assert of(rig, AGENT) == {"energy": TURN}
    assert of(rig, USER) == {"ama:1": TURN}
    assert of(rig, MODEL) == {"llama3:8b": TURN}
    assert rig.connection.run(usage.whole_day(rig.keyspace, today(rig))) == TURN


def test_a_job_that_does_not_count_uses_nothing(rig: QuotaRig) -> None:
    """It was counted before, or was never taken in; an end without a turn adds nothing."""
    assert release(rig, EndedJob("j1", "done", "m", TURN)) == 0
    rig.note("j2", agent())
    assert release(rig, EndedJob("j2", "failed")) == 1
    assert rig.key_names() == []


def test_turns_unfinished_attempts_and_summaries_are_told_apart(rig: QuotaRig) -> None:
    """One row has them all; a repeat of a count is none."""
    failed = Spent(slot_ms=50, unfinished=1, unfinished_tokens_in=9, unfinished_tokens_out=1)
    summed = Spent(slot_ms=20, summaries=1, summary_tokens_in=40, summary_tokens_out=4)
    rig.note("j1", agent())
    assert [count(rig, "t1", failed, agent()) for _ in range(2)] == [1, 0]
    assert count(rig, "s1", summed, agent()) == 1
    release(rig, EndedJob("j1", "done", "m:1", TURN))
    assert of(rig, AGENT) == {"energy": TURN + failed + summed}
    assert of(rig, MODEL) == {"m:1": TURN + failed + summed}
    assert (TURN + failed + summed).tokens == 25 + 10 + 44


def test_a_day_is_that_of_the_servers_clock_and_is_kept_for_400(rig: QuotaRig) -> None:
    """Also where the clock of who counts is a day behind or ahead."""
    for delay_ms in (0, DAY_MS):
        rig.later(delay_ms)
        for wrong_s in (-DAY_MS // 1000, 0, DAY_MS // 1000):
            now_s, rows = rig.now_ms / 1000 + wrong_s, ("d:",)
            name = f"{delay_ms} {wrong_s}"
            counting = usage.count_once(rig.keyspace, name, TURN, rows, now_s=now_s)
            assert rig.connection.run(counting) == 1
        assert rig.connection.run(usage.whole_day(rig.keyspace, today(rig))).turns == 3
    days = [key for key in rig.key_names() if b":usage:" in key]
    kept = [int(str(rig.ask("PTTL", key))) for key in days]
    assert len(days) == 2
    assert all((KEPT_DAYS - 1) * DAY_MS < left <= KEPT_DAYS * DAY_MS for left in kept)


def test_users_beyond_the_bound_of_a_day_share_a_row(rig: QuotaRig) -> None:
    """What is in the whole stays right, and agents keep rows of their own."""
    most, now_s = 3, rig.now_ms / 1000
    for number in range(5):
        rows = ("d:", "a:energy", f"u:user{number}")
        command = usage.count_once(rig.keyspace, f"t{number}", TURN, rows, now_s=now_s)
        args = tuple(most if one == MOST_NAMES else one for one in command.args)
        rig.connection.run(type(command)(command.parse, args, command.keys, command.script))
    assert of(rig, USER) == {f"user{number}": TURN for number in range(3)} | {"": TURN + TURN}
    assert of(rig, AGENT)["energy"].turns == 5


def test_numbers_add_up_without_rounding(rig: QuotaRig) -> None:
    """Beyond what the server would write as a power of ten."""
    large = Spent(tokens_in=400_000_000_000_001)
    assert [count(rig, name, large, agent()) for name in ("t1", "t2")] == [1, 1]
    assert of(rig, AGENT)["energy"].tokens_in == 800_000_000_000_002


def test_what_a_user_has_used_is_forgotten_on_every_day(rig: QuotaRig) -> None:
    """The sums of days, agents and models stay: they name nobody."""
    for number in range(2):
        count(rig, f"t{number}", TURN, agent(), AMA)
        count(rig, f"o{number}", TURN, agent(), owners.named("kofi"))
        rig.later(DAY_MS)
    rig.connection.run_each(list(usage.forget_user(rig.keyspace, "ama:1", today(rig))))
    for age in (1, 2):
        day = today(rig) - timedelta(days=age)
        assert rig.connection.run(usage.of_day(rig.keyspace, day, USER)) == {"kofi": TURN}
        assert rig.connection.run(usage.whole_day(rig.keyspace, day)) == TURN + TURN


def test_a_damaged_day_is_logged_and_fails_nothing(rig: QuotaRig) -> None:
    """The job is counted as pending until it is released with a whole day."""
    rig.note("j1", agent())
    rig.ask("SET", rig.keyspace.usage(f"{today(rig):%Y%m%d}"), "no hash")
    assert release(rig, EndedJob("j1", "done", "m", TURN)) == 0
    assert count(rig, "t1", TURN, agent()) == 0
    assert of(rig, AGENT) == {}
    assert rig.connection.run(usage.whole_day(rig.keyspace, today(rig))) == Spent()
    rig.ask("DEL", rig.keyspace.usage(f"{today(rig):%Y%m%d}"))
