"""An earlier message as its model is sent it: what Ollama reads of it, as Ollama takes it. Pure.

A history may hold what other programs wrote for other servers. What Ollama would refuse is put
right or left out here: a refusal would fail each later job of the session.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence

from memory.records.message import arguments_of

# What Ollama reads of a message (api/types.go, Message); our own fields stay at home.
_MODEL_FIELDS = ("role", "content", "images", "thinking", "tool_calls", "tool_name", "tool_call_id")


def for_model(past: Mapping[str, object]) -> Mapping[str, object]:
    """The message without what the model has no use for.

    Images that are no base64 (an address, say) are left out. Calls of tools have their arguments
    as an object, also where they came as OpenAI's text. `past` is one that `decode_messages` gave.
    """
    shown = {name: past[name] for name in _MODEL_FIELDS if name in past}
    if isinstance(images := shown.get("images"), Sequence) and not all(map(_is_base64, images)):
        del shown["images"]
    if isinstance(calls := shown.get("tool_calls"), Sequence):
        shown["tool_calls"] = [_call(call) for call in calls]
    return shown


def _is_base64(image: object) -> bool:
    try:
        base64.b64decode(str(image), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _call(call: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    # Built anew: Go matches names whatever their case, so `Function` would count for `function`.
    function = call["function"]
    plain = {"name": function["name"]}
    if function.get("arguments") is not None:
        plain["arguments"] = arguments_of(function)
    return {"id": call["id"], "function": plain} if call.get("id") else {"function": plain}
