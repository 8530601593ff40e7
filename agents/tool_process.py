"""What a child process does with a call of a tool: `process = true` in a profile. See `Tool`."""

import asyncio
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import TypedDict

import orjson

from agents.tool_function import Outcome, ToolContext, TypedFunction
from agents.tool_threads import result_of


class Asked(TypedDict):
    """A call, as the worker describes it."""

    path: str
    max_result_bytes: int
    arguments: dict[str, object]
    context: dict[str, object]


def answered(request: bytes) -> bytes:
    """Run one call, and tell how it has ended."""
    asked: Asked = orjson.loads(request)
    function = _function(asked["path"], asked["max_result_bytes"])
    context = ToolContext(**asked["context"])  # type: ignore[arg-type]  # as the worker has made it
    ended = function.ended(result_of(lambda: _outcome(function, asked["arguments"], context)))
    return orjson.dumps(
        {
            "content": ended.outcome.content,
            "is_error": ended.outcome.is_error,
            "trouble": ended.trouble,
        }
    )


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
