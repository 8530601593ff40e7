"""What a child process runs, with a socket to its parent as its input.

Its work is a function, bytes in and bytes out; `tell` says what it is at meanwhile. Nothing here
imports more than it needs: some work is light.

The process ends with its parent, whatever it is doing. On Linux the kernel kills it; elsewhere a
thread sees the end of the socket, and while the work holds the interpreter's lock only the limit of
CPU time ends it.
"""

import ctypes
import os
import pkgutil
import queue
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TypedDict

from children.frames import HEAD, NOTE, READY, WHOLE, framed, read_head

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Told(TypedDict):
    """What a child is told at its start. Of the limits 0 means none."""

    work: str
    """The dotted path of the function."""
    path: list[str]
    """Where its parent looks for modules."""
    parent_pid: int
    cpu_s: float
    memory_bytes: int
    niceness: int


class _Parent:
    """The way to the parent, whole frame by whole frame, from any thread."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self._lock = threading.Lock()

    def send(self, payload: bytes, kind: bytes = WHOLE) -> None:
        with self._lock:
            if self.socket is not None:
                self.socket.sendall(framed(payload, kind))


_parent = _Parent()


def tell(note: bytes) -> None:
    """Say something of the request that is worked on; where this is no child process, nothing.

    Say nothing after its answer: it would be taken for a note of the next request.
    """
    with suppress(OSError):  # the parent has gone, and this process goes too
        _parent.send(note, NOTE)


def main(told: Told) -> None:
    """Answer requests until the parent ends."""
    parent = _parent.socket = socket.socket(fileno=os.dup(0))
    # The work's own input: reading it must not take what the parent sends.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _end_with_parent(told["parent_pid"])
    for end in (signal.SIGTERM, signal.SIGINT):
        # A supervisor may send these to all processes of a worker, which still drains then.
        signal.signal(end, lambda *_: None)
    _bound(told)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    work: Callable[[bytes], bytes] = pkgutil.resolve_name(told["work"])
    threading.Thread(target=_read, args=(parent, requests), daemon=True).start()
    sys.excepthook = _tell_kind
    _parent.send(READY)
    while True:
        request = requests.get()
        _time(told["cpu_s"])
        answer = work(request)
        _time(0)
        _parent.send(answer)


def _tell_kind(kind: type[BaseException], _: BaseException, where: TracebackType | None) -> None:
    """Say what ends this process, but not in the error's words: a request may be quoted in them."""
    frames = traceback.extract_tb(where)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    sys.stderr.write(f"griot: a child process ends with {kind.__name__} at {place}\n")


def _read(parent: socket.socket, requests: "queue.SimpleQueue[bytes]") -> None:
    """Hand on what the parent sends, and end the process when it has closed its end."""
    with parent.makefile("rb") as stream:
        while len(head := stream.read(HEAD.size)) == HEAD.size:
            requests.put(stream.read(read_head(head)[1]))
    os._exit(0)


def _end_with_parent(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # It may have died before that.
        if os.getppid() != parent_pid:
            os._exit(0)


def _bound(limits: Told) -> None:
    os.nice(limits["niceness"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits["memory_bytes"]:
        resource.setrlimit(resource.RLIMIT_AS, (limits["memory_bytes"],) * 2)


def _time(cpu_s: float) -> None:
    """Be killed after so much CPU time from now; 0: never.

    SIGPROF ends a process that handles it not, even one whose C code holds the interpreter's lock.
    """
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
