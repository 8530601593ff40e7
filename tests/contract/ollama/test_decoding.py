"""What both servers make of a body that is not quite right: Go's decoder and its words."""

import json

import pytest

from tests.contract.ollama.conftest import Server, error

_CALL = {"name": "x", "arguments": {}}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "missing request body"),
        (b"  \n", "missing request body"),
        (b'{"model":"x"', "unexpected EOF"),
        (b'{"model":"x', "unexpected EOF"),
        (b"<xml>", "invalid character '<' looking for beginning of value"),
        (b"\xff\xfe", "invalid character 'ÿ' looking for beginning of value"),
        (b'{"model":"x","a":NaN}', "invalid character 'N' looking for beginning of value"),
        (b'{"model":"x",}', "invalid character '}' looking for beginning of object key string"),
        (b'{"model":"x" "y"}', "invalid character '\"' after object key:value pair"),
        (b"{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
        (b'{"model":tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.ChatRequest"),
        (b"5", "json: cannot unmarshal number into Go value of type api.ChatRequest"),
        (b"null", "model is required"),
        (b'{"messages":[]}', "model is required"),
        (b'{"model":"  "}', "model is required"),
        (b'{"model":"a b"}', "invalid model name"),
    ],
)
def test_a_body_that_is_no_request_is_400_in_gos_words(
    server: Server, body: bytes, text: str
) -> None:
    """Syntax first, then what is missing."""
    response = server.post("/api/chat", content=body)
    assert (response.status_code, error(response)) == (400, text)
    assert response.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("member", "value", "kind", "wanted"),
    [
        ("model", 1, "number", "string"),
        ("messages", {}, "object", "[]api.Message"),
        ("messages", ["x"], "string", "api.Alias"),
        ("stream", "x", "string", "bool"),
        ("shift", 1, "number", "bool"),
        ("truncate", 0, "number", "bool"),
        ("logprobs", 1, "number", "bool"),
        ("top_logprobs", "x", "string", "int"),
        ("top_logprobs", 1.5, "number 1.5", "int"),
        ("options", [], "array", "map[string]interface {}"),
        ("tools", {}, "object", "api.Tools"),
        ("tools", [1], "number", "api.Tool"),
    ],
)
def test_a_member_of_a_wrong_kind_is_400(
    server: Server, member: str, value: object, kind: str, wanted: str
) -> None:
    """With the name of the member and what it has to be."""
    asked = {"model": server.rendered, "messages": [], member: value}
    response = server.post("/api/chat", asked)
    text = f"json: cannot unmarshal {kind} into Go struct field ChatRequest.{member}"
    assert (response.status_code, error(response)) == (400, f"{text} of type {wanted}")


@pytest.mark.parametrize(
    ("message", "where", "kind", "wanted"),
    [
        ({"content": [{"type": "text"}]}, "content", "array", "string"),
        ({"content": 5}, "content", "number", "string"),
        ({"role": 5}, "role", "number", "string"),
        ({"thinking": 5}, "thinking", "number", "string"),
        ({"images": "aGk="}, "images", "string", "[]api.ImageData"),
        ({"images": [5]}, "images", "number", "api.ImageData"),
        ({"tool_name": 5}, "tool_name", "number", "string"),
        ({"tool_call_id": 5}, "tool_call_id", "number", "string"),
        ({"tool_calls": "x"}, "tool_calls", "string", "[]api.ToolCall"),
        ({"tool_calls": ["x"]}, "tool_calls", "string", "api.ToolCall"),
        ({"tool_calls": [{"id": 5}]}, "tool_calls.id", "number", "string"),
        (
            {"tool_calls": [{"function": "x"}]},
            "tool_calls.function",
            "string",
            "api.ToolCallFunction",
        ),
        (
            {"tool_calls": [{"function": {**_CALL, "index": 0.5}}]},
            "tool_calls.function.index",
            "number 0.5",
            "int",
        ),
        (
            {"tool_calls": [{"function": {**_CALL, "name": 5}}]},
            "tool_calls.function.name",
            "number",
            "string",
        ),
    ],
)
def test_a_part_of_a_message_of_a_wrong_kind_is_400(
    server: Server, message: dict[str, object], where: str, kind: str, wanted: str
) -> None:
    """Content is text alone, an id is text, a call is an object."""
    response = server.chat(server.rendered, messages=[{"role": "user", "content": "x", **message}])
    text = f"json: cannot unmarshal {kind} into Go struct field ChatRequest.messages.{where}"
    assert (response.status_code, error(response)) == (400, f"{text} of type {wanted}")


@pytest.mark.parametrize("arguments", ['{"a":1}', [1], 1])
def test_arguments_that_are_no_object_are_400(server: Server, arguments: object) -> None:
    """OpenAI's text is refused, in words of another library."""
    call = {"function": {"name": "x", "arguments": arguments}}
    messages = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    response = server.chat(server.rendered, messages=messages)
    assert response.status_code == 400
    assert error(response) == "Value looks like object, but can't find closing '}' symbol"


@pytest.mark.parametrize(
    ("image", "at"),
    [("data:image/png;base64,aGk=", 4), ("a!b=", 1), ("aGk", 0), ("_-_-", 0)],
)
def test_an_image_that_is_no_base64_is_400(server: Server, image: str, at: int) -> None:
    """A data URI is none; padding is needed."""
    message = {"role": "user", "content": "x", "images": [image]}
    response = server.chat(server.rendered, messages=[message])
    assert (response.status_code, error(response)) == (
        400,
        f"illegal base64 data at input byte {at}",
    )


def _property(schema: object) -> dict[str, object]:
    return {"name": "x", "parameters": {"type": "object", "properties": {"a": schema}}}


_PROPERTIES = "ToolFunctionParameters.tools.function.parameters.properties"


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ({"type": 5}, "number into Go struct field Tool.tools.type of type string"),
        (
            {"function": "x"},
            "string into Go struct field Tool.tools.function of type api.ToolFunction",
        ),
        (
            {"function": {"name": 5}},
            "number into Go struct field ToolFunction.tools.function.name of type string",
        ),
        (
            {"function": {"name": "x", "parameters": {"type": "object", "required": "a"}}},
            "string into Go struct field ToolFunctionParameters.tools.function.parameters.required"
            " of type []string",
        ),
        (
            {"function": _property(True)},
            f"bool into Go struct field {_PROPERTIES} of type api.ToolProperty",
        ),
        (
            {"function": _property({"type": 5})},
            f"number into Go struct field {_PROPERTIES}.type of type []string",
        ),
        (
            {"function": _property({"anyOf": {}})},
            f"object into Go struct field {_PROPERTIES}.anyOf of type []api.ToolProperty",
        ),
        (
            {"function": _property({"enum": "a"})},
            f"string into Go struct field {_PROPERTIES}.enum of type []interface {{}}",
        ),
    ],
)
def test_a_tool_that_go_cannot_store_is_400(
    server: Server, tool: dict[str, object], text: str
) -> None:
    """JSON Schema's shorthands among them: a boolean for a property is no schema to Ollama."""
    response = server.chat(server.tools, tools=[tool])
    assert (response.status_code, error(response)) == (400, f"json: cannot unmarshal {text}")


def test_properties_that_are_no_object_are_400(server: Server) -> None:
    """An empty list, as PHP writes an empty object."""
    function = {"name": "x", "parameters": {"type": "object", "properties": []}}
    response = server.chat(server.tools, tools=[{"type": "function", "function": function}])
    assert response.status_code == 400
    assert error(response) == "Value looks like object, but can't find closing '}' symbol"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"keep_alive": "300"}, 'time: missing unit in duration "300"'),
        ({"keep_alive": "5x"}, 'time: unknown unit "x" in duration "5x"'),
        ({"keep_alive": ""}, 'time: invalid duration ""'),
        ({"keep_alive": True}, "Unsupported type: 'bool'"),
        ({"keep_alive": []}, "Unsupported type: '[]interface {}'"),
        ({"keep_alive": {}}, "Unsupported type: 'map[string]interface {}'"),
        ({"top_logprobs": 21}, "top_logprobs must be between 0 and 20"),
        (
            {"think": "xhigh"},
            'invalid think value: "xhigh" (must be "high", "medium", "low", "max", true, or false)',
        ),
        (
            {"think": 1},
            'think must be a boolean or string ("high", "medium", "low", "max", true, or false)',
        ),
    ],
)
def test_a_value_that_ollama_itself_refuses_is_400(
    server: Server, fields: dict[str, object], text: str
) -> None:
    """Durations, levels of thinking, bounds."""
    response = server.chat(server.rendered, **fields)
    assert (response.status_code, error(response)) == (400, text)


def test_names_in_any_case_unknown_members_and_bytes_behind_are_taken(server: Server) -> None:
    """As Go's decoder does; `null` is absent, and an odd role passes."""
    body = {
        "MODEL": server.rendered,
        "Messages": [{"Role": "Developer", "CONTENT": None, "images": []}, None],
        "STREAM": False,
        "options": {"num_predict": 1, "temperature": None, "new_thing": "x"},
        "tools": [],
        "format": None,
        "x": 1,
    }
    response = server.post("/api/chat", content=json.dumps(body).encode() + b" junk")
    assert response.status_code == 200
    assert response.json()["model"] == server.rendered
