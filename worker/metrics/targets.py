"""The files by which Prometheus finds the processes of a host (`file_sd_configs`).

Each process writes one into METRICS_TARGETS and takes it back when it ends. One that was killed
cannot: the next that starts removes its file, for it stands in its place. Where none starts, that
the file stays and nobody answers is what the alert GriotProcessGone is made of, so the maintenance
worker removes it only later.
"""

import atexit
import json
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, TypeAdapter, ValidationError

logger = logging.getLogger(__name__)

KEPT_S = 3600.0
"""So long the maintenance worker leaves the file of a process that does not answer: an alert fires
after minutes, and whoever reads it looks for the process."""
PATIENCE_S = 0.5
"""Longest wait for a connection. Only a refused one tells that nobody is there."""

_FILE = re.compile(r"griot-([0-9]+)\.json")


class TargetGroup(BaseModel):
    """One element of a file, as Prometheus reads it."""

    targets: list[str]
    labels: dict[str, str]


_TargetGroups = TypeAdapter(list[TargetGroup])


def address_of(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def announce(folder: Path, address: str, role: str) -> None:
    """Write the file of this process, which shows its metrics, and remove those of the dead.
    A folder that cannot be written costs a warning."""
    path = folder / f"griot-{os.getpid()}.json"
    group = TargetGroup(targets=[address], labels={"job": "griot", "role": role})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in files_of_the_dead(folder):
            old.unlink(missing_ok=True)
        # At once, for Prometheus may read at any moment.
        part = path.with_suffix(".part")
        part.write_text(json.dumps([group.model_dump()]), "utf-8")
        part.replace(path)
    except OSError as exc:
        logger.warning("Prometheus is not told of %s: %s", address, exc)
        return
    atexit.register(_forget, path, os.getpid())


def files_of_the_dead(folder: Path) -> Iterator[Path]:
    """The files of processes that are not there, or where another one has the number by now and
    nobody listens at the address. OSError where the folder cannot be read."""
    for path in folder.iterdir():
        name = _FILE.fullmatch(path.name)
        if name is not None and (_is_gone(int(name[1])) or not _is_answered(path)):
            yield path


class Cleaner(Collector):
    """Removes what the dead have left in a folder, `KEPT_S` after it was first seen. It looks
    whenever Prometheus asks for the metrics, and adds none."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._seen_s: dict[Path, float] = {}

    def collect(self) -> Iterable[Metric]:
        """No metric; looks."""
        self.look()
        return ()

    def look(self) -> None:
        """Look once; a folder that cannot be read or written is left as it is."""
        now_s = self._clock()
        with suppress(OSError):
            dead = set(files_of_the_dead(self._folder))
            # One that answers again, as after a restart under the same number, begins anew.
            self._seen_s = {path: self._seen_s.get(path, now_s) for path in dead}
            for path, since_s in self._seen_s.items():
                if now_s - since_s >= KEPT_S:
                    path.unlink(missing_ok=True)


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def _is_answered(path: Path) -> bool:
    """Whether somebody listens at an address of the file, as far as can be told."""
    try:
        groups = _TargetGroups.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return True  # nobody knows whose it is
    addresses = [one for group in groups for one in group.targets]
    return not addresses or any(map(_accepts, addresses))


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S):
            return True
    except ConnectionRefusedError:
        return False
    except (OSError, ValueError):
        return True


def _forget(path: Path, pid: int) -> None:
    # A child that was forked from this process ends before it, and inherits this call.
    if os.getpid() == pid:
        with suppress(OSError):
            path.unlink()
