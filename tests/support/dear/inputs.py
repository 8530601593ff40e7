"""The dearest that a job may bring, and the dearest that its model may answer. Pure."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
from pydantic import JsonValue

from tasks.job.weights.schema_weight import MAX_PATTERN_STATES
from tasks.turn.reply_check import MAX_REPLY_BYTES

MESSAGE_BYTES = 32_768
IMAGE_BYTES = 524_288
HISTORY = 1000
CALLS = 16
ARGUMENTS_BYTES = 60_000
REPLY_BYTES = 900_000
"""Below MEMORY_MAX_VALUE_BYTES: a longer one is not kept."""

Record = dict[str, JsonValue]

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(IMAGE_BYTES - 8)).decode()
CHOICES: dict[str, JsonValue] = {
    "items": {"anyOf": [{"const": number} for number in range(1800)]},
}
PARTS: dict[str, JsonValue] = {"items": {"items": {"anyOf": [{"not": {}}] * 2900}}}
COUNTED: dict[str, JsonValue] = {"pattern": f"^(a{{1,500}}){{1,{MAX_PATTERN_STATES // 600}}}$"}


@dataclass(frozen=True, slots=True)
class DearInput:
    """A job, and the records in which its model answers; `history` messages lie there before."""

    name: str
    replies: Sequence[Sequence[Record]]
    """One for each call of the model."""
    message: str = "hello"
    options: dict[str, JsonValue] = field(default_factory=dict)
    history: int = 0


def said(text: str, pieces: int = 1) -> list[Record]:
    """A text as an answer, in so many records."""
    step = -(-len(text) // pieces) or 1
    parts = [text[at : at + step] for at in range(0, len(text), step)] or [""]
    records: list[Record] = [{"message": {"role": "assistant", "content": part}} for part in parts]
    return [*records, END]


def calling(arguments: JsonValue, calls: int = CALLS) -> list[Record]:
    """So many calls of the tool, in one record."""
    call: JsonValue = {"function": {"name": "repeat", "arguments": arguments}}
    return [{"message": {"role": "assistant", "content": "", "tool_calls": [call] * calls}}, END]


HISTORY_TEXTS: Sequence[Record] = (
    {"role": "user", "content": "é" * (MESSAGE_BYTES // 2)},
    {"role": "assistant", "content": "x" * MESSAGE_BYTES},
)
END: Record = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 9}
SHORT = said("Yes.")
BRACKETS: JsonValue = [[] for _ in range(ARGUMENTS_BYTES // 3)]


def dear_inputs() -> list[DearInput]:
    """All of them, within the limits that hold where no setting says otherwise."""
    numbers = orjson.dumps([*range(1800, 7000)]).decode()
    tags = "<think>" + "<" * REPLY_BYTES
    return [
        DearInput(
            "a message", [SHORT], "é" * (MESSAGE_BYTES // 2), {"system_prompt": "é" * 32_000}
        ),
        DearInput("images", [SHORT], options={"images": [PNG]}),
        DearInput("a history", [SHORT], options={"max_history": 100_000}, history=HISTORY),
        DearInput("a reply in many pieces", [said("word " * (REPLY_BYTES // 50), 18_000)]),
        DearInput("a reply in one piece", [said("é" * (REPLY_BYTES // 2))]),
        DearInput("thoughts that never end", [said(tags, 2000)] * 2),
        DearInput("a schema of choices", [said(numbers)] * 2, options={"format": CHOICES}),
        DearInput(
            "a pattern",
            [said(orjson.dumps("a" * 20_000 + "b").decode())] * 2,
            options={"format": COUNTED},
        ),
        DearInput(
            "a reply of brackets",
            [said("[" + "[]," * (MAX_REPLY_BYTES // 3 - 2) + "1]")],
            options={"format": "json"},
        ),
        DearInput(
            "a reply that is no JSON",
            [said("[" + "[]," * (MAX_REPLY_BYTES // 3))],
            options={"format": "json"},
        ),
        DearInput("a schema of many parts", [SHORT], options={"format": PARTS}),
        DearInput("what may be calls", [said('{"name":"repeat"}\n' * 15_000)]),
        DearInput("a text of empty lines", [said("{}\n" * 300_000)]),
        DearInput("white space", [said(" " * REPLY_BYTES, 15_000)] * 2),
        DearInput("calls of tools", [calling({"words": ["a"] * (ARGUMENTS_BYTES // 4)}), SHORT]),
        DearInput("calls of tools that fit nothing", [calling({"words": BRACKETS}), SHORT]),
        DearInput("many calls of tools", [calling({}, calls=20_000), SHORT]),
    ]
