"""One name, one worker: two of one name on a host answer for each other in remote control, and in
Flower one hides the other.

A worker holds a lock on a file for its name as long as it lives; the kernel gives it up with the
process. Celery 5.7.0 finds such pairs only with mingle, which is off, and then only warns.
"""

import atexit
import fcntl
import hashlib
import logging
import os
import tempfile
from itertools import count
from pathlib import Path

from tasks.errors import ConfigurationError

logger = logging.getLogger(__name__)

_held: dict[Path, int] = {}
"""Descriptors of locks, which end with this process, by their files."""


def take_name(name: str, deployment: str, *, is_chosen: bool) -> str:
    """The name that a worker has from now on: `name`, if no other on this host has it.

    If nobody has chosen it, the next that is free: `celery-2@host`. Raises ConfigurationError for
    one that was chosen and is taken. `deployment` is what tells brokers and key prefixes apart;
    those of others may use the name too.
    """
    if _take(name, deployment):
        return name
    if is_chosen:
        raise ConfigurationError(
            f"--hostname {name}: a worker with that name already runs on this host; give each "
            "its own, such as -n worker2@%h"
        )
    node, _, host = name.partition("@")
    names = (f"{node}-{number}@{host}" for number in count(2))
    return next(other for other in names if _take(other, deployment))


def _take(name: str, deployment: str) -> bool:
    digest = hashlib.sha256(f"{deployment}\0{name}".encode()).hexdigest()[:24]
    path = Path(tempfile.gettempdir()) / f"griot-{os.getuid()}-{digest}.lock"
    try:
        # Nobody else's file: a link there could name any.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        logger.warning("cannot check whether another worker is called %s: %s", name, exc)
        return True
    try:
        # Not flock, which the processes of a pool would hold on to when their worker has died.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    if not _is_there(path, descriptor):
        # Whoever had the name has removed its file meanwhile.
        os.close(descriptor)
        return _take(name, deployment)
    _held[path] = descriptor
    return True


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        there, ours = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _give_up() -> None:
    """Remove the files while their locks are held. Of a worker that is killed they stay, empty."""
    for path in _held:
        path.unlink(missing_ok=True)


atexit.register(_give_up)
