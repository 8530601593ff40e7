"""deploy/users.acl is what the code says, and the code says it of every script and command."""

import ast
import hashlib
import re
import subprocess
from collections.abc import Iterator

import pytest

from deploy.redis_users import access
from deploy.redis_users.__main__ import USERS_ACL
from deploy.redis_users.acl_file import acl_file
from deploy.redis_users.role import Role
from deploy.redis_users.roles import ROLES
from tests.support.key_kinds import KINDS
from tests.support.source_tree import ROOT

FILL = ROOT / "deploy" / "fill-users.sh"
NAMES = [role.name for role in ROLES]
NO_COMMANDS = {
    *("memory/redis/failures.py", "memory/redis/endpoint.py"),
    *("worker/unknown_settings.py", "worker/cli/chat/slash.py"),
}
"""Where words in capitals are what Redis answers, or no words of Redis at all."""
NOT_GRANTED = {
    "publish": "for channels, not keys",
    "subscribe": "for channels, not keys",
    "psubscribe": "for channels, not keys",
    "unsubscribe": "for channels, not keys",
    "acl": "everybody may ask who he is; the administrator alone asks for rights",
    "count": "an option of XREAD",
    "block": "an option of XREAD",
    "client": "by its word behind it: `client|tracking`",
    "maxlen": "an option of XADD",
    "debug": "a level of the log",
}
"""Words in capitals in the code that no role has among its grants, and why."""


def test_the_file_is_what_the_script_makes() -> None:
    """To renew it: python -m deploy.redis_users."""
    assert USERS_ACL.read_text() == acl_file()


def test_every_kind_of_key_is_known() -> None:
    """A new one of memory/keys.py too, without a word here."""
    documented = {re.match(r"[^:]+:?", kind.pattern)[0] for kind in KINDS}
    assert access.key_kinds() == documented


def test_every_script_is_somebodys() -> None:
    """Say in deploy/redis_users/roles.py who runs it."""
    given = {name for role in ROLES for name in role.scripts.split()}
    assert given == set(access.scripts())


def granted(role: Role) -> Iterator[tuple[str, str]]:
    """The commands outside of scripts that a role was given, each with a kind of key."""
    for grants in (*role.grants, role.together):
        for kinds, commands in grants.items():
            yield from ((one, kind) for one in commands.split() for kind in kinds.split())
    yield from ((one, "") for one in role.alone.split())


def sent() -> Iterator[tuple[str, str, str]]:
    """The commands in the code outside of scripts: place, command, and the kind of the first key
    where the code names it, else ''."""
    named = access.kinds_by_name()
    for package in ("memory", "tasks", "gateway", "worker"):
        for path in sorted((ROOT / package).rglob("*.py")):
            place = str(path.relative_to(ROOT))
            if place in NO_COMMANDS:
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                match node:
                    case ast.Tuple(elts=[ast.Constant(value=str(command)), *rest]) if rest and (
                        re.fullmatch("[A-Z]{3,}", command)
                    ):
                        key = rest[0]
                        shared = "keyspace" in ast.unparse(key)
                        name = key.attr if isinstance(key, ast.Attribute) else ""
                        kinds = named.get(f"keyspace.{name}" if shared else name, frozenset({""}))
                        yield from ((place, command.lower(), kind) for kind in kinds)


def test_every_command_is_somebodys() -> None:
    """Say in deploy/redis_users/roles.py who sends it, and for which keys."""
    given = {one for role in ROLES for one in granted(role)}
    commands = {command for command, _ in given}
    missing = [
        one
        for one in sent()
        if one[1] not in NOT_GRANTED
        and one[1:] not in given
        and not (one[2] == "" and one[1] in commands)
    ]
    assert missing == []


def test_a_script_is_read_as_it_runs() -> None:
    """A key passed to a function, keys given together, a call within a call, a loop over KEYS."""
    names = ("sweep", "clean", "supersede", "extend", "charge", "spend")
    uses = {name: access.script_uses(name) for name in names}

    def is_used(script: str, command: str, kinds: str) -> bool:
        return access.Use(command, frozenset(kinds.split())) in uses[script]

    assert is_used("sweep", "hset", "lease:")
    assert not is_used("sweep", "hset", "jobs:")
    assert is_used("clean", "unlink", "history: summary: events: archive:")
    assert is_used("clean", "object|idletime", "history:")
    assert is_used("supersede", "hset", "outbox:")
    assert is_used("supersede", "hget", "callbacks:")
    assert is_used("extend", "exists", "history: events: summary:")
    assert is_used("extend", "pexpire", "summary:")
    # KEYS[i], and what was read out of it, passed through two functions.
    assert is_used("charge", "hmget", "quota:")
    assert is_used("spend", "pttl", "quota:")


def test_a_key_that_nobody_knows_is_named() -> None:
    """It must be said what is passed for it."""
    with pytest.raises(LookupError, match=r"touch\.lua has the key 'index'"):
        access.script_uses("touch")


# ---- fill-users.sh


def filled(**environment: str) -> str:
    """What the script prints."""
    done = subprocess.run(
        ("/bin/sh", FILL, USERS_ACL),
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    return done.stdout


def with_hashes(text: str, **passwords: str) -> str:
    """The file with these passwords, the administrator's for who has none."""
    for name in ("admin", *NAMES):
        hashed = hashlib.sha256(passwords.get(name, passwords["admin"]).encode()).hexdigest()
        text = text.replace(f" #{name} ", f" #{hashed} ")
    return text


def test_each_user_gets_the_hash_of_the_password_of_its_own() -> None:
    """The administrator's where it has none; whatever is in a password is only its hash."""
    text = filled(
        REDIS_PASSWORD="$(reboot)'\"&/\\",  # noqa: S106  # of no server
        REDIS_WORKER_PASSWORD="of the worker",  # noqa: S106
        REDIS_BEAT_PASSWORD="",
    )
    assert text == with_hashes(acl_file(), admin="$(reboot)'\"&/\\", worker="of the worker")


@pytest.mark.parametrize("prefix", ["other", "team.a:chat-1_x"])
def test_another_prefix_gives_the_file_of_that_prefix(prefix: str) -> None:
    """As `python -m deploy.redis_users --show --prefix` makes it."""
    text = filled(REDIS_PASSWORD="x", REDIS_KEY_PREFIX=prefix)  # noqa: S106
    assert text == with_hashes(acl_file(prefix), admin="x")


def test_without_a_password_nothing_is_made() -> None:
    """A server that anybody may administer is nobody's wish."""
    done = subprocess.run(
        ("/bin/sh", FILL, USERS_ACL), env={"PATH": "/usr/bin:/bin"}, capture_output=True,
        text=True, check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode != 0
    assert "set REDIS_PASSWORD" in done.stderr
    assert done.stdout == ""
