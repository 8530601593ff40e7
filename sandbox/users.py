"""Servers with users of their own, to try whether the rights of Griot's processes are enough.

With SANDBOX_USERS in the environment, the name of an ACL file, each server takes its users, and
each process logs in as the one of its role: `griot-worker`, whose password is his name. The file's
`default` is an administrator without a password. What a user was refused is written into a file
beside it, with the test that ran then.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from sandbox.errors import ReplyError
from sandbox.resp import Reply, RespConnection

VARIABLE = "SANDBOX_USERS"
OWNER = "griot-"
"""What the names of the users begin with."""
ADDRESSES = ("REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
TEST = "PYTEST_CURRENT_TEST"
SCHEMES = ("redis", "rediss")


@dataclass(frozen=True, slots=True)
class Users:
    """The users of a file."""

    acl_file: Path

    @classmethod
    def of_environment(cls) -> "Users | None":
        """The users that SANDBOX_USERS names; None where it does not."""
        named = os.environ.get(VARIABLE)
        return cls(Path(named)) if named else None

    @property
    def refusals_file(self) -> Path:
        """Where the refusals of all servers are."""
        return self.acl_file.with_suffix(".refused")

    def logged_in(self, url: str, role: str) -> str:
        """The address with the login of a role; as it is where it has one, or is no Redis."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or "@" in parts.netloc:
            return url
        user = f"{OWNER}{role}"
        return urlunsplit(parts._replace(netloc=f"{user}:{user}@{parts.netloc}"))

    def environment(self, given: Mapping[str, str], role: str) -> dict[str, str]:
        """The same environment, its addresses with the login of a role."""
        with_login = {
            name: self.logged_in(given[name], role) for name in ADDRESSES if name in given
        }
        return {**given, **with_login}

    def note_refusals(self, port: int) -> None:
        """Note what a server has refused to the users since the last time; nothing where it does
        not answer."""
        try:
            with RespConnection(port) as connection:
                entries = connection.command("ACL", "LOG")
                connection.command("ACL", "LOG", "RESET")
        except (OSError, ReplyError):
            return
        refused = [
            line for line in map(_in_words, entries if isinstance(entries, list) else ()) if line
        ]
        if refused:
            with self.refusals_file.open("a") as file:
                file.writelines(f"{line} in {os.environ.get(TEST, '?')}\n" for line in refused)


def _in_words(entry: Reply) -> str:
    """Who was refused what; '' for users that are a test's own."""
    if not isinstance(entry, list):
        return ""
    fields = dict(zip(map(str, entry[::2]), map(str, entry[1::2]), strict=True))
    if not fields["username"].startswith(OWNER):
        return ""
    command = next(
        (part for part in fields["client-info"].split() if part.startswith("cmd=")), "cmd=?"
    )
    return (
        f"{fields['username']}: {fields['reason']} {fields['object']!r}, {fields['context']}, "
        f"{command}, {fields['count']} times"
    )
