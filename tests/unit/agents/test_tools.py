"""A Python function as a tool: what the model is told, what it may give, what it gets back."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field

from agents import Tool, ToolContext, ToolError
from agents.errors import InvalidTool
from agents.tool_threads import ToolThreads
from tests.support.machine import scaled
from tests.support.waiting import eventually

SECRET = "what nobody may read in a log"  # noqa: S105  # text of a conversation
CONTEXT = ToolContext("energy", "s", "job-1", attempt=2, call_number=1)


class Unit(StrEnum):
    """An enumeration as an annotation."""

    MW = "MW"
    KW = "kW"


class Place(BaseModel):
    """A model as an annotation."""

    country: str
    city: str = ""


def tool(function: Callable[..., object], **limits: float) -> Tool:
    """With limits that a test need not wait for."""
    timeout_s = limits.get("timeout_s", 5.0)
    return Tool(function, timeout_s=timeout_s, max_result_bytes=int(limits.get("max_bytes", 1000)))


def limited(function: Callable[..., object], threads: ToolThreads, timeout_s: float = 5.0) -> Tool:
    """A tool with these threads."""
    return Tool(function, timeout_s=timeout_s, max_result_bytes=1000, threads=threads)


async def outcome(
    function: Callable[..., object], arguments: dict[str, object] | None = None, **limits: float
) -> tuple[str, bool]:
    """What the model gets, and whether it is an error."""
    called = await tool(function, **limits).call(arguments or {}, CONTEXT)
    return called.content, called.is_error


def capacity(
    country: Annotated[str, Field(description="ISO code", min_length=2, max_length=2)],
    year: int = 2030,
    unit: Literal["MW", "kW"] = "MW",
) -> str:
    """Installed capacity of a country.

    From the regional plan.
    """
    return f"{country} {year} {unit}"


def test_the_model_is_told_name_docstring_and_parameters() -> None:
    """As /api/chat wants tools; no titles, which cost tokens."""
    assert tool(capacity).definition == {
        "type": "function",
        "function": {
            "name": "capacity",
            "description": "Installed capacity of a country.\n\nFrom the regional plan.",
            "parameters": {
                "type": "object",
                "properties": {
                    "country": {
                        "type": "string",
                        "description": "ISO code (at least 2 characters; at most 2 characters)",
                        "minLength": 2,
                        "maxLength": 2,
                    },
                    "year": {"type": "integer", "default": 2030, "description": "default 2030"},
                    "unit": {
                        "type": "string",
                        "enum": ["MW", "kW"],
                        "default": "MW",
                        "description": "default MW",
                    },
                },
                "required": ["country"],
                "additionalProperties": False,
            },
        },
    }


def test_what_is_named_elsewhere_is_written_out() -> None:
    """Ollama drops a reference, and with it all that the model is told of a parameter."""

    def route(
        start: Place, stops: list[Place], unit: Annotated[Unit, Field(description="of power")]
    ) -> str:
        """Plan."""
        return f"{start}{stops}{unit}"

    place = {
        "description": "A model as an annotation.",
        "type": "object",
        "properties": {
            "country": {"type": "string"},
            "city": {"type": "string", "default": "", "description": 'default ""'},
        },
        "required": ["country"],
    }
    function = tool(route).definition["function"]
    assert isinstance(function, dict)
    assert function["parameters"] == {
        "type": "object",
        "properties": {
            "start": place,
            "stops": {"type": "array", "items": place},
            "unit": {"type": "string", "enum": ["MW", "kW"], "description": "of power"},
        },
        "required": ["start", "stops", "unit"],
        "additionalProperties": False,
    }


async def test_only_what_the_model_gives_is_handed_over() -> None:
    """The function's own defaults stand."""
    assert await outcome(capacity, {"country": "GH"}) == ("GH 2030 MW", False)
    given_all = {"country": "GH", "year": 2025, "unit": "kW"}
    assert await outcome(capacity, given_all) == ("GH 2025 kW", False)


async def test_arguments_come_as_their_annotations_say() -> None:
    """Models, dates and enumerations; names that pydantic's models have themselves."""

    def describe(place: Place, day: date, unit: Unit, copy: bool, model_config: list[int]) -> str:
        """Describe."""
        return f"{place.city} {day:%j} {unit!r} {copy} {sum(model_config)}"

    arguments: dict[str, object] = {
        "place": {"country": "GH", "city": "Accra"},
        "day": "2026-02-01",
        "unit": "kW",
        "copy": True,
        "model_config": [1, 2],
    }
    assert await outcome(describe, arguments) == (f"Accra 032 {Unit.KW!r} True 3", False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "country: Field required"),
        ({"country": "Ghana"}, "country: String should have at most 2"),
        ({"country": "GH", "year": "soon"}, "year: Input should be a valid integer"),
        ({"country": "GH", "unit": "GW"}, "unit: Input should be 'MW' or 'kW'"),
        ({"country": "GH", "context": {}}, "context: Extra inputs"),
        ({"country": None}, "country: Input should be a valid string"),
    ],
)
async def test_wrong_arguments_call_nothing_and_are_told(
    arguments: dict[str, object], told: str
) -> None:
    """So that the model can mend them."""
    content, is_error = await outcome(capacity, arguments)
    assert content.startswith("error: wrong arguments: ")
    assert told in content
    assert is_error


def must_be_known(word: str) -> str:
    """A validator of an operator's, with a fault."""
    return {"known": word}[word]


async def test_a_fault_in_a_validator_is_an_error_of_the_tool() -> None:
    """The turn goes on."""

    def say(word: Annotated[str, AfterValidator(must_be_known)]) -> str:
        """Say."""
        return word

    assert await outcome(say, {"word": "known"}) == ("known", False)
    assert await outcome(say, {"word": SECRET}) == ("error: the tool failed (KeyError)", True)


@pytest.mark.parametrize("depth", [100, 190, 250, 300, 900])
async def test_arguments_of_any_depth_are_an_outcome(depth: int) -> None:
    """Whatever a parser on the way makes of them."""
    deep: object = []
    for _ in range(depth):
        deep = [deep]

    def measure(deep: list[object]) -> str:
        """Measure."""
        return str(len(deep))

    content, is_error = await outcome(measure, {"deep": deep})
    assert content == "1" or is_error


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(arguments=st.dictionaries(st.sampled_from(["n", "word", "rest", "self"]), json_values))
def test_whatever_the_model_gives_the_function_sees_its_own_types(
    arguments: dict[str, object],
) -> None:
    """Or is not called at all."""
    seen: list[tuple[object, object, object]] = []

    async def look(n: int, word: str = "", rest: list[float] | None = None) -> str:
        """Look."""
        seen.append((n, word, rest))
        return "ok"

    content, is_error = asyncio.run(outcome(look, arguments))
    assert is_error == (not seen)
    if seen:
        n, word, rest = seen[0]
        assert type(n) is int
        assert type(word) is str
        assert rest is None or all(type(one) is float for one in rest)  # type: ignore[attr-defined]  # it is the list
        assert content == "ok"


async def test_a_function_that_asks_for_it_is_given_the_context() -> None:
    """And the model is not told of that parameter."""

    def book(context: ToolContext, seat: int) -> str:
        """Book."""
        return f"{context.job_id}/{context.call_number}: {seat}"

    definition = tool(book).definition["function"]
    assert isinstance(definition, dict)
    assert "context" not in str(definition["parameters"])
    assert await outcome(book, {"seat": 5}) == ("job-1/1: 5", False)


async def test_ordinary_functions_run_in_a_thread_and_asynchronous_ones_on_the_loop() -> None:
    """Only the second may not block."""

    def name() -> str:
        """Say the thread's name."""
        return threading.current_thread().name

    async def own_name() -> str:
        """Say the thread's name."""
        return threading.current_thread().name

    assert await outcome(name) == ("griot-tool", False)
    assert await outcome(own_name) == (threading.current_thread().name, False)


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", "text"),
        ("\ud800", "?"),
        (None, "null"),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        (Place(country="GH"), '{"country":"GH","city":""}'),
        (date(2026, 2, 1), '"2026-02-01"'),
        (float("nan"), "null"),
    ],
)
async def test_a_result_is_text_or_json(value: object, content: str) -> None:
    """Whatever pydantic can write."""

    def give() -> object:
        """Give."""
        return value

    assert await outcome(give) == (content, False)


async def test_a_result_is_cut_at_its_limit_and_says_so() -> None:
    """Within a character, too: none is broken."""

    def give(size: int) -> str:
        """Give."""
        return "é" * size

    assert await outcome(give, {"size": 50}, max_bytes=100) == ("é" * 50, False)
    content, _ = await outcome(give, {"size": 51}, max_bytes=101)
    assert content == "é" * 50 + "\n[cut: the rest is too long]"


def fail(error: BaseException) -> Callable[[], str]:
    """An ordinary function that raises."""

    def failing() -> str:
        """Fail."""
        raise error

    return failing


def fail_async(error: BaseException) -> Callable[[], object]:
    """An asynchronous function that raises."""

    async def failing() -> str:
        """Fail."""
        raise error

    return failing


@pytest.mark.parametrize("failing", [fail, fail_async])
@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        KeyError(SECRET),
        OSError(5, SECRET),
        SystemExit(SECRET),
        KeyboardInterrupt(SECRET),
        TimeoutError(SECRET),
    ],
    ids=lambda error: type(error).__name__ if isinstance(error, BaseException) else "",
)
async def test_an_error_of_a_tool_is_told_by_its_kind_alone(
    failing: Callable[[BaseException], Callable[..., object]],
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its text may hold a secret; the log has the place. Nothing of it ends the process."""
    with caplog.at_level(logging.DEBUG):
        content, is_error = await outcome(failing(error))
    assert is_error
    assert content.startswith("error: the tool failed (")
    assert SECRET not in content + caplog.text
    assert "test_tools.py" in caplog.text
    assert "job-1" in caplog.text


async def test_a_stop_of_an_iterator_is_an_error_like_any_other() -> None:
    """No future takes one."""
    assert await outcome(fail(StopIteration())) == ("error: the tool failed (StopIteration)", True)


async def test_a_tool_error_is_told_as_it_is() -> None:
    """It was written for the model."""
    assert await outcome(fail(ToolError("no such place"))) == ("error: no such place", True)
    assert await outcome(fail_async(ToolError("no such place"))) == ("error: no such place", True)


async def test_a_result_that_is_no_json_is_an_error() -> None:
    """Not a failed turn."""

    def give() -> object:
        """Give."""
        return object()

    content, is_error = await outcome(give)
    assert is_error
    assert "PydanticSerializationError" in content


async def test_a_tool_that_takes_too_long_is_given_up() -> None:
    """An asynchronous one is cancelled; a thread is left to itself, as is what it says later."""
    was_cancelled = asyncio.Event()
    may_end = threading.Event()

    async def wait_here() -> str:
        """Wait."""
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # it never ends
        finally:
            was_cancelled.set()

    def wait_there() -> str:
        """Wait."""
        may_end.wait(scaled(10))
        raise ValueError(SECRET)

    expected = ("error: no result within 0.05 s", True)
    assert await outcome(wait_here, timeout_s=0.05) == expected
    await asyncio.wait_for(was_cancelled.wait(), scaled(5))
    assert await outcome(wait_there, timeout_s=0.05) == expected
    may_end.set()


async def test_threads_of_a_tool_are_bounded_and_come_back() -> None:
    """A call beyond the bound waits for one, within its own time limit."""
    threads, may_end = ToolThreads(most=1), threading.Event()
    is_waiting = threading.Event()

    def wait() -> str:
        """Wait."""
        is_waiting.set()
        return str(may_end.wait(scaled(10)))

    def quick() -> str:
        """Be quick."""
        return "done"

    waiting, hurried, patient = (
        limited(function, threads, timeout_s=timeout_s)
        for function, timeout_s in ((wait, 10.0), (quick, 0.05), (quick, 10.0))
    )
    first = asyncio.create_task(waiting.call({}, CONTEXT))
    await eventually(is_waiting.is_set, what="the only thread is taken")
    assert (await hurried.call({}, CONTEXT)).content == "error: no result within 0.05 s"
    may_end.set()
    assert (await patient.call({}, CONTEXT)).content == "done"
    assert (await first).content == "True"


async def test_calls_that_hang_are_counted_and_their_tool_is_called_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody loses time on it, no other tool a thread, and it is called again once one ends."""
    may_end = threading.Event()

    def hang() -> str:
        """Hang."""
        return str(may_end.wait(scaled(60)))

    hanging = limited(hang, ToolThreads(most=3), timeout_s=0.05)
    for count in (1, 2, 3):
        await hanging.call({}, CONTEXT)
        assert hanging.hanging == count
        assert f"{count} of the 3 threads of this tool hang" in caplog.messages[-1]
    refused = await hanging.call({}, CONTEXT)
    assert refused.content == "error: the tool is not available: its earlier calls hang"
    assert await outcome(capacity, {"country": "GH"}) == ("GH 2030 MW", False)
    may_end.set()
    await eventually(lambda: not hanging.hanging, what="the threads have ended")
    assert (await hanging.call({}, CONTEXT)).content == "True"


async def test_a_thread_that_cannot_be_started_takes_no_part_of_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call fails; one that comes when the process can start threads again runs."""

    def quick() -> str:
        """Be quick."""
        return "done"

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = ToolThreads(most=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        first = await limited(quick, threads).call({}, CONTEXT)
    second = await limited(quick, threads).call({}, CONTEXT)
    assert (first.is_error, second.content) == (True, "done")


async def test_a_cancel_of_the_turn_cancels_its_tool() -> None:
    """At once."""
    ended: list[str] = []

    async def wait() -> str:
        """Wait."""
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # it never ends
        finally:
            ended.append("cancelled")

    turn = asyncio.create_task(outcome(wait))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    turn.cancel()
    await eventually(lambda: ended, what="the tool is cancelled")
    assert turn.cancelled()


class Tree(BaseModel):
    """A model that holds itself."""

    branches: list["Tree"] = []


def recursive(tree: Tree) -> str:
    """Documented."""
    return str(tree)


def undocumented(n: int) -> str:
    return str(n)


def unannotated(n) -> str:  # type: ignore[no-untyped-def]  # that is the point
    """Documented."""
    return str(n)


def starred(*n: int) -> str:
    """Documented."""
    return str(n)


def keywords(**n: int) -> str:
    """Documented."""
    return str(n)


def by_place(n: int, /) -> str:
    """Documented."""
    return str(n)


def strange(n: threading.Thread) -> str:
    """Documented."""
    return str(n)


def unresolved(n: "Nowhere") -> str:  # type: ignore[name-defined]  # noqa: F821  # that is the point
    """Documented."""
    return str(n)


def unwritable(n: Callable[[], int]) -> str:
    """Documented."""
    return str(n)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (undocumented, "no docstring"),
        (unannotated, "parameter n has no annotation"),
        (starred, "parameter n cannot be given by name"),
        (keywords, "parameter n cannot be given by name"),
        (by_place, "parameter n cannot be given by name"),
        (strange, "pydantic does not support"),
        (unresolved, "annotations cannot be read"),
        (unwritable, "no JSON Schema"),
        (recursive, "are recursive"),
        (Place, "not a function"),
        (lambda: "", "not a function with an ASCII name"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_reason(
    function: Callable[..., object], reason: str
) -> None:
    """When the worker starts, not when a model calls it."""
    with pytest.raises(InvalidTool, match=reason):
        tool(function)


async def test_the_mistakes_of_a_model_are_counted_where_they_are_many() -> None:
    """pydantic makes all errors before the first is read: not for a list of thousands."""

    def sum_up(words: list[str]) -> str:
        """Sum up."""
        return " ".join(words)

    costs_s = []
    for _ in range(3):
        began_s = time.thread_time()
        said, is_error = await outcome(sum_up, {"words": [1] * 32_000})
        costs_s.append(time.thread_time() - began_s)
    # The least: a neighbour in the same caches makes a try dearer.
    assert min(costs_s) < scaled(0.05)
    assert (said, is_error) == ("error: wrong arguments: 32000 of their values do not fit", True)
