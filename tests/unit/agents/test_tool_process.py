"""Tools that run in processes of their own, which can be killed."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from agents import Tool, ToolContext, ToolError
from tests.support.machine import scaled
from tests.support.waiting import eventually

CONTEXT = ToolContext("energy", "s", "job-1", attempt=2, call_number=3)
SECRET = "hunter2"  # noqa: S105  # the canary


def who(word: str, context: ToolContext) -> dict[str, object]:
    """Say who answers."""
    return {"pid": os.getpid(), "word": word, "job": context.job_id, "call": context.call_number}


async def who_later(word: str) -> str:
    """Say a word, later."""
    await asyncio.sleep(0)
    return f"{word} at last"


def hang(word: str) -> str:
    """Hang."""
    threading.Event().wait()
    return word


def refuse(word: str) -> str:
    """Refuse."""
    raise ToolError(f"not {word}")


def crash(word: str) -> str:
    """Crash."""
    raise ValueError(SECRET)


def end(word: str) -> str:
    """End the process."""
    sys.stdout.flush()
    os._exit(3)


@pytest.fixture
async def made() -> AsyncIterator[Callable[..., Tool]]:
    """Makes tools that run in processes, and ends them."""
    tools: list[Tool] = []

    def make(function: Callable[..., object], timeout_s: float = scaled(20)) -> Tool:
        path = f"{__name__}.{function.__name__}"
        tools.append(Tool(function, timeout_s=timeout_s, max_result_bytes=100, in_process=path))
        return tools[-1]

    yield make
    for tool in tools:
        await tool.aclose()


async def said(tool: Tool, word: object = "GH") -> tuple[str, bool]:
    """What the model reads, and whether it is an error."""
    outcome = await tool.call({"word": word}, CONTEXT)
    return outcome.content, outcome.is_error


async def test_a_tool_runs_in_a_process_of_its_own(made: Callable[..., Tool]) -> None:
    """With its context, and the same process for the next call; an asynchronous one too."""
    tool = made(who)
    first, second = (await said(tool)), (await said(tool))
    assert first == second
    assert first[0].endswith('"word":"GH","job":"job-1","call":3}')
    assert f'"pid":{os.getpid()},' not in first[0]
    assert await said(made(who_later)) == ("GH at last", False)


async def test_its_failures_read_as_those_of_any_tool(
    made: Callable[..., Tool], caplog: pytest.LogCaptureFixture
) -> None:
    """Of an exception its kind, in the log its place, and nowhere what it says."""
    assert await said(made(refuse)) == ("error: not GH", True)
    assert (await said(made(who), word=5))[0].startswith("error: wrong arguments: word: ")
    assert await said(made(crash)) == ("error: the tool failed (ValueError)", True)
    assert "tool crash failed for job job-1" in caplog.messages[-1]
    assert "test_tool_process.py:" in caplog.messages[-1]
    assert SECRET not in caplog.text
    assert await said(made(end)) == ("error: the tool failed (ChildEnded)", True)


async def test_one_that_hangs_is_killed_and_keeps_nothing(
    made: Callable[..., Tool], caplog: pytest.LogCaptureFixture
) -> None:
    """More often than there are processes for it: each call costs its own time alone."""
    tool = made(who)
    await said(tool)
    hanging = made(hang, timeout_s=scaled(0.3))
    calls = await asyncio.gather(*(said(hanging) for _ in range(6)))
    assert all(content.startswith("error: no result within") for content, _ in calls)
    assert "its process is killed" in caplog.messages[-1]
    await eventually(lambda: not hanging.hanging, what="no thread is kept")
    assert not (await said(tool))[1]
