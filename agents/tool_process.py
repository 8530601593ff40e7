"""What a child process does with a call of a tool: `process = true` in a profile. See `Tool`."""

import asyncio
import pkgutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import TypedDict

import orjson

from agents.tool_function import PROGRESS_EVERY_S, Outcome, ToolContext, TypedFunction
from agents.tool_threads import result_of
from children.child import tell
from children.notes import Newest


class Asked(TypedDict):
    """A call, as the worker describes it."""

    path: str
    max_result_bytes: int
    arguments: dict[str, object]
    context: dict[str, object]


def answered(request: bytes) -> bytes:
    """Run one call, and tell how it has ended; its progress goes to the worker meanwhile."""
    asked: Asked = orjson.loads(request)
    function = _function(asked["path"], asked["max_result_bytes"])
    notes: Newest[bytes] = Newest(tell, _later, every_s=PROGRESS_EVERY_S)
    context = ToolContext(**asked["context"])  # type: ignore[arg-type]  # as the worker has made it
    context = replace(
        context, report=lambda fraction, text: notes.tell(orjson.dumps((fraction, text)))
    )
    ended = function.ended(result_of(lambda: _outcome(function, asked["arguments"], context)))
    notes.end()
    return orjson.dumps(
        {
            "content": ended.outcome.content,
            "is_error": ended.outcome.is_error,
            "trouble": ended.trouble,
        }
    )


def _later(wait_s: float, act: Callable[[], None]) -> None:
    if not wait_s:
        act()
        return
    # The function holds the thread of this process that works.
    timer = threading.Timer(wait_s, act)
    timer.daemon = True
    with suppress(RuntimeError):  # the process can start no thread now
        timer.start()


@cache
def _function(path: str, max_result_bytes: int) -> TypedFunction:
    return TypedFunction(pkgutil.resolve_name(path), max_result_bytes=max_result_bytes)


def _outcome(
    function: TypedFunction, arguments: Mapping[str, object], context: ToolContext
) -> Outcome:
    act = function.bound(arguments, context)

    async def acted() -> object:
        return await act()  # type: ignore[misc]  # it is asynchronous

    return function.outcome(asyncio.run(acted()) if function.is_async else act())
