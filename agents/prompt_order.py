"""The messages of a prompt in the order that strict templates take. Pure.

A template may refuse two neighbours of one role, a note of the system anywhere but in front, a
reply without a question, and half a call of tools. Histories have all of these: a question that was
cancelled before its first word, notes that a program has added, a turn that ended in its tools. So
a prompt is put in order before it is sent; the history stays as it is (docs/decisions.md, "A prompt
is put in order, its history is not").
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from agents.tool_results import finished_calls

BETWEEN = "\n\n"
"""Between two messages that become one: what Ollama's own templates put there."""
OPENING = "The assistant opened the conversation with:"

Message: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Placed:
    """A message and its place: the number that names it in a receipt, None for what has none."""

    at: int | None
    message: Message = field(repr=False)


@dataclass(frozen=True, slots=True)
class Repairs:
    """What was done to messages of a prompt, each named by its place.

    `merged` were joined to the message before them, `moved` to the system prompt, `as_text` are
    calls of tools and results that are shown as what a user says, `left_out` said nothing.
    """

    merged: tuple[int, ...] = ()
    moved: tuple[int, ...] = ()
    as_text: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.merged or self.moved or self.as_text or self.left_out)


NOTHING_DONE = Repairs()


@dataclass(frozen=True, slots=True)
class Ordered:
    """Messages in an order that any template takes, and what was done for it."""

    messages: tuple[Message, ...] = field(repr=False)
    repairs: Repairs


class _Noted:
    """The places of messages to which something was done."""

    def __init__(self) -> None:
        self.merged: list[int] = []
        self.moved: list[int] = []
        self.as_text: list[int] = []
        self.left_out: list[int] = []

    def repairs(self) -> Repairs:
        """All of it."""
        lists = (self.merged, self.moved, self.as_text, self.left_out)
        return Repairs(*(tuple(sorted(set(one))) for one in lists))


def in_order(
    system: str | None,
    messages: Sequence[Message],
    *,
    first: int,
    takes_tools: bool = True,
    takes_system: bool = True,
) -> Ordered:
    """The prompt of these messages, the new one and what followed it at their end.

    One system message at most, in front; then user and assistant in turns, a user first. Calls of
    tools are followed by exactly their results, and these by the assistant; without `takes_tools`
    there are none. No assistant's message is empty. Without `takes_system` the system prompt is a
    part of the first user's message. The first of the messages is named by the place `first`, the
    next by the one that follows.
    """
    if takes_system and _is_in_order(messages):
        has_head = bool(system and not system.isspace())
        in_front = ({"role": "system", "content": system},) if has_head else ()
        return Ordered((*in_front, *messages), NOTHING_DONE)
    noted = _Noted()
    said = _without_empty([*map(Placed, count(first), messages)], noted)
    notes, talk = _apart(said, noted, is_first=not system)
    talk = _with_results_as_text(talk, takes_tools, noted)
    opening, talk = _opening(talk, noted)
    head = BETWEEN.join(part for part in (system, *notes, *opening) if part and not part.isspace())
    joined = [one.message for one in _merged(talk, noted)]
    if head and takes_system:
        joined = [{"role": "system", "content": head}, *joined]
    elif head:
        joined = [_joined({"role": "user", "content": head}, joined[0]), *joined[1:]]
    return Ordered(tuple(joined), noted.repairs())


def _is_in_order(messages: Sequence[Message]) -> bool:
    """Whether these are words of user and assistant in turns, as in nearly every prompt."""
    for at, message in enumerate(messages):
        if message["role"] != ("assistant" if at % 2 else "user") or "tool_calls" in message:
            return False
        if at % 2 and _is_blank(message):
            return False
    return True


def _without_empty(messages: Sequence[Placed], noted: _Noted) -> list[Placed]:
    """Without what says nothing: an empty reply teaches a model to reply so."""
    kept = []
    for one in messages:
        role = one.message.get("role")
        is_silent = _is_blank(one.message) and not one.message.get("tool_calls")
        if is_silent and role in ("assistant", "system"):
            _note(noted.left_out, one)
        else:
            kept.append(one)
    return kept


def _apart(
    messages: Sequence[Placed], noted: _Noted, *, is_first: bool
) -> tuple[list[str], list[Placed]]:
    """The notes of the system, and all else; one that stands first already is not moved."""
    notes, talk = [], []
    for one in messages:
        if one.message.get("role") == "system":
            notes.append(_text(one.message))
            if not is_first or one is not messages[0]:
                _note(noted.moved, one)
        else:
            talk.append(one)
    return notes, talk


def _with_results_as_text(talk: Sequence[Placed], takes_tools: bool, noted: _Noted) -> list[Placed]:
    """Calls only with their results and what the assistant made of them; other results as text."""
    shown: list[Placed] = []
    whole = finished_calls([one.message for one in talk]) if takes_tools else {}
    for at, one in enumerate(talk):
        if at in whole:
            shown.append(Placed(one.at, whole[at]))
        elif one.message.get("role") == "tool":
            shown.append(Placed(one.at, _as_users(one.message)))
            _note(noted.as_text, one)
        elif one.message.get("tool_calls"):
            _note(noted.as_text, one)
            if not _is_blank(one.message):
                words = {n: v for n, v in one.message.items() if n != "tool_calls"}
                shown.append(Placed(one.at, words))
        else:
            shown.append(one)
    return shown


def _as_users(result: Message) -> Message:
    name = result.get("tool_name")
    of = f" of {name}" if name else ""
    return {"role": "user", "content": f"Result{of}: {_text(result)}"}


def _opening(talk: Sequence[Placed], noted: _Noted) -> tuple[list[str], list[Placed]]:
    """What the assistant says before anybody asks, as a note for the system prompt."""
    first = next((at for at, one in enumerate(talk) if one.message["role"] == "user"), len(talk))
    if not first:
        return [], list(talk)
    for one in talk[:first]:
        _note(noted.moved, one)
    words = BETWEEN.join(_text(one.message) for one in talk[:first])
    return ([f"{OPENING}\n{words}"] if words.strip() else []), list(talk[first:])


def _merged(talk: Iterable[Placed], noted: _Noted) -> list[Placed]:
    """Neighbours of one role as one message."""
    merged: list[Placed] = []
    for one in talk:
        last = merged[-1].message if merged else {}
        role = one.message["role"]
        if role != last.get("role") or role == "tool" or last.get("tool_calls"):
            merged.append(one)
            continue
        merged[-1] = Placed(merged[-1].at, _joined(last, one.message))
        _note(noted.merged, one)
    return merged


def _joined(first: Message, second: Message) -> Message:
    joined = {**first, **second}
    joined["content"] = BETWEEN.join(filter(str.strip, (_text(first), _text(second))))
    images = [*_list(first, "images"), *_list(second, "images")]
    return {**joined, "images": images} if images else joined


def _list(message: Message, name: str) -> list[object]:
    value = message.get(name)
    return list(value) if isinstance(value, Sequence) else []


def _text(message: Message) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _is_blank(message: Message) -> bool:
    return not _text(message).strip()


def _note(places: list[int], one: Placed) -> None:
    if one.at is not None:
        places.append(one.at)
