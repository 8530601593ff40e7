"""JSON checked as Go's decoder does it, with the decoder's own complaints. Pure.

A check takes a value and its path (`ChatRequest.messages.role`) and raises Refused (400) if Go
could not store it. `null` is stored everywhere and means absent; members that nobody asks for are
dropped.
"""

import json
from collections.abc import Callable, Mapping

from sandbox.ollama.errors import Refused
from sandbox.ollama.gojson import JsonObject, JsonValue

Check = Callable[[JsonValue, str], None]

_GO_KINDS: dict[type, str] = {str: "string", bool: "bool", list: "array", dict: "object"}
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_SMALL = {"'": "'\\''", "\\": "'\\\\'", "\n": "'\\n'", "\t": "'\\t'", '"': "'\"'"}


def _no_constant(name: str) -> JsonValue:
    """NaN and the infinities, which Python reads and Go does not."""
    where = "in numeric literal" if name[0] == "-" else "looking for beginning of value"
    raise Refused(400, f"invalid character '{name.lstrip('-')[0]}' {where}")


_decode = json.JSONDecoder(parse_constant=_no_constant).raw_decode


def read_object(body: bytes, struct: str) -> JsonObject:
    """The JSON object at the start of `body`, keys in lower case; `struct` is its name in Go.

    Bytes behind the first value are ignored, `null` is an empty object.
    """
    text = body.decode(errors="surrogateescape").lstrip(" \t\r\n")
    if not text:
        raise Refused(400, "missing request body")
    try:
        value, _ = _decode(text)
    except json.JSONDecodeError as exc:
        raise Refused(400, _syntax_error(text, exc)) from exc
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = _GO_KINDS.get(type(value), "number")
        raise Refused(400, f"json: cannot unmarshal {kind} into Go value of type api.{struct}")
    return folded(value)


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    """Go's words for the first character that fits nowhere, as far as Python tells which it is."""
    at = error.pos
    if at >= len(text) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    if error.msg.startswith("Expecting ',' delimiter"):
        return f"invalid character {_quoted(text[at])} after {_place(text, at)}"
    if error.msg.startswith(("Expecting property name", "Illegal trailing comma")):
        at = at if text[at] != "," else at + 1 + len(text[at + 1 :]) - len(text[at + 1 :].lstrip())
        character = text[at] if at < len(text) else ""
        if not character:
            return "unexpected EOF"
        wanted = "object key string" if _opener(text, at) == "{" else "value"
        return f"invalid character {_quoted(character)} looking for beginning of {wanted}"
    if (literal := _LITERALS.get(text[at])) and (broken := _broken_literal(text[at:], literal)):
        return broken
    return f"invalid character {_quoted(text[at])} looking for beginning of value"


def _broken_literal(text: str, literal: str) -> str:
    for index, wanted in enumerate(literal):
        if index >= len(text):
            return "unexpected EOF"
        if text[index] != wanted:
            found = _quoted(text[index])
            return f"invalid character {found} in literal {literal} (expecting {_quoted(wanted)})"
    return ""


def _place(text: str, at: int) -> str:
    return "object key:value pair" if _opener(text, at) == "{" else "array element"


def _opener(text: str, at: int) -> str:
    """The bracket that is open before `at`; strings are skipped."""
    opened: list[str] = []
    is_string = is_escaped = False
    for character in text[:at]:
        if is_escaped:
            is_escaped = False
        elif is_string:
            is_escaped = character == "\\"
            is_string = character != '"'
        elif character == '"':
            is_string = True
        elif character in "{[":
            opened.append(character)
        elif character in "}]" and opened:
            opened.pop()
    return opened[-1] if opened else ""


def _quoted(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8: Go reads it as Latin-1
        character = chr(ord(character) - 0xDC00)
    return _SMALL.get(character, f"'{character}'")


def folded(members: JsonObject) -> JsonObject:
    """Keys in lower case, without what is null."""
    return {key.lower(): value for key, value in members.items() if value is not None}


def mismatch(value: JsonValue, path: str, wanted: str, *, says_number: bool = False) -> Refused:
    """The complaint about a value of a wrong kind."""
    kind = _GO_KINDS.get(type(value), "number")
    if says_number:
        kind = f"number {value}"
    return Refused(
        400, f"json: cannot unmarshal {kind} into Go struct field {path} of type {wanted}"
    )


def anything(_value: JsonValue, _path: str) -> None:
    """Every value is good."""


def text(value: JsonValue, path: str) -> None:
    """A string."""
    if not isinstance(value, str):
        raise mismatch(value, path, "string")


def boolean(value: JsonValue, path: str) -> None:
    """true or false."""
    if not isinstance(value, bool):
        raise mismatch(value, path, "bool")


def integer(value: JsonValue, path: str) -> None:
    """A number without a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise mismatch(value, path, "int")
    if isinstance(value, float):
        raise mismatch(value, path, "int", says_number=True)


def free_object(value: JsonValue, path: str) -> None:
    """An object with whatever members."""
    if not isinstance(value, dict):
        raise mismatch(value, path, "map[string]interface {}")


def sequence(item: Check, go_type: str) -> Check:
    """A list of what `item` checks."""

    def check(value: JsonValue, path: str) -> None:
        if not isinstance(value, list):
            raise mismatch(value, path, go_type)
        for one in value:
            if one is not None:
                item(one, path)

    return check


def ordered_object(item: Check) -> Check:
    """An object of Ollama's own kind, which keeps the order of its keys: other words than Go's."""

    def check(value: JsonValue, path: str) -> None:
        if not isinstance(value, dict):
            raise Refused(400, "Value looks like object, but can't find closing '}' symbol")
        for one in value.values():
            if one is not None:
                item(one, path)

    return check


def struct(members: Mapping[str, Check], go_type: str, *, is_named: bool = False) -> Check:
    """An object with known members; the path goes on with their names.

    With `is_named` a complaint about a member names this struct in place of the outermost one.
    """

    known = {name.lower(): (name, member) for name, member in members.items()}

    def check(value: JsonValue, path: str) -> None:
        if not isinstance(value, dict):
            raise mismatch(value, path, go_type)
        if is_named:
            path = go_type.removeprefix("api.") + "." + path.partition(".")[2]
        for key, one in value.items():
            name, member = known.get(key.lower(), ("", anything))
            if one is not None:
                member(one, f"{path}.{name}")

    return check
