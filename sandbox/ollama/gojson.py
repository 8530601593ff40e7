"""JSON as Go's `encoding/json` writes it. Pure: values in, text out.

Go escapes `<`, `>`, `&`, U+2028 and U+2029 and leaves every other non-ASCII character as raw
UTF-8, U+0085 included (docs/ollama.md, Transport). Keys keep the dict's order, as Go keeps a
struct's.
"""

import json
import re
from functools import lru_cache
from typing import TypeAlias

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, JsonValue]

_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
_SPECIAL = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def encode(value: JsonValue) -> str:
    """`value` as one line without a line end; a lone surrogate becomes U+FFFD, as in Go.

    The special characters can stand inside strings only, so the finished text is searched.
    """
    text = _write(value)
    if _SPECIAL.search(text):
        return _SPECIAL.sub(lambda found: _ESCAPES.get(found.group(), "\ufffd"), text)
    return text


@lru_cache(maxsize=8192)
def quote(text: str) -> str:
    """`encode` for one short string, remembered: a model says the same words again and again."""
    return encode(text)
