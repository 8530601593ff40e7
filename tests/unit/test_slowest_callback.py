"""The helper that measures callbacks."""

import asyncio
import threading
import time

from tests.support.slowest_callback import slowest_callback


def spin(cpu_s: float) -> None:
    """Use the CPU."""
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


async def test_the_dearest_callback_is_found_and_named() -> None:
    """A step of a task, a plain callback; what only waits costs nothing."""

    async def dear() -> None:
        await asyncio.sleep(0)
        spin(0.03)
        await asyncio.sleep(0)

    with slowest_callback() as slowest:
        await asyncio.gather(dear(), asyncio.to_thread(threading.Event().wait, 0.05))
    assert 0.03 <= slowest.cpu_s < 0.06
    assert "dear" in slowest.what
    with slowest_callback() as slowest:
        asyncio.get_running_loop().call_soon(spin, 0.02)
        await asyncio.to_thread(spin, 0.1)
    assert 0.02 <= slowest.cpu_s < 0.05
    assert slowest.what == "spin"
    assert slowest.count >= 2
