"""Calling a function for a model, within its time: in a thread, on the loop or in a process."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace

import orjson

from agents.errors import ToolError
from agents.tool_function import CallEnd, Outcome, ToolContext, ToolFunction, TypedFunction
from agents.tool_threads import CallResult, ToolThreads
from children.errors import ChildError
from children.pool import Children, Limits
from memory.ids import shown_id

logger = logging.getLogger(__name__)

MAX_PROCESSES = 4
"""Of one tool that runs in processes; further calls wait, within their own time."""
PROCESS = "agents.tool_process:answered"


class Tool:
    """One function with typed parameters. InvalidTool where it cannot be one.

    Its parameters have annotations that pydantic knows, its docstring is what the model reads. It
    may be asynchronous, or an ordinary function, which then runs in a thread. What it returns is
    text, or anything that pydantic can write as JSON.
    """

    def __init__(
        self,
        function: ToolFunction,
        *,
        timeout_s: float,
        max_result_bytes: int,
        in_process: str | None = None,
        threads: ToolThreads | None = None,
    ) -> None:
        """With `in_process`, the function's dotted path, it runs in child processes."""
        self._function = TypedFunction(function, max_result_bytes=max_result_bytes)
        self.name, self.definition = self._function.name, self._function.definition
        self._timeout_s = timeout_s
        self._max_result_bytes = max_result_bytes
        # Of its own: one that hangs takes no thread from any other.
        self._threads = threads or ToolThreads()
        self._path = in_process
        self._processes = Children(PROCESS, most=MAX_PROCESSES, limits=Limits())

    @property
    def hanging(self) -> int:
        """How many of its calls were given up and still keep a thread."""
        return self._threads.hanging

    async def aclose(self) -> None:
        """End its processes, if it has any."""
        await self._processes.aclose()

    async def call(self, arguments: Mapping[str, object], context: ToolContext) -> Outcome:
        """Call the function with what the model gave; every failure is an outcome too.

        Of an error the model reads the kind alone, unless it is a ToolError. A function that takes
        too long is cancelled, and its process is killed; a thread cannot be, and is left to itself.
        """
        work = asyncio.ensure_future(self._run(arguments, context))
        work.add_done_callback(_look_at)
        # Not `asyncio.timeout`: a function that does not obey its cancel would hold the turn.
        try:
            await asyncio.wait((work,), timeout=self._timeout_s)
        finally:
            work.cancel()
        if not work.done():
            # Its thread learns of the cancel first, and is counted.
            await asyncio.sleep(0)
            return self._too_late(context)
        ended = self._ended(work)
        if ended.trouble is not None:
            logger.warning(
                "tool %s failed for job %s; the model is told so: %s",
                self.name,
                shown_id(context.job_id),
                ended.trouble,
            )
        return ended.outcome

    def _too_late(self, context: ToolContext) -> Outcome:
        logger.warning(
            "tool %s gave no result within %g s for job %s; the model is told so: %s",
            self.name,
            self._timeout_s,
            shown_id(context.job_id),
            self._left_behind(),
        )
        return Outcome(f"error: no result within {self._timeout_s:g} s", is_error=True)

    def _left_behind(self) -> str:
        """What has become of a call that was given up."""
        if self._path is not None:
            return "its process is killed"
        if self._function.is_async:
            return "it is cancelled"
        return (
            f"{self.hanging} of the {self._threads.most} threads of this tool hang; when all "
            "do, it is not called any more; set `process = true` in the profile, so that it "
            "can be killed"
        )

    async def _run(self, arguments: Mapping[str, object], context: ToolContext) -> CallResult:
        """How the call has ended, its value being an Outcome or an CallEnd."""
        if self._path is not None:
            return await self._run_in_process(self._path, arguments, context)
        function = self._function
        try:
            act = function.bound(arguments, context)
            if not function.is_async:
                return await self._threads.run(lambda: function.outcome(act()))
            return CallResult(function.outcome(await act()))  # type: ignore[misc]  # it is asynchronous
        except ToolError as exc:
            return CallResult(error=exc)
        except (SystemExit, KeyboardInterrupt) as exc:  # asyncio would end the loop of all turns
            return CallResult(error=exc)

    async def _run_in_process(
        self, path: str, arguments: Mapping[str, object], context: ToolContext
    ) -> CallResult:
        asked = {"path": path, "max_result_bytes": self._max_result_bytes}
        told = asdict(replace(context, report=None))
        request = {**asked, "arguments": dict(arguments), "context": told}
        try:
            answer = orjson.loads(
                await self._processes.ask(
                    orjson.dumps(request),
                    on_note=lambda note: context.progress(*orjson.loads(note)),
                )
            )
        except ChildError as exc:
            return CallResult(error=exc)
        return CallResult(
            CallEnd(Outcome(answer["content"], answer["is_error"]), answer["trouble"])
        )

    def _ended(self, work: "asyncio.Future[CallResult]") -> CallEnd:
        if work.cancelled():
            return CallEnd(Outcome("error: the tool was cancelled", is_error=True))
        failed = work.exception()
        how = CallResult(error=failed) if failed is not None else work.result()
        return how.value if isinstance(how.value, CallEnd) else self._function.ended(how)


def _look_at(work: "asyncio.Future[CallResult]") -> None:
    """Take notice of an error that comes too late: asyncio would log it, text and all."""
    if not work.cancelled():
        work.exception()
