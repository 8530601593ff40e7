"""The rounds of a turn: what is run, what is kept, and when the model must answer."""

import asyncio
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import Tool, ToolContext, ToolEvent, ToolRounds
from agents.tool_rounds import MAX_CALLS_PER_ROUND, SHORT_BYTES
from llm import ChatRequest, Final, ModelReply, ToolCall
from memory import encode_message
from tests.support.tool_functions import capacity_of, count_high, recite, wait_long
from tests.support.waiting import eventually

DONE = Final(model="m", done_reason="stop")


def rounds(
    events: list[ToolEvent] | None = None, max_rounds: int = 3, *, reads_text: bool = False
) -> ToolRounds:
    """The rounds of a turn with three tools."""
    tools = [
        Tool(function, timeout_s=5, max_result_bytes=1000)
        for function in (capacity_of, count_high, wait_long)
    ]
    context = ToolContext("energy", "s", "job-1", attempt=1)
    told = [] if events is None else events
    return ToolRounds(
        tools,
        context,
        max_rounds=max_rounds,
        on_event=told.append,
        reads_text=reads_text,
    )


def calling(*calls: ToolCall, text: str = "") -> ModelReply:
    """An answer that calls tools."""
    return ModelReply(text, DONE, thinking="hm" if text else "", tool_calls=calls)


CAPACITY = ToolCall("capacity_of", {"place": "Ghana"}, id="call_1")


async def test_a_call_and_its_result_are_messages_of_the_next_request() -> None:
    """With the model's own fields; thinking goes back to it within the turn."""
    turn = rounds()
    assert await turn.run_tool_calls(calling(CAPACITY, text="I look it up."))
    assert turn.steps == [
        {
            "role": "assistant",
            "content": "I look it up.",
            "thinking": "hm",
            "tool_calls": [
                {
                    "id": "call_1",
                    "function": {"name": "capacity_of", "arguments": {"place": "Ghana"}},
                }
            ],
        },
        {
            "role": "tool",
            "content": '{"place":"Ghana","capacity_mw":4975}',
            "tool_name": "capacity_of",
            "tool_call_id": "call_1",
        },
    ]
    assert not await turn.run_tool_calls(ModelReply("4975 MW", DONE))


async def test_the_model_must_answer_after_its_rounds() -> None:
    """It is offered no tools any more, and a call that it makes all the same is passed over."""
    turn = rounds(max_rounds=2)
    for _ in range(2):
        assert len(turn.offered) == 3
        assert await turn.run_tool_calls(calling(CAPACITY))
    assert turn.offered == ()
    assert not await turn.run_tool_calls(calling(CAPACITY))
    assert len(turn.steps) == 4


async def test_an_agent_without_tools_runs_nothing() -> None:
    """Whatever the model says."""
    context = ToolContext("energy", "s", "job-1", attempt=1)
    told: list[ToolEvent] = []
    turn = ToolRounds([], context, max_rounds=3, on_event=told.append)
    assert not await turn.run_tool_calls(calling(CAPACITY))
    assert (turn.steps, turn.offered, told) == ([], (), [])


async def test_followers_are_told_of_each_call_twice() -> None:
    """With its arguments as it begins, with its result as it ends."""
    events: list[ToolEvent] = []
    turn = rounds(events)
    await turn.run_tool_calls(calling(CAPACITY, ToolCall("nothing_like_it")))
    told = [event.data for event in events]
    assert told[0] == {"call": 1, "name": "capacity_of", "arguments": {"place": "Ghana"}}
    assert told[1]["result"] == '{"place":"Ghana","capacity_mw":4975}'
    assert (told[1]["is_error"], told[3]["is_error"]) == (False, True)
    assert [one["call"] for one in told] == [1, 1, 2, 2]
    assert "there are: capacity_of, count_high, wait_long" in str(told[3]["result"])


async def test_too_many_calls_at_once_are_not_run_and_not_kept() -> None:
    """The history stays bounded whatever a model says."""
    turn = rounds()
    await turn.run_tool_calls(calling(*[CAPACITY] * (MAX_CALLS_PER_ROUND + 1)))
    assert len(turn.steps) == 1 + MAX_CALLS_PER_ROUND


async def test_arguments_that_cannot_be_kept_are_not_run() -> None:
    """Too long, or no JSON of ours; what is kept of them is nothing."""
    turn = rounds()
    long = {"place": "x" * 70_000}
    wrong = [long, *({"place": nested(depth)} for depth in (250, 300))]
    await turn.run_tool_calls(calling(*(ToolCall("capacity_of", arguments) for arguments in wrong)))
    call, *results = turn.steps
    assert "xxx" not in str(call)
    assert all("error: the arguments are not a JSON object" in str(one) for one in results)


async def test_arguments_that_nobody_can_read_are_told_to_the_model() -> None:
    """The function is not run with its defaults instead."""
    events: list[ToolEvent] = []
    turn = rounds(events)
    unread = ToolCall("count_high", {}, is_readable=False)
    assert await turn.run_tool_calls(calling(unread))
    assert "not a JSON object" in str(turn.steps[-1]["content"])
    assert events[-1].data["is_error"] is True


WRITTEN = '{"name": "capacity_of", "arguments": {"place": "Ghana"}}'


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN,
        f"[{WRITTEN}]",
        f"<tool_call>\n{WRITTEN}\n</tool_call>",
        f"```json\n{WRITTEN}\n```",
        f"<|python_tag|>{WRITTEN}",
        '{"name": "capacity_of", "parameters": {"place": "Ghana"}}',
        '{"type": "function", "function": ' + WRITTEN + "}",
        '{"name": "capacity_of", "arguments": "{\\"place\\": \\"Ghana\\"}"}',
    ],
)
async def test_calls_that_are_written_as_text_are_calls_where_the_setting_says_so(
    text: str,
) -> None:
    """In the forms that templates teach; else they are the reply."""
    turn = rounds(reads_text=True)
    assert await turn.run_tool_calls(ModelReply(text, DONE))
    call, result = turn.steps
    assert (call["content"], result["tool_name"]) == ("", "capacity_of")
    assert "4975" in str(result["content"])
    assert not await rounds().run_tool_calls(ModelReply(text, DONE))


@pytest.mark.parametrize(
    "text",
    [
        f"I call {WRITTEN}",
        WRITTEN.replace("capacity_of", "rm_rf"),
        f"[{WRITTEN}, 7]",
        "{}",
        "[]",
        "",
        "4975",
        '"capacity_of"',
        "\n".join([WRITTEN] * 129),
        f"{WRITTEN}{' ' * 262_144}",
    ],
)
async def test_a_text_that_says_anything_else_is_no_call(text: str) -> None:
    """Nor one of a tool that is not on offer."""
    assert not await rounds(reads_text=True).run_tool_calls(ModelReply(text, DONE))


async def test_whatever_is_run_can_be_sent_and_kept() -> None:
    """Nested as deep as JSON goes here."""
    for depth in range(235, 255):
        turn = rounds()
        await turn.run_tool_calls(calling(ToolCall("capacity_of", {"place": nested(depth)})))
        ChatRequest(model="m", messages=tuple(turn.steps)).body()
        for step in turn.steps:
            encode_message(step, 10**6)


def nested(depth: int) -> object:
    """A list in a list, so often."""
    deep: object = []
    for _ in range(depth):
        deep = [deep]
    return deep


async def test_a_turn_that_is_cut_short_has_a_result_for_every_call() -> None:
    """A model that is shown the history later would stumble over a call without one."""
    turn = rounds()
    taking = asyncio.create_task(
        turn.run_tool_calls(calling(CAPACITY, ToolCall("wait_long", {"what": "x"}), CAPACITY))
    )
    await eventually(lambda: len(turn.steps) == 4 and is_second_running(turn), what="one has ended")
    taking.cancel()
    await asyncio.wait((taking,))
    contents = [str(step["content"]) for step in turn.steps[1:]]
    assert contents[0].startswith('{"place"')
    assert contents[1:] == ["error: cancelled before it ended"] * 2


async def test_results_are_cut_in_halves_until_they_are_short() -> None:
    """For a window that they do not fit; a short one stays as it is, and the calls do."""
    tools = [Tool(one, timeout_s=5, max_result_bytes=4096) for one in (recite, capacity_of)]
    context = ToolContext("energy", "s", "job-1", attempt=1)
    turn = ToolRounds(tools, context, max_rounds=3, on_event=lambda _: None)
    assert not turn.shorten()
    await turn.run_tool_calls(calling(ToolCall("recite", {"what": "Ghana"}), CAPACITY))
    call, long, short = (dict(step) for step in turn.steps)
    sizes = [len(str(long["content"]))]
    while turn.shorten():
        sizes.append(len(str(turn.steps[1]["content"])))
        assert str(turn.steps[1]["content"]).count("[cut: ") == 1
    assert all(after < before * 0.7 for before, after in pairwise(sizes))
    assert sizes[-1] <= SHORT_BYTES
    assert (turn.steps[0], turn.steps[2]) == (call, short)


def is_second_running(turn: ToolRounds) -> bool:
    """Whether the first call has its own result."""
    return "4975" in str(turn.steps[1]["content"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
calls = st.builds(
    ToolCall,
    name=st.sampled_from(["capacity_of", "count_high", "", "x" * 500]) | st.text(),
    arguments=st.dictionaries(st.sampled_from(["place", "least"]), json_values),
    id=st.none() | st.text(min_size=1),
)


@given(rounds_of_calls=st.lists(st.lists(calls, min_size=1, max_size=4), max_size=5))
def test_every_call_has_exactly_one_result_behind_it(
    rounds_of_calls: list[list[ToolCall]],
) -> None:
    """In the order of the calls, whatever the model calls and with what."""

    async def play() -> list[dict[str, object]]:
        turn = rounds()
        for made in rounds_of_calls:
            await turn.run_tool_calls(calling(*made))
        return turn.steps

    open_calls: list[str] = []
    for step in asyncio.run(play()):
        if step["role"] == "assistant":
            assert open_calls == []
            made = step["tool_calls"]
            assert isinstance(made, list)
            open_calls = [name_of(call) for call in made]
        else:
            assert step["tool_name"] == open_calls.pop(0)
    assert open_calls == []


def name_of(call: Mapping[str, Mapping[str, object]]) -> str:
    """The function that a call names."""
    return str(call["function"]["name"])
