"""What the address of a server must be like, so that it is read in one way only. Pure.

Redis, kombu and Celery each take addresses apart by themselves. A password with a `#` in it is cut
off at one place and a host's name at another, and what is left ends in logs and reports.
"""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from memory.errors import InvalidInput

ESCAPES = (
    "in a user or password write %25 for %, %23 for #, %2F for /, %3A for :, %3B for ;, %3F for ? "
    "and %40 for @"
)
NUMBERED = frozenset({"redis", "rediss", "sentinel"})
"""Kinds of address that end in the number of a database."""
_SOCKETS = ("unix:///", "redis+socket:///")
"""Without a login: an @ is a part of the file's name then."""

_ADDRESS = re.compile(
    r"[a-z+]+://(?:(?P<login>[^@/?]*)@)?(?P<place>[^@/?]*)(?P<path>[^?]*)(?:\?.*)?"
)
_PLACE = re.compile(r"(\[[\w.:%]+\]|[\w.-]*)(:\d{0,5})?")
_HALF_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def check_address(url: str, name: str) -> None:
    """Raise InvalidInput unless `url`, of the setting `name`, can be read in one way only.

    The message is one line that says how to write it, and repeats nothing of it.
    """
    if (fault := next(_faults(url), None)) is not None:
        raise InvalidInput(f"{name} {fault}; {ESCAPES}")
    parts = urlsplit(url)
    if parts.scheme in NUMBERED and not re.fullmatch(r"/*\d*/*", parts.path):
        raise InvalidInput(f"{name} does not end in a db number; {ESCAPES}")


def option_names(url: str) -> set[str]:
    """What the options behind the `?` of an address are called."""
    return {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}


def is_host(text: str) -> bool:
    """Whether it can be a host's name or address: it has no scheme, login or path."""
    return re.search(r"[\s/@?#]", text) is None


def _faults(url: str) -> Iterator[str]:
    """What is wrong with an address; only the first is looked for."""
    if not url.isprintable() or " " in url:
        yield "contains a space or a control character"
    if "#" in url:
        yield "contains a #, which would cut off the rest"
    found = _ADDRESS.fullmatch(url)
    if found is None:
        yield "is not kind://user:password@host:port, or contains more than one @"
        return
    login, place = found["login"], found["place"]
    if "@" in url[found.start("path") :] and (login or place or not url.startswith(_SOCKETS)):
        yield "contains an @ after a / or a ?"
    if login is not None and ":" not in login:
        yield "contains a login without a colon: write a password alone as :password@"
    if _HALF_ESCAPE.search(login or ""):
        yield "contains a % that is not an escape"
    if not (_PLACE.fullmatch(place) and _can_be_split(url)):
        yield "lacks host:port"


def _can_be_split(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:  # which repeats the host, or a part of the password
        return False


def checked_archive(address: SecretStr) -> SecretStr:
    """The same address of an archive. Raises ValueError, which does not show it, where it is none:
    it may hold a password."""
    url = address.get_secret_value()
    if re.match(r"sqlite:///.", url):
        return address
    try:
        check_address(url, "ARCHIVE_URL")
        parts = urlsplit(url)
        is_database = bool(parts.hostname and parts.path.strip("/")) and parts.port != 0
    except InvalidInput as exc:
        raise ValueError(str(exc)) from None
    except ValueError:
        is_database = False
    if is_database and url.startswith("postgresql://"):
        return address
    raise ValueError(
        "ARCHIVE_URL must be sqlite:///<path> or "
        "postgresql://<user>:<password>@<host>:<port>/<database>"
    )
