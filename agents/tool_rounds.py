"""The rounds of one turn in which the model calls tools, before it answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import orjson
from pydantic import JsonValue

from agents.calls_in_text import calls_in
from agents.client_functions import ClientCalls, ClientFunction, identified
from agents.tool_function import (
    MAX_ARGUMENTS_BYTES,
    PROGRESS_EVERY_S,
    Outcome,
    ToolContext,
    within,
)
from agents.tool_span import traced_tool
from agents.tools import Tool
from children.notes import Newest
from llm import ModelReply, ToolCall
from telemetry.labels import OTHER, TOOLS
from telemetry.metrics import TOOL

MAX_CALLS_PER_ROUND = 16
"""Of more calls in one answer the rest are dropped; the model may make them in the next round."""
MAX_NAME_CHARS = 64
SHORT_BYTES = 256
"""A result of so many bytes is not cut, however small the window."""

_CANCELLED = Outcome("error: cancelled before it ended", is_error=True)
_MISFIT = Outcome("error: the arguments do not fit the function's parameters", is_error=True)
_UNREADABLE = Outcome(
    f"error: the arguments are not a JSON object of at most {MAX_ARGUMENTS_BYTES} bytes",
    is_error=True,
)


@dataclass(frozen=True, slots=True)
class ToolEvent:
    """A call of a tool that begins (`outcome` is None) or has ended, in `ms` milliseconds."""

    number: int
    name: str
    arguments: Mapping[str, object] = field(repr=False)
    outcome: Outcome | None = None
    ms: float = 0.0

    @property
    def data(self) -> dict[str, JsonValue]:
        """What followers are sent: arguments at the beginning, the result at the end."""
        data: dict[str, JsonValue] = {"call": self.number, "name": self.name}
        if self.outcome is None:
            return {**data, "arguments": dict(self.arguments)}  # type: ignore[arg-type]  # they were read from JSON
        ended: dict[str, JsonValue] = {
            "result": self.outcome.content,
            "is_error": self.outcome.is_error,
            "ms": round(self.ms, 1),
        }
        return data | ended


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """How far a call of a tool is: `fraction` from 0 to 1, None where it does not say; and `text`,
    what it does now."""

    number: int
    name: str
    fraction: float | None
    text: str = field(repr=False)

    @property
    def data(self) -> dict[str, JsonValue]:
        """What followers are sent."""
        said: dict[str, JsonValue] = {"fraction": self.fraction, "text": self.text}
        return {"call": self.number, "name": self.name, **said}


@dataclass(frozen=True, slots=True)
class ClientSide:
    """What a model may call besides its agent's tools: functions that whoever asks runs. `fits`
    says whether arguments fit a schema; `most_calls` are taken of one answer."""

    fits: Callable[[Mapping[str, JsonValue], Mapping[str, object]], Awaitable[bool]]
    functions: Sequence[ClientFunction] = ()
    most_calls: int = MAX_CALLS_PER_ROUND


class ToolRounds:
    """Runs what the model calls, one call after the other, and keeps it as messages.

    After `max_rounds` rounds the model is offered no tools any more, so that it answers. `on_event`
    is called for each call as it begins and as it ends, `on_progress` with what its tool says
    between the two, at most once in PROGRESS_EVERY_S. With `reads_text` an answer that is nothing
    but calls written as JSON counts as these calls.

    Calls of functions of the `client` end the turn: `called` has them then. Calls of tools in the
    same answer have been run before.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        context: ToolContext,
        *,
        max_rounds: int,
        on_event: Callable[[ToolEvent], None],
        on_progress: Callable[[ToolProgress], None] = lambda _: None,
        reads_text: bool = False,
        client: ClientSide | None = None,
    ) -> None:
        self.called: ClientCalls | None = None
        self._reads_text = reads_text
        self._tools = {tool.name: tool for tool in tools}
        self._client = client
        functions = client.functions if client is not None else ()
        self._functions = {function.name: function for function in functions}
        self._most_calls = client.most_calls if client is not None else MAX_CALLS_PER_ROUND
        self._context = context
        self._rounds_left = max_rounds if tools or functions else 0
        self._on_event = on_event
        self._on_progress = on_progress
        self._steps: list[dict[str, object]] = []
        self._unanswered: list[ToolCall] = []
        self._calls = 0

    @property
    def steps(self) -> list[dict[str, object]]:
        """What happened between the user's message and the reply, as messages of /api/chat.

        Every call has its result: one that was cut short says that it was cancelled.
        """
        missing = [_result_message(call, _CANCELLED) for call in self._unanswered]
        return [*self._steps, *missing]

    @property
    def offered(self) -> tuple[Mapping[str, JsonValue], ...]:
        """The tools that the model may call now, as /api/chat describes them."""
        if not self._rounds_left:
            return ()
        return tuple(one.definition for one in (*self._tools.values(), *self._functions.values()))

    def shorten(self) -> bool:
        """Cut the longest results of this turn to half. False where they are all short.

        For a turn that is too long for its model's window.
        """
        # All to half of the longest: those that are short already stay whole.
        results = [step for step in self._steps if step["role"] == "tool"]
        longest = max((len(str(step["content"]).encode()) for step in results), default=0)
        if longest <= SHORT_BYTES:
            return False
        for step in results:
            step["content"] = within(str(step["content"]), longest // 2)
        return True

    async def run_tool_calls(self, answer: ModelReply) -> bool:
        """Run the calls of an answer. Whether there were any, and the model is to be asked again:
        not so where the turn ends with calls of the client's functions.

        Where no tools were offered, calls are passed over: the answer's text is the reply.
        """
        if self._rounds_left and self._reads_text and not answer.tool_calls:
            written = calls_in(answer.text, {**self._tools, **self._functions})
            answer = replace(answer, text="", tool_calls=written) if written else answer
        if not self._rounds_left or not answer.tool_calls:
            return False
        self._rounds_left -= 1  # at 0 no tools are offered, and the model must answer
        calls = [_recorded(call) for call in answer.tool_calls[: self._most_calls]]
        is_outward = [is_whole and await self._is_clients(call) for call, is_whole in calls]
        outward = [call for (call, _), is_out in zip(calls, is_outward, strict=True) if is_out]
        inward = [one for one, is_out in zip(calls, is_outward, strict=True) if not is_out]
        if outward:
            # They stand behind what was run here, so that the reply is the last of its turn.
            self.called = ClientCalls(answer.text, [identified(call) for call in outward])
            answer = replace(answer, text="")
        if inward:
            await self._run(answer, inward)
        return not outward

    async def _is_clients(self, call: ToolCall) -> bool:
        """Whether a call goes to the client: one that it would have to refuse does not."""
        function = self._functions.get(call.name)
        if function is None or self._client is None:
            return False
        schema = function.arguments_fit
        return schema is None or await self._client.fits(schema, call.arguments)

    async def _run(self, answer: ModelReply, calls: Sequence[tuple[ToolCall, bool]]) -> None:
        self._steps.append(_call_message(answer, [call for call, _ in calls]))
        self._unanswered = [call for call, _ in calls]
        # "book" and "cancel" in one breath mean an order: docs/decisions.md, "Tools run one after
        # the other, and an error shows its kind only".
        for call, is_whole in calls:
            outcome = await self._called(call, is_whole=is_whole)
            self._unanswered.pop(0)
            self._steps.append(_result_message(call, outcome))

    async def _called(self, call: ToolCall, *, is_whole: bool) -> Outcome:
        if call.name in self._functions:
            # It was not called: nobody is told of it but the model, which may do better.
            return _MISFIT if is_whole else _UNREADABLE
        self._calls += 1
        began = ToolEvent(self._calls, call.name, call.arguments)
        began_at = time.monotonic()
        self._on_event(began)
        # The name of a tool that there is not is the model's own words.
        known = call.name if call.name in self._tools else OTHER
        with traced_tool(known, call) as span:
            outcome = await self._outcome(call, is_whole=is_whole)
            span.ended(outcome)
        took_s = time.monotonic() - began_at
        name = TOOLS.label(call.name) if known is not OTHER else OTHER
        TOOL.labels(name, "tool_error" if outcome.is_error else "").observe(took_s)
        self._on_event(replace(began, outcome=outcome, ms=took_s * 1000))
        return outcome

    async def _outcome(self, call: ToolCall, *, is_whole: bool) -> Outcome:
        tool = self._tools.get(call.name)
        if tool is None:
            # The model made the name up: it reads which there are, and may try again.
            known = ", ".join((*self._tools, *self._functions))
            return Outcome(f"error: there is no such tool; there are: {known}", is_error=True)
        if not is_whole:
            return _UNREADABLE
        number, loop = self._calls, asyncio.get_running_loop()

        def later(wait_s: float, act: Callable[[], None]) -> None:
            with suppress(RuntimeError):  # the loop is closed: the process ends
                loop.call_soon_threadsafe(loop.call_later, wait_s, act)

        progress: Newest[ToolProgress] = Newest(self._on_progress, later, every_s=PROGRESS_EVERY_S)
        context = replace(
            self._context,
            call_number=number,
            report=lambda *said: progress.tell(ToolProgress(number, tool.name, *said)),
        )
        try:
            return await tool.call(call.arguments, context)
        finally:
            progress.end()


def _recorded(call: ToolCall) -> tuple[ToolCall, bool]:
    """A call as it can be kept, and whether that is all of it: only then may it be run."""
    call = replace(call, name=call.name[:MAX_NAME_CHARS])
    try:
        # As deep as it will lie in a request: what cannot be sent must not be run.
        packed = orjson.dumps({"messages": [{"tool_calls": [_as_sent(call)]}]})
        is_whole = call.is_readable and len(packed) <= MAX_ARGUMENTS_BYTES
    # orjson refuses what is nested too deep, here as in the request.
    except TypeError:
        is_whole = False
    # Without its arguments: a prompt that has them could not be sent, or would be full of them.
    return (call if is_whole else replace(call, arguments={})), is_whole


def _call_message(answer: ModelReply, calls: Sequence[ToolCall]) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": answer.text}
    if answer.thinking:
        message["thinking"] = answer.thinking
    return message | {"tool_calls": [_as_sent(call) for call in calls]}


def _as_sent(call: ToolCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": dict(call.arguments)}
    return {"function": function} if call.id is None else {"id": call.id, "function": function}


def _result_message(call: ToolCall, outcome: Outcome) -> dict[str, object]:
    message: dict[str, object] = {
        "role": "tool",
        "content": outcome.content,
        "tool_name": call.name,
    }
    return message if call.id is None else message | {"tool_call_id": call.id}
