"""Functions that the client runs: what the model reads of them, and how a turn ends with them."""

from collections.abc import Mapping

import pytest

from agents import ClientFunction, ClientSide, InvalidTool, Tool, ToolContext, ToolEvent, ToolRounds
from agents.client_functions import last_turn
from llm import Final, ModelReply, ToolCall
from tests.support.tool_functions import capacity_of

DONE = Final(model="m", done_reason="stop")
OWN = ToolCall("capacity_of", {"place": "Ghana"}, id="call_1")
THEIRS = ToolCall("look_up", {"country": "Ghana"}, id="call_2")
MISFIT = ToolCall("look_up", {"country": 7}, id="call_3")
SCHEMA: dict[str, object] = {
    "$defs": {"Country": {"title": "Country", "type": "string", "minLength": 2}},
    "title": "LookUp",
    "type": "object",
    "properties": {"country": {"$ref": "#/$defs/Country", "description": "Which"}},
}


def rounds(events: list[ToolEvent], *, most_calls: int = 16, is_strict: bool = True) -> ToolRounds:
    """A turn whose model may call one tool of the agent and one function of the client."""

    async def fits(_: Mapping[str, object], arguments: Mapping[str, object]) -> bool:
        return isinstance(arguments.get("country"), str)

    function = ClientFunction.of("look_up", parameters=SCHEMA, is_strict=is_strict)  # type: ignore[arg-type]  # JSON
    return ToolRounds(
        [Tool(capacity_of, timeout_s=5, max_result_bytes=1000)],
        ToolContext("energy", "s", "job-1", attempt=1),
        max_rounds=2,
        on_event=events.append,
        client=ClientSide(fits, [function], most_calls),
    )


def calling(*calls: ToolCall) -> ModelReply:
    """An answer that calls tools."""
    return ModelReply("I look.", DONE, tool_calls=calls)


def test_the_model_reads_a_schema_without_references() -> None:
    """And what Ollama would drop of it in words."""
    function = ClientFunction.of("look_up", description="Look up.", parameters=SCHEMA)  # type: ignore[arg-type]  # JSON
    assert function.definition["function"] == {
        "name": "look_up",
        "description": "Look up.",
        "parameters": {"type": "object", "properties": {"country": {
            "type": "string", "minLength": 2, "description": "Which (at least 2 characters)",
        }}},
    }  # fmt: skip
    endless = {"$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}}}, "$ref": "#/$defs/A"}
    with pytest.raises(InvalidTool, match="recursive"):
        ClientFunction.of("f", parameters=endless)  # type: ignore[arg-type]  # JSON


async def test_a_call_of_the_client_ends_the_turn() -> None:
    """Under an id of its own, with what was said; nothing of it is told to followers."""
    events: list[ToolEvent] = []
    turn = rounds(events)
    assert len(turn.offered) == 2
    assert not await turn.run_tool_calls(calling(THEIRS, THEIRS))
    assert turn.called is not None
    assert (turn.called.text, len(turn.called.calls)) == ("I look.", 2)
    ids = {call.id for call in turn.called.calls}
    assert len(ids - {"call_2"}) == 2
    assert (turn.steps, events) == ([], [])


async def test_the_agents_own_calls_are_run_before_it() -> None:
    """They and their results are a round of their own."""
    events: list[ToolEvent] = []
    turn = rounds(events)
    assert not await turn.run_tool_calls(calling(THEIRS, OWN))
    assert turn.called is not None
    assert [call.name for call in turn.called.calls] == ["look_up"]
    assert [step["role"] for step in turn.steps] == ["assistant", "tool"]
    assert (turn.steps[0]["content"], len(events)) == ("", 2)


async def test_what_does_not_fit_goes_back_to_the_model() -> None:
    """Which may call again; without `strict` it goes to the client."""
    events: list[ToolEvent] = []
    turn = rounds(events)
    assert await turn.run_tool_calls(calling(MISFIT))
    assert turn.called is None
    assert "do not fit" in str(turn.steps[-1]["content"])
    assert events == []
    loose = rounds([], is_strict=False)
    assert not await loose.run_tool_calls(calling(MISFIT))
    unreadable = ToolCall("look_up", {}, is_readable=False)
    assert await rounds([], is_strict=False).run_tool_calls(calling(unreadable))


async def test_no_more_calls_than_are_taken() -> None:
    """The model may make the others in its next answer."""
    turn = rounds([], most_calls=1)
    assert not await turn.run_tool_calls(calling(THEIRS, THEIRS))
    assert turn.called is not None
    assert len(turn.called.calls) == 1


def test_a_turn_goes_on_from_its_question() -> None:
    """With all that has followed it; where nobody has asked there is none."""
    first, question, called, result = (
        {"role": role} for role in ("assistant", "user", "assistant", "tool")
    )
    assert last_turn([first, question, called, result]) == ([first], [question, called, result])
    assert last_turn([first, result]) == ([first, result], [])
