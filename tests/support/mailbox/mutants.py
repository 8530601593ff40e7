"""The operations with one rule taken out, as tests of the tests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memory.mailbox.due_list import DUE, SCHEDULE, SETTLE
from memory.mailbox.intake import DELAY, INTERRUPT, MERGE, SUPERSEDE
from memory.mailbox.mailbox import ACQUIRE, COMMIT, DISCARD, FAIL, RENEW, SWEEP
from memory.redis.command import LuaScript, digest
from tests.support.mailbox.simulation import HOUR_MS, KILLED_PLAN, RECOVERY_MS, Plan
from tests.support.mailbox.world import Faults

DONE_CHECK = """if mark_ms > 0 then return {'ALREADY', first()} end
if mark_ms < 0 then return {'GONE', first()} end
"""
TOKEN_CHECK = "if held[1] ~= token or held[3] ~= job then return {'FENCED'} end\n"  # noqa: S105 - Lua
COMMIT_HEAD_CHECK = "if redis.call('ZRANGE', queue, 0, 0)[1] ~= job then return {'REORDER'} end\n"
ACQUIRE_HEAD_CHECK = "if front[1] ~= job then return {'NOT_HEAD', first()} end\n"
MARK = "  redis.call('ZADD', done, mark_ms, one)\n"
IN_OUTBOX = (
    "  redis.call('HSET', outbox, one, string.format('%d %d %s %d ', now_ms + grace_ms, grace_ms,\n"
    "    owner, #last) .. last .. (follows or ''))\n"
)
FRACTION_CHECK = """if delay_ms == 'drop' then
  return old_ms % 1 ~= 0 and"""
UNREAD = "local is_unread = old_ms and old_ms > now_ms + 1000\n"
KEPT_TIME = "redis.call('ZADD', delayed, due_ms, job)\n"
PEACE = Faults()
HARSH = Faults(kill=0.03, stop=0.06, lose_reply=0.05, late_message=0.2, double_message=0.2)


@dataclass(frozen=True)
class Mutant:
    """Edits to operations, the plan under which it shows, and what is violated then."""

    scripts: tuple[LuaScript, ...]
    plan: Plan
    violation: str


def mutate(script: LuaScript, *edits: tuple[str, str]) -> LuaScript:
    """`script` with each text replaced, which must be there once."""
    source = script.source
    for old, new in edits:
        assert source.count(old) == 1, f"{script.name}: {old!r} is not there once"
        source = source.replace(old, new)
    return replace(script, source=source, sha=digest(source))


def without(script: LuaScript, *rules: str) -> LuaScript:
    """`script` with some of its lines taken out."""
    return mutate(script, *((rule, "") for rule in rules))


def mutants_by_violation() -> dict[str, Mutant]:
    """Those that break an invariant."""
    return {
        "COMMIT checks nothing": Mutant(
            (without(COMMIT, DONE_CHECK, TOKEN_CHECK, COMMIT_HEAD_CHECK),),
            Plan(),
            "I1|I3|I4|I5|repeated commit",
        ),
        "COMMIT does not ask whether the job is done": Mutant(
            (without(COMMIT, DONE_CHECK),), Plan(), "repeated commit .* FENCED"
        ),
        "COMMIT does not compare the token": Mutant(
            (without(COMMIT, TOKEN_CHECK),), Plan(faults=HARSH), "I5"
        ),
        "COMMIT answers ALREADY for a cancelled job": Mutant(
            (mutate(COMMIT, ("if mark_ms > 0 then", "if mark_ms ~= 0 then")),),
            Plan(faults=HARSH, cancels=24, cleans=0),
            "first commit .* ALREADY",
        ),
        "a job that is given up is not marked": Mutant(
            (without(ACQUIRE, MARK), without(DISCARD, MARK)),
            Plan(faults=HARSH, raw_sends=20, model_refuses=0.3),
            "taken in again|runs again|given up|I10",
        ),
        "an idle entry is dropped at once": Mutant(
            (
                mutate(
                    SETTLE,
                    (FRACTION_CHECK, "if delay_ms == 'drop' or is_idle == '1' then\n  return"),
                ),
            ),
            Plan(faults=Faults(kill=0.05, stop=0.15), raw_sends=0, cancels=0),
            "I10",
        ),
        "SCHEDULE leaves an entry that a sweeper has read": Mutant(
            (mutate(SCHEDULE, (UNREAD, "local is_unread = old_ms\n")),),
            Plan(
                faults=Faults(kill=0.05, stop=0.15, lose_message=0.3),
                raw_sends=0,
                cancels=0,
                drain_ms=RECOVERY_MS,
            ),
            "I10",
        ),
        "a job that is replaced is not marked": Mutant(
            (without(SUPERSEDE, MARK),),
            Plan(faults=HARSH, takeovers=12),
            "taken in again|runs again|given up|I2|I10|I11",
        ),
        "a merged message is not carried": Mutant(
            (mutate(MERGE, ("carried ~= '' and carried or envelope", "envelope")),),
            Plan(takeovers=12),
            "I2: .* carries",
        ),
        "an interrupt overtakes": Mutant(
            (
                mutate(
                    INTERRUPT,
                    ("math.max((tonumber(held[6]) or 0) + 1, now_us)", "now_us - 600000000"),
                ),
            ),
            Plan(takeovers=12),
            "I3|I10",
        ),
        "nobody who was taken out is remembered": Mutant(
            (without(SUPERSEDE, IN_OUTBOX),), Plan(takeovers=12), "I11"
        ),
        "a delayed job is kept without its time": Mutant(
            (without(DELAY, KEPT_TIME),), Plan(delays=9, cancels=0), "I10"
        ),
        "nobody sweeps": Mutant(
            (), Plan(sweepers=0, raw_sends=0, cancels=0, faults=Faults(lose_message=0.05)), "I10"
        ),
    }


def mutants_by_idleness() -> dict[str, Mutant]:
    """Those after which the sweeper is needed where nothing went wrong."""
    peace = Plan(faults=PEACE, raw_sends=0)
    often = Plan(faults=PEACE, raw_sends=0, model_fails=0.7)
    rollback = mutate(SUPERSEDE, ("if kept == 0 then", "if kept == 9 then"))
    kept_lease = Mutant((rollback,), replace(peace, takeovers=12), "idle")
    return {"a turn that is rolled back keeps its lease": kept_lease} | {
        name: Mutant((mutate(script, (f"'{code}', first()", f"'{code}', '', ''")),), plan, "idle")
        for name, script, code, plan in (
            ("COMMIT names no next", COMMIT, "OK", peace),
            ("DISCARD names no next", DISCARD, "DISCARDED", peace),
            ("DEAD names no next", ACQUIRE, "DEAD", often),
        )
    }


def mutants_by_clock() -> dict[str, Mutant]:
    """Those that stand still when the server's clock is set back."""
    back = (-HOUR_MS,) * 3
    killed = replace(KILLED_PLAN, jumps=back, drain_ms=RECOVERY_MS)
    failing = replace(killed, model_fails=0.6, jumps=back * 3)
    lossy = replace(killed, faults=Faults(lose_message=0.4), jumps=back * 3)
    unnoticed = ("noted > 0 and passed_ms < -1000", "false")
    unwritten = ("if math.abs(passed_ms) > 1000 then", "if false then")
    return {
        "a time is believed however far away it is": Mutant(
            tuple(mutate(one, ("left <= most_ms", "true")) for one in (ACQUIRE, SWEEP)),
            killed,
            "I10",
        ),
        "nobody stores how long a lease is": Mutant(
            (
                mutate(ACQUIRE, (", 'lease_ms', lease_ms)", ", 'lease_ms', 9e15)")),
                mutate(RENEW, (", 'lease_ms', lease_ms)", ", 'lease_ms', 9e15)")),
            ),
            killed,
            "I10",
        ),
        "FAIL does not store how long a job backs off": Mutant(
            (mutate(FAIL, ("'delay_ms', delay_ms,", "'delay_ms', 9e15,")),), failing, "I10"
        ),
        "a wake-up may have been sent in the future": Mutant(
            (mutate(SWEEP, ("'woken_at', held[4], 0)", "'woken_at', held[4], 9e15)")),),
            lossy,
            "I10",
        ),
        "the due list stays where it is": Mutant(
            tuple(mutate(one, unnoticed) for one in (SCHEDULE, DUE)), killed, "I10"
        ),
        "the due list does not know what time it was": Mutant(
            tuple(mutate(one, unwritten) for one in (SCHEDULE, DUE)), killed, "I10"
        ),
    }


def look_when_due() -> tuple[LuaScript, ...]:
    """The due list goes back with the clock, and nothing is looked at before it is due."""
    at_once = "    if at_ms % 1 == 0 then at_ms = math.min(at_ms, now_ms) end\n"
    return tuple(without(one, at_once) for one in (SCHEDULE, DUE))


def by_name(mutants: Sequence[LuaScript]) -> dict[str, LuaScript]:
    """As a world takes them."""
    return {script.name: script for script in mutants}
