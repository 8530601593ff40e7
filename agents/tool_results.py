"""Which calls of tools in a conversation have their results, and are answered. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Message: TypeAlias = Mapping[str, object]
Shown: TypeAlias = dict[int, Message]
Pairs: TypeAlias = list[tuple[Mapping[str, object], int]]


def finished_calls(talk: Sequence[Message]) -> Shown:
    """The calls and results that a strict template takes, by their place in `talk`.

    A round of calls is one message of the assistant and its results right behind it, as many as
    calls and in their order. It counts only behind a user, and only where the assistant goes on
    after it or the conversation ends with it. A call that has no result is not shown.
    """
    shown: Shown = {}
    asked = next((at for at, message in enumerate(talk) if message["role"] == "user"), len(talk))
    is_answered = True  # at the end of a conversation the assistant goes on
    for begin, end in reversed([*_rounds(talk)]):
        if end < len(talk) and not talk[end].get("tool_calls"):
            is_answered = talk[end]["role"] == "assistant"
        pairs = _paired(talk, begin, end)
        is_answered = is_answered and bool(pairs) and asked < begin
        if is_answered:
            shown |= _round(talk, begin, pairs)
    return shown


def _rounds(talk: Sequence[Message]) -> Iterator[tuple[int, int]]:
    """Where each message with calls stands, and where its results end."""
    for begin, message in enumerate(talk):
        if message.get("tool_calls"):
            end = begin + 1
            while end < len(talk) and talk[end]["role"] == "tool":
                end += 1
            yield begin, end


def _paired(talk: Sequence[Message], begin: int, end: int) -> Pairs:
    """Each call that has a result, and where that is; nothing where a result is left over."""
    calls = talk[begin]["tool_calls"]
    left = list(range(begin + 1, end))
    pairs: Pairs = []
    for call in calls if isinstance(calls, Sequence) else ():
        at = _result_of(call, talk, left)
        if at is not None:
            left.remove(at)
            pairs.append((call, at))
    return [] if left else pairs


def _result_of(
    call: Mapping[str, object], talk: Sequence[Message], left: Sequence[int]
) -> int | None:
    """Where a call's result is: by its id, else the first that names no other."""
    name = call.get("id")
    by_id = (at for at in left if name and talk[at].get("tool_call_id") == name)
    unnamed = (at for at in left if not (name and talk[at].get("tool_call_id")))
    return next(by_id, next(unnamed, None))


def _round(talk: Sequence[Message], begin: int, pairs: Pairs) -> Shown:
    """A round with a result for each call, in the calls' order, that names its call."""
    shown: Shown = {begin: {**talk[begin], "tool_calls": [call for call, _ in pairs]}}
    for place, (call, at) in enumerate(pairs, start=begin + 1):
        shown[place] = _named(talk[at], call)
    return shown


def _named(result: Message, call: Mapping[str, object]) -> Message:
    function = call["function"]
    name = function["name"] if isinstance(function, Mapping) else ""
    named = {n: value for n, value in result.items() if n != "tool_call_id"} | {"tool_name": name}
    return {**named, "tool_call_id": call["id"]} if call.get("id") else named
