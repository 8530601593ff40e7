"""The Lua operations on counts and quotas take and give what their headers say."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from memory.errors import CorruptData
from memory.key_groups import QuotaKeys
from memory.keys import Keyspace
from memory.lifetimes import ADMISSION_MS, PENDING_MS
from memory.quotas import charges, job_records, owners, pending, usage
from memory.quotas.charges import Charged, ChargeOutcome
from memory.quotas.job_records import Listed
from memory.quotas.owners import Quota
from memory.quotas.pending import EndedJob, PendingCounts
from memory.quotas.usage import MOST_NAMES, Spent
from memory.redis.command import Command

LEASE = "t1"
KEYSPACE = Keyspace()
KEYS = KEYSPACE.quotas
AGENT = owners.agent("energy", Quota(jobs_at_once=5))
USER = owners.user("ama", Quota(jobs_per_minute=3, tokens_per_day=4))
OWNERS = (AGENT, USER)
BUCKETS = {
    "charge": (KEYSPACE.quota(AGENT.name), KEYSPACE.quota(USER.name)),
    "refund": (KEYSPACE.quota(AGENT.name), KEYSPACE.quota(USER.name)),
    "spend": (KEYSPACE.quota(USER.name),),
}
LUA = Path(charges.__file__).parent / "lua"
MAX_CODE_LINES = 40
ENDED = EndedJob("job", "done", "m:1", Spent(1, 2))
COMMANDS: dict[str, Command[object]] = {
    "note_job": pending.note(KEYSPACE, "job", OWNERS, listed=Listed(" a:energy s:s1", 60_000, 9)),
    "release_jobs": pending.release_ended(KEYSPACE, (ENDED, EndedJob("other")), now_s=0),
    "charge": charges.charge(KEYSPACE, "job", OWNERS),
    "refund": charges.refund(KEYSPACE, "job", OWNERS),
    "spend": charges.spend(KEYSPACE, "job", OWNERS, 7, lease_token=LEASE)[0],
    "count_usage": usage.count_once(KEYSPACE, LEASE, Spent(1, 2), ("d:", "a:energy"), now_s=0),
    "forget_records": job_records.forget(KEYSPACE, ("job", "other")),
}
VALUES: dict[str, object] = {
    "job": "job", "jobs": ("job", "other"), "kept_ms": 60_000, "most_records": 9,
    "names": " a:energy s:s1", "first_day": -1, "most_names": MOST_NAMES, "id": "t1",
    "numbers": "1 2 0 0 0 0 0 0 0 0 0", "its_owners": f"a:energy {USER.name}",
    "lease_token": "t1", "tokens": 7,
    "pending_ms": PENDING_MS, "admission_ms": ADMISSION_MS, "per_minute": (0, 3), "per_day": (4,),
    "limits": ("a:energy", 0, 0, 5, USER.name, 3, 4, 0),
}  # fmt: skip
VALUES_OF: dict[str, dict[str, object]] = {
    "release_jobs": {
        "jobs": ("job", "done", "m:m%3A1 1 2 0 0 0 0 0 0 0 0 0", "other", "", ""),
    },
    "count_usage": {"names": ("d:", "a:energy")},
}
"""What one operation is passed under a name that others have, too."""
LENIENT = {"note_job", "release_jobs", "count_usage"}
"""Where a damaged key is logged, and fails nothing."""


def source(name: str) -> str:
    """The text of an operation's file."""
    return (LUA / f"{name}.lua").read_text()


def words(name: str, heading: str) -> list[str]:
    """What a line of the header names."""
    (line,) = re.findall(rf"^-- {heading} +(.+)$", source(name), re.M)
    return [word.partition(":")[0].removesuffix("...") for word in str(line).split()]


def test_every_operation_has_its_script_and_its_command() -> None:
    """And the files are all of them."""
    assert sorted(COMMANDS) == sorted(file.stem for file in LUA.glob("*.lua"))
    assert [COMMANDS[script.name].script for script in charges.SCRIPTS] == list(charges.SCRIPTS)


@pytest.mark.parametrize("name", COMMANDS)
def test_keys_and_arguments_are_those_of_the_header_in_its_order(name: str) -> None:
    """By their names; of the buckets those of the owners that are bounded."""
    known: dict[str, tuple[str, ...]] = {
        field.name: (getattr(KEYS, field.name),) for field in fields(QuotaKeys)
    }
    known["buckets"] = BUCKETS.get(name, ())
    known["days"] = tuple(map(KEYSPACE.usage, ("19691231", "19700101", "19700102")))
    assert list(COMMANDS[name].keys) == [key for word in words(name, "KEYS") for key in known[word]]
    passed: list[object] = []
    for argument in words(name, "ARGV"):
        value = VALUES_OF.get(name, {}).get(argument, VALUES.get(argument))
        passed += value if isinstance(value, tuple) else [value]
    assert list(COMMANDS[name].args) == passed


@pytest.mark.parametrize("name", COMMANDS)
def test_an_operation_is_small_and_looks_at_the_types_first(name: str) -> None:
    """At most 40 lines of code; what admits a job is refused without memory, all else goes on."""
    script = COMMANDS[name].script
    assert script is not None
    lines = source(name).splitlines()
    code = [line for line in lines if line.strip() and not line.startswith(("--", "#!"))]
    assert len(code) <= MAX_CODE_LINES
    assert all(len(line) <= 100 for line in lines if not line.startswith("-- KEYS"))
    expected = "#!lua" if name in ("charge", "note_job") else "#!lua flags=allow-oom"
    assert script.source.splitlines()[0] == expected
    assert re.findall(r"redis\.call\('(\w+)'", script.source)[0] == "TYPE"
    assert "{'CORRUPT'" in source(name)


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - LENIENT))
@pytest.mark.parametrize("reply", [None, [], b"OK", 7, [b"NEVER"], [7], ["OK"], [b"OK", 1, 2, 3]])
def test_a_reply_that_makes_no_sense_is_corrupt(name: str, reply: object) -> None:
    """Another program answers, or another version of the script."""
    with pytest.raises(CorruptData):
        COMMANDS[name].parse(reply)
    with pytest.raises(CorruptData, match=r"some:key.*string"):
        COMMANDS[name].parse([b"CORRUPT", b"some:key", b"string"])


def test_replies_are_read_as_values() -> None:
    """Counts, and whose quota is used up, by which rule and for how long."""
    read = COMMANDS["charge"].parse
    assert COMMANDS["note_job"].parse([b"OK", 1, 2, 3, 4]) == PendingCounts(2, 3, 4, is_new=True)
    assert read([b"KNOWN"]) == Charged(ChargeOutcome.KNOWN)
    refused = ChargeOutcome.REFUSED
    assert read([b"REFUSED", 2, 1, 9]) == Charged(refused, USER, "jobs_per_minute", 9)
    assert read([b"REFUSED", 1, 3, -1]) == Charged(refused, AGENT, "jobs_at_once")
    for odd in ([b"REFUSED", 3, 1, 9], [b"REFUSED", 1, 4, 9], [b"REFUSED", 0, 1, 9]):
        with pytest.raises(CorruptData):
            read(odd)
