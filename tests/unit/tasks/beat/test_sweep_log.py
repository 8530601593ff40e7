"""How often the sweeper says that Redis is away."""

import asyncio
import contextlib
import logging
from types import SimpleNamespace

import pytest

from memory import MemoryUnavailable
from tasks.beat import sweep

SERVICES = SimpleNamespace(settings=SimpleNamespace(queue=SimpleNamespace(sweep_s=0.0)))


class Work:
    """Works that reach Redis in some rounds and in others not; ends the test after the last."""

    def __init__(self, rounds: str) -> None:
        self.rounds = rounds
        self.done = dict.fromkeys(("first", "second"), 0)

    async def step(self, name: str) -> None:
        """One of a work."""
        if self.done[name] == len(self.rounds):
            raise asyncio.CancelledError
        number, self.done[name] = self.done[name], self.done[name] + 1
        if self.rounds[number] == "x":
            raise MemoryUnavailable("refused")

    async def first(self, _: object) -> None:
        """A work."""
        await self.step("first")

    async def second(self, _: object) -> None:
        """Another one."""
        await self.step("second")


@pytest.mark.parametrize(("rounds", "lines"), [("xxx", 1), ("xx.x", 2), ("...", 0)])
async def test_an_outage_is_one_line_for_all_that_sweeps(
    rounds: str, lines: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Five works look at the same Redis."""
    monkeypatch.setattr(sweep, "worker_services", lambda: SERVICES)
    caplog.set_level(logging.WARNING, sweep.logger.name)
    work, away = Work(rounds), set[str]()
    repeated = [
        asyncio.ensure_future(sweep._repeat(None, one, asyncio.sleep, away))
        for one in (work.first, work.second)
    ]
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*repeated)
    assert caplog.text.count("cannot reach Redis") == lines
