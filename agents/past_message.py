"""An earlier message as its model is sent it: what Ollama reads of it, as Ollama takes it. Pure.

Reading a history brings the forms of other servers into Ollama's (memory/records/foreign.py). What
Ollama would refuse even then is left out here: a refusal would fail each later job of the session.
"""

from collections.abc import Mapping, Sequence

from memory.records.foreign import image_fault

# What Ollama reads of a message (api/types.go, Message); our own fields stay at home.
_MODEL_FIELDS = ("role", "content", "images", "thinking", "tool_calls", "tool_name", "tool_call_id")
_REST = frozenset(_MODEL_FIELDS[2:])


def for_model(past: Mapping[str, object]) -> dict[str, object]:
    """The message without what the model has no use for.

    Images that are no base64 (an address, say) are left out. `past` is one that `decode_messages`
    gave.
    """
    if _REST.isdisjoint(past) and (content := past.get("content")) is not None:
        return {"role": past["role"], "content": content}
    shown = {name: past[name] for name in _MODEL_FIELDS if past.get(name) is not None}
    if isinstance(images := shown.pop("images", None), Sequence):
        readable = [image for image in images if image_fault(image) is None]
        if readable:
            shown["images"] = readable
    if isinstance(calls := shown.pop("tool_calls", None), Sequence) and calls:
        shown["tool_calls"] = [_call(call) for call in calls]
    shown.setdefault("content", "")
    return shown


def _call(call: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    # Built anew: Go matches names whatever their case, so `Function` would count for `function`.
    function = call["function"]
    plain = {"name": function["name"], "arguments": function.get("arguments") or {}}
    return {"id": call["id"], "function": plain} if call.get("id") else {"function": plain}
