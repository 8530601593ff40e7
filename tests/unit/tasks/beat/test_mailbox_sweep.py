"""What the sweeper does with work that fails in a way nobody foresaw."""

import logging

import pytest

from memory import MemoryUnavailable
from tasks.beat.mailbox_sweep import guarded


async def fail(error: Exception) -> str:
    """Work that raises."""
    raise error


async def succeed() -> str:
    """Work that has a result."""
    return "WOKEN"


async def test_work_that_fails_is_logged_with_its_traceback_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The other mailboxes go on, and an operator sees where it went wrong."""
    with caplog.at_level(logging.ERROR):
        assert await guarded(fail(ZeroDivisionError("by nought")), "sweep one mailbox") is None
    assert "cannot sweep one mailbox" in caplog.text
    assert "ZeroDivisionError: by nought" in caplog.text
    assert "in fail" in caplog.text


async def test_a_redis_that_is_away_is_no_fault_of_the_work() -> None:
    """It is away for all mailboxes: the sweep ends, and the next one tries again."""
    with pytest.raises(MemoryUnavailable):
        await guarded(fail(MemoryUnavailable("away")), "sweep one mailbox")


async def test_a_result_is_handed_on() -> None:
    """As it is."""
    assert await guarded(succeed(), "sweep one mailbox") == "WOKEN"
