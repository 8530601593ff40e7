"""A few long-lived child processes, each started when it is first needed and killed when it is over
its time."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from children.child import Told
from children.errors import ChildEnded, NoChild
from children.frames import HEAD, NOTE, framed, read_head

_START = (
    "import json, sys; told = json.loads(sys.argv[1]); sys.path[:] = told['path']; "
    "from children.child import main; main(told)"
)
START_S = 60.0
"""A child that has not imported its work by then is given up; on a busy machine it takes long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use.

    `cpu_s` is the CPU time of one request, exact whatever else the machine does; 0: no limit.
    `memory_bytes` bounds its address space (not on macOS); 0: no limit.
    """

    cpu_s: float = 0.0
    memory_bytes: int = 0
    niceness: int = 0


class Children:
    """At most `most` processes that run the function with the dotted path `work`; used on one event
    loop.

    The function takes bytes and returns bytes. What it raises ends its process. It is imported anew
    in each of them, with this process' environment and search path.
    """

    def __init__(self, work: str, *, most: int, limits: Limits) -> None:
        self._work = work
        self._limits = limits
        self._free = asyncio.Semaphore(most)
        self._idle: list[_Child] = []
        self._is_closed = False

    async def ask(
        self,
        request: bytes,
        *,
        timeout_s: float | None = None,
        on_note: Callable[[bytes], None] | None = None,
    ) -> bytes:
        """The answer to a request; one that waits for a free process waits without a limit.
        `on_note` is called with what the work says meanwhile (`children.child.tell`).

        Raises NoChild, and ChildEnded where the process was killed at a limit or died. Where the
        caller is cancelled the process is killed.
        """
        async with self._free:
            child = (
                self._idle.pop() if self._idle else await _Child.started(self._work, self._limits)
            )
            is_well = False
            try:
                async with asyncio.timeout(timeout_s):
                    answer = await child.ask(request, on_note)
                is_well = not self._is_closed
            except TimeoutError:
                raise ChildEnded(f"it was killed after {timeout_s:g} s") from None
            finally:
                if is_well:
                    self._idle.append(child)
                else:
                    await child.kill()
            return answer

    async def aclose(self) -> None:
        """End the processes that are idle; those at work end with their requests."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().kill()


class _Child:
    """One process, and the socket to it."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def started(cls, work: str, limits: Limits) -> "_Child":
        """A process that is ready for work. Raises NoChild."""
        ours, theirs = socket.socketpair()
        try:
            # On the loop's own thread: on Linux a child ends with the *thread* that has started it.
            process = _popen(work, limits, theirs)
        except OSError as exc:
            ours.close()
            raise NoChild(f"no process can be started: {exc.strerror}") from exc
        finally:
            theirs.close()
        child = cls(process, *await asyncio.open_connection(sock=ours))
        is_ready = False
        try:
            async with asyncio.timeout(START_S):
                await child._answer()
            is_ready = True
        except (ChildEnded, TimeoutError) as exc:
            raise NoChild("a new process ended before it was ready") from exc
        finally:
            if not is_ready:
                await child.kill()
        return child

    async def ask(self, request: bytes, on_note: Callable[[bytes], None] | None) -> bytes:
        try:
            self._writer.write(framed(request))
            await self._writer.drain()
        except OSError:
            raise await self._ended() from None
        return await self._answer(on_note)

    async def kill(self) -> None:
        """End it, and what it has started."""
        self._writer.transport.abort()
        with suppress(ProcessLookupError):  # it has ended by itself, and was waited for
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.shield(asyncio.to_thread(self._process.wait))

    async def _answer(self, on_note: Callable[[bytes], None] | None = None) -> bytes:
        while True:
            kind, payload = await self._frame()
            if kind != NOTE:
                return payload
            if on_note is not None:
                on_note(payload)

    async def _frame(self) -> tuple[bytes, bytes]:
        try:
            kind, length = read_head(await self._reader.readexactly(HEAD.size))
            return kind, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            raise await self._ended() from None

    async def _ended(self) -> ChildEnded:
        status = await asyncio.shield(asyncio.to_thread(self._process.wait))
        if status == -signal.SIGPROF:
            return ChildEnded("it was killed at its limit of CPU time")
        return ChildEnded(f"it ended with status {status}")


def _popen(work: str, limits: Limits, theirs: socket.socket) -> "subprocess.Popen[bytes]":
    told = Told(
        work=work,
        path=sys.path,
        parent_pid=os.getpid(),
        cpu_s=limits.cpu_s,
        memory_bytes=limits.memory_bytes,
        niceness=limits.niceness,
    )
    # A session of its own: Ctrl-C ends the worker, which ends its children when it has drained.
    return subprocess.Popen(  # noqa: S603  # our own interpreter
        (sys.executable, "-c", _START, json.dumps(told)),
        stdin=theirs.fileno(),
        start_new_session=True,
    )
