"""How long callbacks hold a worker's event loop: `celery … -I tests.support.faults.loop_watch`.

The worker then runs on asyncio's own loop, whose callbacks can be measured; it writes the slowest
one into the file that GRIOT_LOOP_WATCH names.
"""

import asyncio
import os
import time
from pathlib import Path

import uvloop

VARIABLE = "GRIOT_LOOP_WATCH"


def slowest_of_worker(report: Path) -> tuple[float, str]:
    """The most CPU seconds of its thread that a callback of the worker took, and which it was."""
    if not report.exists():
        return 0.0, "none"
    seconds, _, what = report.read_text().partition(" ")
    return float(seconds), what


def _watch(report: Path) -> None:
    run, slowest_s = asyncio.Handle._run, 0.0

    def measured(handle: asyncio.Handle) -> None:
        nonlocal slowest_s
        began_s = time.thread_time()
        try:
            run(handle)
        finally:
            took_s = time.thread_time() - began_s
            if took_s > slowest_s:
                slowest_s = took_s
                written = report.with_suffix(".new")
                written.write_text(f"{took_s:.4f} {handle!r}")
                written.rename(report)

    asyncio.Handle._run = measured  # type: ignore[method-assign]  # there is no hook for it
    vars(uvloop)["new_event_loop"] = asyncio.new_event_loop


if VARIABLE in os.environ:
    _watch(Path(os.environ[VARIABLE]))
