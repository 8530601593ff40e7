"""Calls of tools: when a model makes them, and what they say. Pure."""

from sandbox.ollama import gojson, replies
from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.reply import structured
from sandbox.ollama.request.bodies import ModelRequest
from sandbox.ollama.scenarios import Manner, Scenario


def are_due(asked: ModelRequest, scenario: Scenario) -> bool:
    """Whether the model calls tools now: while this turn has fewer results than its rounds."""
    if scenario.calls:
        return True
    if not asked.tools or scenario.manner not in {Manner.TOOLS_FINAL, Manner.TOOLS_EARLY}:
        return False
    roles = [message.get("role") for message in asked.messages]
    turn = roles[len(roles) - roles[::-1].index("user") :] if "user" in roles else roles
    return turn.count("tool") < scenario.tool_rounds * scenario.tool_calls


def made(asked: ModelRequest, scenario: Scenario) -> list[JsonValue]:
    """As many calls at once as the scenario makes, of one tool after the other."""
    seen = replies.fingerprint(asked.messages)
    is_early = scenario.manner is Manner.TOOLS_EARLY
    if scenario.calls:
        return [
            {"function": {"index": index, "name": name, "arguments": arguments}}
            for index, (name, arguments) in enumerate(scenario.calls)
        ]
    return [
        {
            "id": f"call_{seen[:-1]}{index:x}" if is_early else f"{index:08x}{seen * 3}",
            "function": _function(asked, index),
        }
        for index in range(scenario.tool_calls)
    ]


def tokens(call: JsonValue) -> int:
    """The length of a call as the model writes it."""
    return (len(gojson.encode(call)) + 3) // 4


def _function(asked: ModelRequest, index: int) -> JsonObject:
    """The call of one tool, with what fits its parameters: the user's last words, and the first
    number in them."""
    tool = asked.tools[index % len(asked.tools)]
    said = replies.last_user_text(asked.messages)
    parameters: JsonObject = {"type": "object", **tool.parameters}
    arguments = structured.instance(parameters, said, replies.first_number(said) or 1)
    return {"index": index, "name": tool.name, "arguments": arguments}
