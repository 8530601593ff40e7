"""The tools of a chat: checked as Go's decoder does, and what Ollama keeps of them. Pure.

Ollama decodes a tool into types of its own and writes those into the prompt, so what they have no
place for never reaches the model (docs/ollama.md, Requests).
"""

from dataclasses import dataclass, field

from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.request import decoding

_KEPT = ("anyof", "type", "items", "description", "enum", "properties", "required")
"""The members of a property that survive, in lower case."""

_strings = decoding.sequence(decoding.text, "[]string")


def _kind(value: JsonValue, path: str) -> None:
    """A string or a list of strings."""
    if not isinstance(value, str):
        _strings(value, path)


def _property(value: JsonValue, path: str) -> None:
    _property_members(value, path)


_property_members = decoding.struct(
    {
        "anyOf": decoding.sequence(_property, "[]api.ToolProperty"),
        "type": _kind,
        "description": decoding.text,
        "enum": decoding.sequence(decoding.anything, "[]interface {}"),
        "properties": decoding.ordered_object(_property),
        "required": _strings,
    },
    "api.ToolProperty",
)
_parameters = decoding.struct(
    {
        "type": decoding.text,
        "required": _strings,
        "properties": decoding.ordered_object(_property),
    },
    "api.ToolFunctionParameters",
    is_named=True,
)
_function = decoding.struct(
    {"name": decoding.text, "description": decoding.text, "parameters": _parameters},
    "api.ToolFunction",
    is_named=True,
)
_tool = decoding.struct({"type": decoding.text, "function": _function}, "api.Tool", is_named=True)
_tools = decoding.sequence(_tool, "api.Tools")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the model is told of it."""

    kind: str = ""
    """`function`, or what the native path does not take."""
    name: str = ""
    parameters: JsonObject = field(default_factory=dict)


def read_tools(value: JsonValue) -> tuple[Tool, ...]:
    """The tools of a request; None and an empty list are none. Raises Refused (400)."""
    if value is None:
        return ()
    _tools(value, "ChatRequest.tools")
    return tuple(_read(_members(one)) for one in value) if isinstance(value, list) else ()


def _read(tool: JsonObject) -> Tool:
    function = _members(tool.get("function"))
    return Tool(
        kind=str(tool.get("type", "")),
        name=str(function.get("name", "")),
        parameters=_kept_parameters(_members(function.get("parameters"))),
    )


def _kept_parameters(parameters: JsonObject) -> JsonObject:
    kept: JsonObject = {
        name: parameters[name] for name in ("type", "$defs", "items") if name in parameters
    }
    return {**kept, **_kept_shape(parameters)}


def _kept_shape(schema: JsonObject) -> JsonObject:
    shape: JsonObject = {}
    if "required" in schema:
        shape["required"] = schema["required"]
    if isinstance(properties := schema.get("properties"), dict):
        shape["properties"] = {name: _kept_property(one) for name, one in properties.items()}
    return shape


def _kept_property(value: JsonValue) -> JsonValue:
    members = _members(value)
    kept: JsonObject = {name: members[name] for name in _KEPT if name in members}
    if isinstance(variants := kept.pop("anyof", None), list):
        kept["anyOf"] = [_kept_property(variant) for variant in variants]
    return {**kept, **_kept_shape(members)}


def _members(value: JsonValue) -> JsonObject:
    return decoding.folded(value) if isinstance(value, dict) else {}
