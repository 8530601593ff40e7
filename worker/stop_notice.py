"""Telling the processes of Celery's prefork pool that their worker stops.

Each of them holds the leases of its own turns, and Celery only waits for them. They wait at the end
of a pipe whose other end their worker holds: it is closed when the worker stops, and when it dies.
"""

import asyncio
import os


class StopNotice:
    """Made before a worker forks; `give` is for the worker, `arrived` for each of its processes."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()

    def give(self) -> None:
        """Say that the worker stops. Safe to repeat."""
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    async def arrived(self) -> None:
        """Return when the worker stops; called once in a forked process."""
        # Its copy of the end to write to would keep the pipe open.
        self.give()
        loop, closed = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._read_end, closed.set)
        try:
            await closed.wait()
        finally:
            loop.remove_reader(self._read_end)
