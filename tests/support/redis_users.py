"""Griot's processes as the users of deploy/users.acl: with GRIOT_TEST_ACL=1 all that tests start.

The tests look on as the administrator, who has no password. `make test-acl` runs them so, and fails
where a user was refused anything.
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from deploy.redis_users.acl_file import acl_file
from memory.keys import DEFAULT_PREFIX
from sandbox.users import OWNER, VARIABLE, Users

WANTED = "GRIOT_TEST_ACL"
IN_PROCESS = "operator"
"""The role of what a test calls itself: some of that are griot's commands."""
ANY_QUEUE = "?*"


def users_of_tests() -> Users | None:
    """The users as which this run's processes work; None: as the administrator.

    Made by the first process of pytest, and inherited by the others.
    """
    if not os.environ.get(WANTED):
        return None
    if VARIABLE not in os.environ:
        path = Path(tempfile.mkdtemp(prefix="griot-users-")) / "users.acl"
        # Tests name queues of their own.
        path.write_text(filled(acl_file(queues=[ANY_QUEUE])))
        os.environ[VARIABLE] = str(path)
    return Users.of_environment()


def filled(text: str) -> str:
    """An ACL file in which each user's password is his name, and the administrator has none."""
    lines = text.replace("user default on #admin", "user default on nopass").splitlines(True)
    return "".join(re.sub(r" #([a-z]+) ", _hashed, line, count=1) for line in lines)


def set_up(prefix: str = DEFAULT_PREFIX) -> list[list[str]]:
    """The commands that make the users of one deployment on a running server."""
    lines = filled(acl_file(prefix)).splitlines()
    return [["ACL", "SETUSER", *_words(line)[1:]] for line in lines if OWNER in line]


def _words(line: str) -> list[str]:
    """A selector is one word."""
    return re.findall(r"\([^)]*\)|\S+", line)


def _hashed(found: re.Match[str]) -> str:
    return f" #{hashlib.sha256(f'{OWNER}{found[1]}'.encode()).hexdigest()} "
