"""How late the event loop of all turns is, and what held it.

The loop notes how much later than planned its own timer comes. A thread looks on: where the timer
is overdue it notes what the loop's thread is doing, and when the timer has come it says so in the
log, by file, line and function alone, for values may be somebody's words.

Where nobody waits for the loop both look seldom, until the next turn begins: they were most of what
an idle worker did.
"""

import asyncio
import atexit
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from types import FrameType

from tasks.process.per_process import PerProcess

logger = logging.getLogger(__name__)

TICK_S = 0.1
"""The loop's own timer. With 0.05 s, here and below, an idle worker used twice the CPU."""
LOOK_S = 0.2
"""The thread's: a callback that takes HELD_S and a tick is overdue for as long at least."""
IDLE_S = 1.0
"""Both, once the loop was idle for as long."""
OVERDUE_S = 0.05
KEPT_S = 10.0
HELD_S = 0.25
"""A callback that makes the timer as late is told."""
BLOCKED_S = 1.0
"""One that takes as long is told though it used no CPU: it waits, or the machine is busy."""
TOLD_EVERY_S = 10.0
MOST_FRAMES = 8


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of the last KEPT_S seconds, milliseconds."""

    max_ms: float = 0.0
    p99_ms: float = 0.0


class HoldReport:
    """Tells the log what has held the loop, once in TOLD_EVERY_S at most; others are counted."""

    def __init__(self) -> None:
        self._told_at_s = -TOLD_EVERY_S
        self._left_out = 0

    def tell(self, late_s: float, cpu_s: float, where: str, now_s: float) -> None:
        """The loop was late by `late_s`, of which it ran for `cpu_s`; `where` is "" where nothing
        ran on it: then the machine is busy, and nobody here can help it."""
        if late_s < HELD_S or not where or (cpu_s < late_s / 2 and late_s < BLOCKED_S):
            return
        if now_s - self._told_at_s < TOLD_EVERY_S:
            self._left_out += 1
            return
        logger.warning(
            "the event loop was blocked for %.2f s (%.2f s of it CPU time) by %s; all turns "
            "of this worker waited: move that code to a thread or a process (%d more since "
            "the last report)",
            late_s,
            cpu_s,
            where,
            self._left_out,
        )
        self._told_at_s, self._left_out = now_s, 0


class LoopWatch:
    """Watches the loop that it is started on, until the process ends."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque(maxlen=round(KEPT_S / TICK_S))
        self._due_s = self._busy_s = time.monotonic()
        self._is_idle: Callable[[], bool] = lambda: False
        self._timer: asyncio.TimerHandle | None = None
        self._cpu_s = 0.0
        self._held_at = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0
        self._report = HoldReport()
        self._is_over = threading.Event()
        self._is_hurried = threading.Event()

    async def start(self, is_idle: Callable[[], bool] = lambda: False) -> None:
        """Begin, once; to be run on the loop. `is_idle` says whether nobody waits for it; `hurry`
        is to be called when that ends."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._thread_id, self._cpu_s = threading.get_ident(), time.thread_time()
        self._is_idle = is_idle
        self._plan(self._loop)
        thread = threading.Thread(target=self._look_on, name="griot-loop-watch", daemon=True)
        thread.start()
        # The runtime stops the loop at the end; nobody is to be told that it is late then.
        atexit.register(self._end, thread)

    def _end(self, thread: threading.Thread) -> None:
        self._is_over.set()
        self._is_hurried.set()
        thread.join()

    def hurry(self) -> None:
        """Look often again; to be called on the loop."""
        if self._loop is not None and self._is_resting:
            self._busy_s = time.monotonic()
            if self._timer is not None:
                self._timer.cancel()
            self._plan(self._loop)
            self._is_hurried.set()

    def seen(self) -> Lateness:
        """How late the loop was lately; from any thread."""
        now_s = time.monotonic()
        late_s = [late_s for at_s, late_s in self._late.copy() if now_s - at_s <= KEPT_S]
        ordered = sorted((*late_s, max(0.0, now_s - self._due_s)))
        return Lateness(
            max_ms=round(ordered[-1] * 1000, 1),
            p99_ms=round(ordered[-(len(ordered) // 100) - 1] * 1000, 1),
        )

    @property
    def _is_resting(self) -> bool:
        return time.monotonic() - self._busy_s >= IDLE_S

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        pause_s = IDLE_S if self._is_resting else TICK_S
        self._due_s = time.monotonic() + pause_s
        self._timer = loop.call_later(pause_s, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        cpu_s, now_s = time.thread_time(), time.monotonic()
        late_s = max(0.0, now_s - self._due_s)
        self._late.append((now_s, late_s))
        if not self._is_idle():
            self._busy_s = now_s
        # Told here, where the figures are those of this delay: the thread may come too late.
        self._report.tell(late_s, cpu_s - self._cpu_s, self._held_at, now_s)
        self._held_at, self._cpu_s = "", cpu_s
        self._plan(loop)

    def _look_on(self) -> None:
        while not self._is_over.is_set():
            if self._is_hurried.wait(IDLE_S if self._is_resting else LOOK_S):
                self._is_hurried.clear()
            # C code that keeps the interpreter's lock keeps this thread, too: then it looks right
            # after, and mostly sees the line that called it.
            elif time.monotonic() - self._due_s >= OVERDUE_S and not self._held_at:
                self._held_at = self._where()

    def _where(self) -> str:
        """The task that runs, and where; "" while the loop itself waits for its turn."""
        task = asyncio.current_task(self._loop)
        places = _places(sys._current_frames().get(self._thread_id))
        if not places:
            return ""
        coroutine = "" if task is None else getattr(task.get_coro(), "__qualname__", "")
        name = "a callback" if task is None else f"{task.get_name()} ({coroutine})"
        return f"{name} at {' < '.join(places)}"


def _places(frame: FrameType | None) -> list[str]:
    """Where a thread is, the innermost call first, without what runs the loop."""
    places: list[str] = []
    while frame is not None and len(places) < MOST_FRAMES:
        path = PurePath(frame.f_code.co_filename)
        if path.parent.name not in ("asyncio", "") and path.name != "threading.py":
            short = "/".join(path.parts[-3:])
            places.append(f"{short}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return places


loop_watch = PerProcess(LoopWatch)
"""The watch of this process's event loop."""
