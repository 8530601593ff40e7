"""Each Lua operation of the mailbox says in its header what its command carries and answers."""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from memory.errors import CorruptData
from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import DEAD_MS, DEDUPE_MS
from memory.mailbox import dead_letters, delayed, due_list, intake, mailbox, outbox, outcomes
from memory.mailbox.intake import Intake, OnBusy, Request
from memory.mailbox.mailbox import DEAD_MAX, Mailbox
from memory.mailbox.outbox import End
from memory.mailbox.outcomes import Ending, StopPolicy
from memory.records.event import Event, EventType
from memory.records.events import MAX_EVENTS, queued_head, scheduled
from memory.redis.command import Command, LuaScript

LUA = Path(mailbox.__file__).parent / "lua"
DUE, POINTER = "ecowas:due", "ecowas:job:job"
BOX = Mailbox.of(Keyspace(), "energy", "session-1")
KEYS = BOX.keys
MAX_CODE_LINES = 40
OUTCOMES = {
    "enqueue": intake.EnqueueOutcome,
    "interrupt": intake.EnqueueOutcome,
    "supersede": intake.EnqueueOutcome,
    "merge": intake.EnqueueOutcome,
    "delay": intake.EnqueueOutcome,
    "acquire": outcomes.AcquireOutcome,
    "commit": outcomes.CommitOutcome,
    "discard": outcomes.DiscardOutcome,
    "sweep": outcomes.SweepOutcome,
    "clean": outcomes.CleanOutcome,
}
RESULTS: dict[str, Callable[[object], object]] = {
    "enqueue": intake.Enqueued.from_reply,
    "interrupt": intake.Enqueued.from_reply,
    "supersede": intake.Enqueued.from_reply,
    "merge": intake.Enqueued.from_reply,
    "delay": intake.Enqueued.from_reply,
    "acquire": outcomes.Acquired.from_reply,
    "commit": outcomes.Committed.from_reply,
    "discard": outcomes.Discarded.from_reply,
    "sweep": outcomes.Swept.from_reply,
    "clean": outcomes.Cleaned.from_reply,
}
SCRIPTS = {
    script.name: script
    for module in (intake, mailbox, due_list, outbox, dead_letters, delayed)
    for script in module.SCRIPTS
}
NAMES = list(SCRIPTS)


def take_in(on_busy: OnBusy, due_ms: int | None = None) -> Command[object]:
    """The operation for a job that does this to others."""
    request = Request("d" * 32, "a" * 16, 5)
    job = Intake(
        "job",
        b"envelope",
        7,
        on_busy,
        request,
        merged_bytes=11,
        ttl_s=13,
        callbacks=b"callbacks",
        owner="owner",
        merged_envelope_bytes=12,
        due_ms=due_ms,
    )
    return BOX.take_in(job, grace_ms=1)[-1]


COMMANDS: dict[str, Command[object]] = {
    "schedule": due_list.schedule(DUE, "member", delay_ms=17),
    "due": due_list.due(DUE, limit=19),
    "settle": due_list.settle(DUE, "member", seen_ms=1.5, delay_ms=17, is_idle=True),
    "enqueue": take_in(OnBusy.ENQUEUE),
    "interrupt": take_in(OnBusy.INTERRUPT),
    "supersede": take_in(OnBusy.ROLLBACK),
    "merge": take_in(OnBusy.MERGE),
    "delay": take_in(OnBusy.MERGE, 73),
    "ripe": delayed.ripe(KEYS, limit=19),
    "acquire": BOX.acquire(
        "job",
        "token",
        lease_ms=23,
        history_n=29,
        max_attempts=31,
        ttl_s=13,
        grace_ms=1,
        dead_bytes=71,
    )[-1],
    "renew": BOX.renew("token", lease_ms=23),
    "commit": BOX.commit(
        "token", "job", [b"r1", b"r2"], keep=37, most_bytes=11, ttl_s=13, grace_ms=1, event=b"event"
    )[-1],
    "fail": BOX.fail(
        "token",
        delay_ms=17,
        refund=True,
        grace_ms=1,
        slot_wait_ms=41,
        is_outage=True,
        is_paused=True,
        error="error",
    )[-1],
    "discard": BOX.discard(
        "job",
        "reason",
        "token",
        owner="owner",
        ending=Ending.DEAD,
        ttl_s=13,
        grace_ms=1,
        dead_bytes=71,
    )[-1],
    "stop": BOX.stop("job", StopPolicy.KEEP),
    "sweep": BOX.sweep(43),
    "clean": BOX.clean(47, ttl_ms=48),
    "trim": BOX.trim(53),
    "claim": intake.claim(POINTER, "identity"),
    "drop_letters": dead_letters.drop_oldest(BOX, most=61, until_ms=67),
    "note_late": outbox.note_late(Keyspace(), KEYS),
    "delivered": outbox.delivered(KEYS, [End("job", Event(EventType.DONE, "job", 1))]),
    "take_ends": outbox.take(KEYS, owner="owner", claim_ms=59),
}
VALUES: dict[str, object] = {
    "session": KEYS.history,
    "member": "member", "delay_ms": 17, "limit": 19, "seen_ms": "1.5", "is_idle": 1, "job": "job",
    "envelope": b"envelope", "cap": 7, "request": f"{'d' * 32}:{'a' * 16}:00000005",
    "priority": "normal",
    "event": b"event", "events_max": MAX_EVENTS, "ttl_s": 13, "dedupe_ms": DEDUPE_MS, "is_all": 1,
    "most_bytes": 11, "most_kept_bytes": 12, "token": "token", "lease_ms": 23, "history_n": 29,
    "max_attempts": 31,
    "dead_ms": DEAD_MS, "dead_max": DEAD_MAX, "dead_bytes": 71, "keep": 37,
    "records": (b"r1", b"r2"), "refund": 1,
    "slot_wait_ms": 41, "is_outage": 1, "is_paused": 1, "error": "error",
    "reason": "reason", "ending": "dead", "policy": "keep", "gap_ms": 43,
    "idle_ms": 47,
    "ttl_ms": 48, "slack": 53, "identity": "identity", "owner": "owner", "claim_ms": 59,
    "pairs": ("job", "done"), "grace_ms": 1, "its_callbacks": b"callbacks",
    "most": 61, "until_ms": 67, "due_ms": 73,
}  # fmt: skip


def header(name: str) -> str:
    """The comment at the top of an operation."""
    lines = source(name).split("\n\n", 1)[0].splitlines()[1:]
    assert all(line.startswith("--") for line in lines)
    return "\n".join(line[3:] for line in lines)


def body(name: str) -> str:
    """An operation as it is sent, without its header."""
    return SCRIPTS[name].source.removeprefix(source(name).split("\n\n", 1)[0])


def source(name: str) -> str:
    """The text of an operation's file."""
    return (LUA / f"{name}.lua").read_text()


def declared(name: str, what: str) -> list[str]:
    """The names after KEYS or ARGV in the header, without types and dots."""
    (line,) = re.findall(rf"^{what}  (.+)$", header(name), re.MULTILINE)
    return [word.partition(":")[0].removesuffix("...") for word in str(line).split()]


def declared_returns(name: str) -> dict[str, int]:
    """Each code that the header lists, with the number of values after it; 1 and 0 as they are."""
    lists = re.findall(r"^  \{'([A-Z_]+)'((?:, [^}]+)?)\}", header(name), re.MULTILINE)
    flags = re.findall(r"^  ([01])\s", header(name), re.MULTILINE)
    return {code: rest.count(",") for code, rest in lists} | dict.fromkeys(flags, 0)


def test_every_operation_has_its_script_and_its_command() -> None:
    """And the files are all of them."""
    assert sorted(NAMES) == sorted(COMMANDS) == sorted(file.stem for file in LUA.glob("*.lua"))
    for name, command in COMMANDS.items():
        assert isinstance(command.script, LuaScript)
        assert command.script is SCRIPTS[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_shebang_says_whether_it_runs_without_memory(name: str) -> None:
    """All but those that take a job in do: work in hand is finished. CLAIM does, as the server of
    the pointer says nothing about that of the mailbox."""
    is_intake = name in {script.name for script in intake.SCRIPTS} - {"claim"}
    expected = "#!lua" if is_intake else "#!lua flags=allow-oom"
    assert SCRIPTS[name].source.splitlines()[0] == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_command_carries_the_keys_of_the_header(name: str) -> None:
    """In their order, by their names in memory/keys.py."""
    known = {field.name: getattr(KEYS, field.name) for field in fields(SessionKeys)}
    known |= {"due": DUE, "pointer": POINTER, "outboxes": "ecowas:outbox"}
    assert [known[key] for key in declared(name, "KEYS")] == list(COMMANDS[name].keys)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_carries_the_arguments_of_the_header(name: str) -> None:
    """In their order, each with the value of that name."""
    values = VALUES | ({"event": queued_head("job")} if "request" in declared(name, "ARGV") else {})
    values |= {"event": scheduled("job", 73)} if name == "delay" else {}
    values |= {"limit": outbox.ENDS_AT_ONCE} if name == "take_ends" else {}
    passed: list[object] = []
    for argument in declared(name, "ARGV"):
        value = values[argument]
        passed += value if isinstance(value, tuple) else [value]
    assert list(COMMANDS[name].args) == passed


def test_a_command_takes_no_other_arguments_than_those_of_the_header() -> None:
    """One too few, one too many and one of another name are errors of the program."""
    take: Callable[..., object] = mailbox.RENEW.command
    for wrong in ({"token": "t"}, {"token": "t", "lease_ms": 1, "dedupe_ms": 1, "keep": 1}):
        with pytest.raises(TypeError, match="renew takes"):
            take(bool, KEYS, **wrong)
    with pytest.raises(KeyError):
        take(bool, KEYS, token=b"", lease_ms=1, keep=1)


@pytest.mark.parametrize("name", NAMES)
def test_the_code_uses_no_key_or_argument_that_the_header_does_not_list(name: str) -> None:
    """Nor does it make up the name of a key."""
    for what in ("KEYS", "ARGV"):
        used = [int(index) for index in re.findall(rf"{what}\[(\d+)\]", body(name))]
        assert max(used, default=0) <= len(declared(name, what))
    assert "'KEYS'" not in body(name)
    assert "'SCAN'" not in body(name)
    assert "cjson" not in body(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_source_is_put_together(name: str) -> None:
    """Locals of the header's names come first, and no include is left."""
    assert "-- include" not in body(name)
    arguments = [name for name in declared(name, "ARGV") if name not in ("records", "pairs")]
    keys = declared(name, "KEYS")
    # What is there perhaps is read by its number.
    keys = [key for key in keys if key != "pointer" or name == "claim"]
    for names, what in ((keys, "KEYS"), (arguments, "ARGV")):
        if not names:
            continue
        line = f"\nlocal {', '.join(names)} = unpack({what}, 1, {len(names)})\n"
        assert line in body(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_header_lists_every_code_that_is_returned(name: str) -> None:
    """And no other."""
    first = " ".join(re.findall(r"(?:return|reply =) \{([^,}]+)", body(name)))
    returned = set(re.findall(r"'([A-Z_]+)'", first))
    returned |= set(re.findall(r"return (?:.* or )?([01])(?:$| end)", body(name), re.MULTILINE))
    returned |= set(re.findall(r"insert\(reply, 1, '([A-Z]+)'\)", body(name)))
    assert returned == set(declared_returns(name))


def test_the_answers_of_claim_are_codes_alone() -> None:
    """Each is one of its typed result."""
    codes = set(declared_returns("claim")) - {"CORRUPT"}
    assert codes == set(intake.Claim)
    assert [COMMANDS["claim"].parse([code.encode()]) for code in codes] == list(codes)


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_codes_are_the_outcomes_of_the_typed_result(name: str) -> None:
    """All of them, and no other."""
    assert set(declared_returns(name)) == {*OUTCOMES[name], "CORRUPT"}


@pytest.mark.parametrize(
    ("name", "code", "amount"),
    [
        (name, code, amount)
        for name in OUTCOMES
        for code, amount in declared_returns(name).items()
        if code != "CORRUPT"
    ],
)
def test_the_typed_result_reads_each_reply_that_the_header_lists(
    name: str, code: str, amount: int
) -> None:
    """With as many values as it says, and no other number of them."""
    line = next(line for line in header(name).splitlines() if line.startswith(f"  {{'{code}'"))
    names = re.findall(r", (\w+)", line[: line.index("}")])
    assert len(names) == amount
    text = {"next", "head", "envelope", "first", "stopping", "wake"}
    others: dict[str, object] = {"messages": [b"m"], "stop": b"keep"}
    values = [b"text" if name in text else others.get(name, 7) for name in names]
    result = RESULTS[name]([code.encode(), *values])
    assert getattr(result, "outcome") == code  # noqa: B009 - the results share no type
    with pytest.raises(CorruptData):
        RESULTS[name]([code.encode(), *values, b"one too many", 1, 2])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reply", [None, [], b"OK", 7, [b"NEVER"], [7], ["OK"], [b"\xff"]])
def test_a_reply_that_makes_no_sense_is_corrupt(name: str, reply: object) -> None:
    """Another program answers, or another version of the script."""
    with pytest.raises(CorruptData):
        COMMANDS[name].parse(reply)


@pytest.mark.parametrize("name", NAMES)
def test_the_code_corrupt_raises_with_the_key_and_the_type(name: str) -> None:
    """So that an operator knows what to look at."""
    with pytest.raises(CorruptData, match=r"ecowas:queue.*string"):
        COMMANDS[name].parse([b"CORRUPT", b"ecowas:queue:{x}", b"string"])


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_fits_in_the_head(name: str) -> None:
    """At most 40 lines of code, what it includes not counted."""
    lines = source(name).splitlines()
    code = [line for line in lines if line.strip() and not line.startswith(("--", "#!"))]
    assert len(code) <= MAX_CODE_LINES
    # The loader reads the names from one line.
    assert all(len(line) <= 100 for line in lines if not line.startswith(("-- KEYS", "-- ARGV")))


@pytest.mark.parametrize("name", NAMES)
def test_the_types_of_all_keys_are_checked_before_anything_else(name: str) -> None:
    """A wrong type must not be found half-way. Keys that the body asks for first are not looked at
    twice; where it is refused, all are."""
    commands = re.findall(r"redis\.p?call\('(\w+)'", body(name))
    (kinds,) = re.findall(r"^local kinds = \{(.+)\}$", body(name), re.MULTILINE)
    assert len(kinds.split(", ")) == len(declared(name, "KEYS"))
    looks = int(set(kinds.split(", ")) != {"false"})
    assert (commands[0] == "TYPE") == bool(looks)
    assert commands.count("TYPE") == looks + int("false" in kinds)
