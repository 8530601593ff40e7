"""What a tool says of its call while it runs: from the loop, from threads and from processes."""

import asyncio
import math
import threading
from collections.abc import Callable
from decimal import Decimal

import pytest

from agents import Tool, ToolContext, ToolEvent, ToolRounds
from agents.tool_function import MAX_PROGRESS_CHARS, PROGRESS_EVERY_S
from agents.tool_rounds import ToolProgress
from llm import Final, ModelReply, ToolCall
from tests.support.machine import scaled
from tests.support.waiting import elapsed, eventually, wait_until

LATE = threading.Event()
"""Set once the call of `speak_late` is over."""
SPOKEN = threading.Event()


async def read_pages(pages: int, context: ToolContext) -> str:
    """Read pages, and say so."""
    for page in range(pages):
        context.progress(page / pages, f"page {page}")
        await asyncio.sleep(0)
    await eventually(elapsed(1.5 * PROGRESS_EVERY_S), what="the last is due")
    return "read"


def count_pages(pages: int, context: ToolContext) -> str:
    """Count pages, and say so."""
    for page in range(pages):
        context.progress(page / pages, f"page {page}")
    wait_until(elapsed(1.5 * PROGRESS_EVERY_S), what="the last is due")
    return "read"


def hurry(pages: int, context: ToolContext) -> str:
    """Say more than can be told before it ends; without pages nothing, for a while."""
    for page in range(pages):
        context.progress(text=f"page {page}")
    if not pages:
        wait_until(elapsed(1.5 * PROGRESS_EVERY_S), what="what was said before is due")
    return "read"


async def speak_late(pages: int, context: ToolContext) -> str:
    """Speak once the call has ended."""

    def speak() -> None:
        LATE.wait(scaled(10))
        context.progress(1.0, "too late")
        SPOKEN.set()

    threading.Thread(target=speak, daemon=True).start()
    return "read"


async def told_by(
    function: Callable[..., object], *pages: int, in_process: bool = False
) -> list[ToolEvent | ToolProgress]:
    """All that a turn is told of these calls, one after the other."""
    path = f"{__name__}.{function.__name__}" if in_process else None
    tool = Tool(function, timeout_s=scaled(30), max_result_bytes=1000, in_process=path)
    told: list[ToolEvent | ToolProgress] = []
    turn = ToolRounds(
        [tool],
        ToolContext("energy", "s", "job-1", attempt=1),
        max_rounds=3,
        on_event=told.append,
        on_progress=told.append,
    )
    calls = tuple(ToolCall(function.__name__, {"pages": number}) for number in pages)
    try:
        await turn.run_tool_calls(
            ModelReply("", Final(model="m", done_reason="stop"), tool_calls=calls)
        )
    finally:
        await tool.aclose()
    return told


@pytest.mark.parametrize(
    ("function", "in_process"),
    [(read_pages, False), (count_pages, False), (read_pages, True), (count_pages, True)],
)
async def test_the_first_and_the_last_are_told_of_many(
    function: Callable[..., object], in_process: bool
) -> None:
    """A call that says much says it at most twice a second, between its beginning and its end."""
    began, *between, ended = await told_by(function, 10_000, in_process=in_process)
    assert isinstance(began, ToolEvent)
    assert isinstance(ended, ToolEvent)
    assert ended.outcome is not None
    assert ended.outcome.content == "read"
    progress = [one for one in between if isinstance(one, ToolProgress)]
    assert 1 <= len(progress) <= 2 + ended.ms / 1000 / PROGRESS_EVERY_S
    assert progress[-1].data == {
        "call": 1, "name": function.__name__, "fraction": 1.0, "text": "page 9999",
    }  # fmt: skip


async def test_what_a_process_has_not_told_in_time_is_not_told_of_its_next_call() -> None:
    """It has ended with its call."""
    told = await told_by(hurry, 2, 0, in_process=True)
    progress = [one for one in told if isinstance(one, ToolProgress)]
    assert {one.number for one in progress} <= {1}
    assert {one.text for one in progress} <= {"page 0"}


async def test_what_comes_after_the_end_of_a_call_is_dropped() -> None:
    """The event that the call has ended is its last."""
    told = await told_by(speak_late, 1)
    LATE.set()
    assert await asyncio.to_thread(SPOKEN.wait, scaled(10))
    for _ in range(5):  # the loop's way from a thread to what it does later
        await asyncio.sleep(0)
    assert [type(one) for one in told] == [ToolEvent, ToolEvent]


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [
        (0.12345, 0.123), (-3, 0.0), (7, 1.0), (10**400, 1.0), (-(10**400), 0.0), (math.inf, 1.0),
        (True, 1.0), (math.nan, None), (None, None), ("0.4", None), (Decimal("0.4"), None),
    ],
)  # fmt: skip
def test_a_fraction_is_checked_and_never_an_error(fraction: object, shown: float | None) -> None:
    """The tool goes on, whatever it has said."""
    said: list[object] = []
    context = ToolContext("a", "s", "j", 1, report=lambda *what: said.append(what))
    context.progress(fraction)  # type: ignore[arg-type]  # what a tool may give
    assert said == [(shown, "")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("reading page 3", "reading page 3"),
        ("  two\nlines\x1b[31m ", "two lines [31m"),
        ("x" * 100_000, "x" * MAX_PROGRESS_CHARS),
        ("half \ud800", "half ?"),
        (b"bytes", ""),
        (None, ""),
    ],
)
def test_a_text_is_cut_to_one_short_line(text: object, shown: str) -> None:
    """Of what a terminal would obey nothing is left."""
    said: list[object] = []
    context = ToolContext("a", "s", "j", 1, report=lambda *what: said.append(what))
    context.progress(text=text)  # type: ignore[arg-type]  # what a tool may give
    assert said == [(None, shown)]


def test_a_context_of_a_test_says_it_to_nobody() -> None:
    """Functions are tested without a worker."""
    ToolContext("a", "s", "j", 1).progress(0.5, "half")
