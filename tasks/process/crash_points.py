"""Named points of the code at which a test can let the process die as if by `kill -9`.

Inert unless GRIOT_CRASH_AT=`name:n` and GRIOT_CRASH_ARMED=tests are both in the environment when
this module is imported: then the process kills itself at the n-th passage of that point. Neither is
a setting of the product nor read from `.env`; tests/faults arms one worker or one producer at a
time. GRIOT_CRASH_AT alone, which may have got into a deployment by mistake, does nothing but a
warning in the log.
"""

import logging
import os
import signal
import threading
from dataclasses import dataclass, field
from enum import StrEnum

logger = logging.getLogger(__name__)

VARIABLE = "GRIOT_CRASH_AT"
SWITCH = "GRIOT_CRASH_ARMED"
BY_TESTS = "tests"
"""What the switch says where it is on."""


class CrashPoint(StrEnum):
    """Between two effects that others can see: before or after a write, a publication, a token."""

    ENQUEUED = "enqueued"
    """The producer's job is in the mailbox, its wake-up not published."""
    BEFORE_ACQUIRE = "before-acquire"
    AFTER_ACQUIRE = "after-acquire"
    """The attempt holds the lease."""
    TOKEN = "token"  # noqa: S105  # a piece of a reply
    """A piece of the reply has come."""
    TOOLS_DONE = "tools-done"
    """The tools that the model called have run, and it has not been sent their results."""
    MODEL_DONE = "model-done"
    """The model's final record has come."""
    BEFORE_COMMIT = "before-commit"
    AFTER_COMMIT = "after-commit"
    BEFORE_WAKE = "before-wake"
    """The verdict is there, the next job not published."""
    BEFORE_RESULT = "before-result"
    """The next job is published, this one's result not stored."""
    BEFORE_ACK = "before-ack"
    """The result is stored, the message not acknowledged."""
    SWEEP_WAKE = "sweep-wake"
    """The sweeper has noted a wake-up and not published it."""


@dataclass(slots=True)
class _Fuse:
    """Burns down with each passage of one point, and kills the process at its end."""

    point: CrashPoint
    passages_left: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def burn(self) -> None:
        with self.lock:
            self.passages_left -= 1
            if self.passages_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def is_named() -> bool:
    """Whether the environment names a point, armed or not."""
    return bool(os.environ.get(VARIABLE))


def is_ignored() -> bool:
    """Whether the environment names a point and leaves it unarmed."""
    return is_named() and os.environ.get(SWITCH) != BY_TESTS


def warn_if_ignored() -> None:
    """Log it where the environment names a point and leaves it unarmed."""
    if is_ignored():
        logger.warning(
            "%s is ignored: it is for tests only; remove it from the environment", VARIABLE
        )


def _fuse_of(wanted: str) -> _Fuse | None:
    if not wanted or is_ignored():
        return None
    name, _, passage = wanted.partition(":")
    return _Fuse(CrashPoint(name), int(passage or 1))


_fuse = _fuse_of(os.environ.get(VARIABLE, ""))


def crash_if_armed(point: CrashPoint) -> None:
    """Say that the code is at `point`; nothing happens unless a test has armed it."""
    if _fuse is not None and _fuse.point is point:
        _fuse.burn()
