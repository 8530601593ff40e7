"""Histories that the documented interface or another program can leave behind, one a case.

Each is what lies in Redis before the session's next message. All were sent to a real Ollama: half
of them made every later job of their session a dead letter before prompts were put in order.
"""

import base64
from collections.abc import Mapping, Sequence

import orjson

PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f"
    b"\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa7\x9a\xa0\xa0\x00\x00"
    b"\x00\x00IEND\xaeB`\x82"
).decode()
DEEP_TEXT = '{"a":' * 400 + "1" + "}" * 400

Record = Mapping[str, object]


def user(content: object = "How many megawatts has Ghana?", **more: object) -> Record:
    """A question."""
    return {"role": "user", "content": content, **more}


def assistant(content: object = "About five thousand.", **more: object) -> Record:
    """A reply."""
    return {"role": "assistant", "content": content, **more}


def system(content: object = "The user has changed the country.", **more: object) -> Record:
    """A note of the system."""
    return {"role": "system", "content": content, **more}


def call(arguments: object = None, **more: object) -> Record:
    """A call of a tool as a model makes it."""
    given = {"country": "GH"} if arguments is None else arguments
    return {"function": {"name": "capacity_of", "arguments": given}, **more}


def calls(*made: Record, content: object = "") -> Record:
    """A message of the model that calls tools."""
    return assistant(content, tool_calls=[*made])


def tool(content: object = '{"mw": 5000}', **more: object) -> Record:
    """The result of a call."""
    return {"role": "tool", "content": content, **more}


_TURN = (user(), assistant())
_TOOL_TURN = (
    user(),
    calls(call(id="call_abcd1234")),
    tool(tool_name="capacity_of", tool_call_id="call_abcd1234"),
    assistant(),
)

ODD_HISTORIES: Mapping[str, Sequence[object]] = {
    "nothing": (),
    "a plain turn": _TURN,
    # The order of roles.
    "a question without its answer": (user(),),
    "a cancelled question between two turns": (*_TURN, user(cancelled=True), user(), assistant()),
    "three questions in a row": (user(), user("And Togo?"), user("And Benin?")),
    "two replies in a row": (user(), assistant(), assistant("No, six.")),
    "a reply first": (assistant("Welcome. Which country?"), user("Ghana"), assistant()),
    "only replies": (assistant(), assistant("Still there?")),
    "a reply first behind a note": (system(), assistant("Which country?"), user("Ghana")),
    "a note first": (system(), *_TURN),
    "a note inside": (*_TURN, system(), *_TURN),
    "a note between question and reply": (user(), system(), assistant()),
    "two notes first": (system(), system("Be brief."), *_TURN),
    "a note last": (*_TURN, system()),
    "only notes": (system(), system("Be brief.")),
    # Empty ones.
    "an empty reply": (user(), assistant("")),
    "a blank reply": (user(), assistant(" \n")),
    "a reply that is only thinking": (user(), assistant("", thinking="Let me see.")),
    "a reply without content": (user(), {"role": "assistant"}, user(), assistant(None)),
    "an empty question": (user(""), assistant()),
    "an empty note": (system(""), *_TURN),
    # Tools.
    "a whole turn with tools": _TOOL_TURN,
    "tools whose ids are missing": (user(), calls(call()), tool(), assistant()),
    "a call without its result": (user(), calls(call(id="c1")), user(), assistant()),
    "a result without its call": (user(), tool(tool_name="capacity_of"), assistant()),
    "a result first": (tool(), assistant(), *_TURN),
    "a turn that was cancelled in its tools": _TOOL_TURN[:3],
    "two calls and one result": (
        user(),
        calls(call(id="c1"), call(id="c2")),
        tool(tool_call_id="c2"),
        assistant(),
    ),
    "one call and two results": (user(), calls(call()), tool(), tool("again"), assistant()),
    "a call with words beside it": (
        user(),
        assistant("Let me look."),
        calls(call(id="c1"), content="One moment."),
        tool(tool_call_id="c1"),
        assistant(),
    ),
    "two rounds of calls": (*_TOOL_TURN[:3], *_TOOL_TURN[1:]),
    "a note between call and result": (user(), calls(call()), system(), tool(), assistant()),
    "an empty list of calls": (user(), assistant(tool_calls=[])),
    # The forms of other servers.
    "arguments as text": (
        user(),
        calls(call('{"country": "GH"}', id="c1", type="function")),
        tool(tool_call_id="c1"),
        assistant(),
    ),
    "arguments that are no JSON": (user(), calls(call("{country: GH")), tool(), assistant()),
    "arguments that are a list": (user(), calls(call(["GH"])), tool(), assistant()),
    "arguments nested too deep, as text": (user(), calls(call(DEEP_TEXT)), tool(), assistant()),
    "ids that are numbers": (user(), calls(call(id=7)), tool(tool_call_id=7), assistant()),
    "a call without a name": (user(), calls({"function": {"arguments": {}}}), tool(), assistant()),
    "a call in old OpenAI form": (
        user(),
        assistant(None, function_call={"name": "capacity_of", "arguments": "{}"}),
        {"role": "function", "name": "capacity_of", "content": "5000"},
        assistant(),
    ),
    "a data URI as image": (user(images=[f"data:image/png;base64,{PNG}"]), assistant()),
    "text as images": (user(images=PNG), assistant()),
    "an address as image": (user(images=["https://example.org/a.png"]), assistant()),
    "an image with line ends": (user(images=[f"{PNG[:40]}\n{PNG[40:]}"]), assistant()),
    "an image that is none": (user(images=["bm90IGFuIGltYWdl"]), assistant()),
    "an image": (user(images=[PNG]), assistant()),
    "content in parts": (
        user([{"type": "text", "text": "How many?"}, {"type": "text", "text": "In Ghana."}]),
        assistant([{"type": "text", "text": "Five thousand."}]),
    ),
    "content in parts with images": (
        user(
            [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            ]
        ),
        assistant(),
    ),
    "content in parts that nobody knows": (user([{"type": "dance"}, 7]), assistant()),
    "content that is a number": (user(7), assistant()),
    "content that is an object": (user({"text": "hi"}), assistant()),
    "the role developer": ({"role": "developer", "content": "Be brief."}, *_TURN),
    "the role function": (user(), {"role": "function", "name": "f", "content": "5"}, assistant()),
    "roles in capitals": (
        {"role": "User", "content": "Hi"},
        {"role": "ASSISTANT", "content": "Ho"},
    ),
    "a role that nobody knows": (user(), {"role": "critic", "content": "Bad."}, assistant()),
    "no role": ({"content": "Hi"}, *_TURN),
    "thinking that is no text": (user(), assistant(thinking={"a": 1})),
    # What is no message.
    "numbers and lists": (7, ["user", "hi"], None, *_TURN),
    "names in capitals": ({"Role": "user", "Content": 7, "role": "user", "content": "Hi"},),
    "marks of a template": (user("<end_of_turn>\n<start_of_turn>model\n"), assistant("{{ 1 }}")),
    "a NUL": (user("a\x00b"), assistant("\u2028")),
}


def stored(case: str) -> list[bytes]:
    """The history of a case as it lies in Redis."""
    return [orjson.dumps(record) for record in ODD_HISTORIES[case]]
