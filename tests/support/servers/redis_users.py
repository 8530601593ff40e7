"""Griot's processes as the users of deploy/users.acl: with GRIOT_TEST_ACL=1 all that tests start.

The tests look on as the administrator, who has no password. `make test-acl` runs them so, and fails
where a user was refused anything.
"""

import hashlib
import os
import re
import tempfile
from functools import cache
from pathlib import Path

from deploy.redis_users import access, celery_keys
from deploy.redis_users.acl_file import acl_file, rules
from deploy.redis_users.role import Channel, Role
from deploy.redis_users.roles import ALL_DUE, ROLES
from sandbox.users import OWNER, VARIABLE, Users

WANTED = "GRIOT_TEST_ACL"
IN_PROCESS = "operator"
"""The role of what a test calls itself: some of that are griot's commands."""
ANY_QUEUE = "?*"
MAKER = "GRIOT_TEST_ACL_MAKER"
EVERYTHING = "everything"
"""A user for tests of the memory, who may do what all roles together may, and each command on no
other kind of key than it is for."""


def users_of_tests() -> Users | None:
    """The users as which this run's processes work; None: as the administrator.

    Made by the first process of pytest, and inherited by the others.
    """
    if not os.environ.get(WANTED):
        return None
    if VARIABLE not in os.environ:
        path = Path(tempfile.mkdtemp(prefix="griot-users-")) / "users.acl"
        os.environ[MAKER] = str(os.getpid())
        # Tests name queues of their own.
        path.write_text(filled(acl_file(queues=[ANY_QUEUE])))
        os.environ[VARIABLE] = str(path)
    return Users.of_environment()


def filled(text: str) -> str:
    """An ACL file in which each user's password is his name, and the administrator has none."""
    lines = text.replace("user default on #admin", "user default on nopass").splitlines(True)
    return "".join(re.sub(r" #([a-z]+) ", _hashed, line, count=1) for line in lines)


def refusals() -> str:
    """What users were refused in this run, for the process that began it; '' elsewhere."""
    users = users_of_tests()
    is_ours = os.environ.get(MAKER) == str(os.getpid())
    return (
        users.refusals_file.read_text()
        if users and is_ours and users.refusals_file.exists()
        else ""
    )


def user_of_everything(prefix: str) -> list[str]:
    """The command that makes him, for one prefix, on a running server."""
    name = f"{OWNER}{EVERYTHING}"
    given = rules(_together(), prefix, 0, celery_keys.patterns(prefix))
    words = re.findall(r"\([^)]*\)|\S+", " ".join(given))  # a selector is one word
    return ["ACL", "SETUSER", name, "reset", "on", f">{name}", *words]


@cache
def _together() -> Role:
    return Role(
        name=EVERYTHING,
        purpose="tests of the memory",
        scripts=" ".join(access.scripts()),
        indexes=" ".join(role.indexes for role in ROLES),
        due_lists=ALL_DUE,
        grants=tuple(grants for role in ROLES for grants in role.grants),
        together={kinds: commands for role in ROLES for kinds, commands in role.together.items()},
        alone=" ".join(role.alone for role in ROLES),
        hears=frozenset(Channel),
        speaks=frozenset(Channel),
    )


def _hashed(found: re.Match[str]) -> str:
    return f" #{hashlib.sha256(f'{OWNER}{found[1]}'.encode()).hexdigest()} "
