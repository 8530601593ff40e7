"""The operations and actors with one rule about ends taken out: each breaks one of I11 to I16."""

from dataclasses import replace
from functools import partial

from memory.mailbox.intake import ENQUEUE, INTERRUPT, MERGE, SUPERSEDE
from memory.mailbox.mailbox import ACQUIRE, COMMIT, DISCARD
from memory.mailbox.outbox import DELIVERED, TAKE_ENDS
from memory.redis.command import LuaScript
from tests.support.mailbox import actors
from tests.support.mailbox.mutants import (
    COMMIT_HEAD_CHECK,
    IN_OUTBOX,
    Mutant,
    mutate,
    without,
)
from tests.support.mailbox.scripts import ERASE, PUBLISH
from tests.support.mailbox.simulation import Plan
from tests.support.mailbox.world import Faults

TAKE_INS = (ENQUEUE, INTERRUPT, SUPERSEDE, MERGE)
DEADLY = Faults(kill=0.06, stop=0.03, lose_reply=0.05, lose_request=0.05, late_message=0.2)
BUSY = Plan(faults=DEADLY, takeovers=8, cancels=8)
ERASING = Plan(faults=DEADLY, erasures=5, takeovers=4)
REUSING = Plan(reuses=12, takeovers=4)

IN_STREAM = (
    "  redis.call('XADD', events, 'MAXLEN', '~', events_max, '*', 'event', last)\n"
    "  -- Not the time that a history waits for its archive. Where most of it is left it is not"
    " written.\n"
    "  local told_s = ttl_s % 31536000000\n"
    "  if redis.call('PTTL', events) < 900 * told_s then redis.call('EXPIRE', events, told_s) end\n"
)
IDENTITY_CHECK = "if claimed and claimed ~= identity then return {'CONFLICT'} end\n"
OWN_IDENTITY = "request:sub(1, 32) .. ' ' .. history"
HANDED_OVER = "    its_callbacks = (redis.call('HGET', callbacks, other) or '') .. its_callbacks\n"
IS_FREE = "whose == owner or left_ms <= 0 or left_ms > tonumber(length_ms)"
NOTES_CLAIM = "      redis.call('HSET', outbox, ends[i], claimed)\n"
ENVELOPE_GOES = "  redis.call('HDEL', jobs, one)\n"
WORDS_GO = "redis.call('UNLINK', history, events, dead, summary, requests, schedules, archive)"
GONE_CHECK = "if mark_ms < 0 then return {'GONE', first()} end\n"
LEASE_GOES = "if #waiting > 0 then forget_attempt() end\n"
FENCE = "  if held[1] ~= token then return 0 end\n"
IS_THE_SAME = """stored:match('^%d+ %d+ %S+ %d+ {"type":"(%l+)"') == ARGV[i + 1]"""
SAYS_ERASED = "redis.call('HGET', requests, ARGV[i]) == 'erased'"
KEEPS_CLAIM = "until_ms or now_ms, length_ms or 0,\n    whose or owner"
KEEPS_CALLBACKS = "(rest and rest:sub(size + 1) or '')"


def mutants_of_ends() -> dict[str, Mutant]:
    """By name."""
    return {**_unwritten(), **_unclaimed(), **_confused(), **_kept()}


def _unwritten() -> dict[str, Mutant]:
    scripts = {"COMMIT": COMMIT, "DISCARD": DISCARD, "MERGE": MERGE}
    unwritten = {
        f"{name} writes no end into the outbox": Mutant(
            (without(script, IN_OUTBOX),), BUSY, "I1[12]"
        )
        for name, script in scripts.items()
    }
    often = replace(BUSY, model_fails=0.7)
    return unwritten | {
        "DEAD writes no end into the outbox": Mutant(
            (without(ACQUIRE, IN_OUTBOX),), often, "I1[12]"
        ),
        "DISCARD keeps a letter of what has expired": Mutant(
            (mutate(DISCARD, ("ending == 'dead' and", "ending ~= 'cancelled' and")),),
            replace(BUSY, expires=0.2),
            "I16",
        ),
        "DISCARD tells the stream nothing": Mutant((without(DISCARD, IN_STREAM),), BUSY, "I11"),
        "MERGE drops what follows the merged": Mutant((without(MERGE, HANDED_OVER),), BUSY, "I12"),
        "a sweeper settles before it notes": Mutant(
            (), replace(BUSY, sweep=partial(actors.sweep, notes_first=False)), "I11"
        ),
        "a sweeper stops at a damaged mailbox": Mutant(
            (),
            Plan(
                faults=Faults(kill=0.05, lose_message=0.2),
                damages=3,
                sweep=partial(actors.sweep, is_guarded=False),
            ),
            "I10|I11",
        ),
    }


def _unclaimed() -> dict[str, Mutant]:
    return {
        "TAKE_ENDS asks for no claim": Mutant((mutate(TAKE_ENDS, (IS_FREE, "true")),), BUSY, "I12"),
        "TAKE_ENDS notes no claim": Mutant((without(TAKE_ENDS, NOTES_CLAIM),), BUSY, "I12"),
    }


def _confused() -> dict[str, Mutant]:
    def all_with(*edits: tuple[str, str]) -> tuple[LuaScript, ...]:
        return tuple(mutate(script, *edits) for script in TAKE_INS)

    return {
        "an id is not compared": Mutant(all_with((IDENTITY_CHECK, "")), REUSING, "I13"),
        "an id is any request's of its session": Mutant(
            all_with((OWN_IDENTITY, "'any ' .. history")), REUSING, "I13"
        ),
        "an id is its request's in any session": Mutant(
            all_with((OWN_IDENTITY, "request:sub(1, 32)")),
            replace(REUSING, reuses=0, twins=12),
            "I13",
        ),
    }


def _kept() -> dict[str, Mutant]:
    letters = WORDS_GO.replace(" dead,", "")
    return {
        "ERASE leaves the envelope": Mutant((without(ERASE, ENVELOPE_GOES),), ERASING, "I15"),
        "ERASE leaves the dead letters": Mutant(
            (mutate(ERASE, (WORDS_GO, letters)),), replace(ERASING, model_refuses=0.3), "I15"
        ),
        "a turn is committed after its session was erased": Mutant(
            (without(ERASE, LEASE_GOES), without(COMMIT, GONE_CHECK, COMMIT_HEAD_CHECK)),
            ERASING,
            "I15|I11|I5|I1:|first commit",
        ),
        "PUBLISH lets anybody speak": Mutant((without(PUBLISH, FENCE),), ERASING, "I15"),
        "an end is taken out by who delivered another": Mutant(
            (mutate(DELIVERED, (IS_THE_SAME, "true"), (SAYS_ERASED, "false")),),
            replace(ERASING, erasures=8),
            "I15|I11",
        ),
        "who delivers too late is not told of the erasure": Mutant(
            (mutate(DELIVERED, (SAYS_ERASED, "false")),),
            replace(ERASING, erasures=8, faults=replace(DEADLY, kill=0.02, stop=0.12)),
            "I15|I11",
        ),
        "ERASE takes the claim of who delivers": Mutant(
            (mutate(ERASE, (KEEPS_CLAIM, "now_ms, 0, owner")),), ERASING, "I15|I12"
        ),
        "ERASE drops what follows": Mutant(
            (mutate(ERASE, (KEEPS_CALLBACKS, "''")),), ERASING, "I12"
        ),
    }
