"""The ids that requests go by."""

import re
import secrets
from itertools import count

_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PROCESS = secrets.token_hex(8)
_NUMBERS = count(1)


def new_request_id() -> str:
    """An id that no other request has. It is no secret: random bytes for each would cost a call of
    the operating system."""
    return f"req_{_PROCESS}_{next(_NUMBERS):x}"


def request_id_of(given: str) -> str:
    """A client's own id, unless it could break a line; or else a new one."""
    return given if _GIVEN.fullmatch(given) else new_request_id()
