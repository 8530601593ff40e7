"""Thoughts that a model writes into its reply, between `<think>` and `</think>`. Pure.

A server that knows the model's form sends thoughts by themselves. Of models made from a GGUF file
it may not know it; LLM_THINK_TAGS then takes them out here.
"""

from dataclasses import replace
from enum import Enum, auto

from llm.wire.records import Delta

BEGIN, END = "<think>", "</think>"


class _Stretch(Enum):
    BEFORE = auto()
    """Nothing but white space and a part of the mark has come."""
    WITHIN = auto()
    BEHIND = auto()
    """The marks have come, and nothing but white space after them."""
    DONE = auto()


class ThinkTags:
    """Takes the thoughts at the begin of one reply out of its text; marks may come in pieces."""

    def __init__(self) -> None:
        self._place = _Stretch.BEFORE
        # Apart from what is held: much white space, joined to each piece, took 67 ms in a callback.
        self._blank: list[str] = []
        self._held = ""

    def read(self, delta: Delta) -> Delta:
        """The delta with its thoughts as thoughts; empty while it may be part of a mark."""
        if not delta.text or self._place is _Stretch.DONE:
            return delta
        thinking, text = self._parted(self._held + delta.text)
        return replace(delta, text=text, thinking=delta.thinking + thinking)

    def rest(self) -> Delta:
        """What was held back, at the end of the reply."""
        held = "".join((*self._blank, self._held))
        self._blank, self._held = [], ""
        return Delta(thinking=held) if self._place is _Stretch.WITHIN else Delta(text=held)

    def _parted(self, text: str) -> tuple[str, str]:
        """Thoughts and text of what has come; what may be part of a mark is held."""
        self._held = ""
        thinking = ""
        if self._place is _Stretch.BEFORE:
            begun = text.lstrip()
            self._blank.append(text[: len(text) - len(begun)])
            if BEGIN.startswith(begun) and begun != BEGIN:
                self._held = begun
                return "", ""
            if begun.startswith(BEGIN):
                self._place, text = _Stretch.WITHIN, begun[len(BEGIN) :]
            else:
                self._place, text = _Stretch.DONE, "".join((*self._blank, begun))
            self._blank = []
        if self._place is _Stretch.WITHIN:
            thinking, mark, text = text.partition(END)
            if mark:
                self._place = _Stretch.BEHIND
            else:
                thinking, self._held = _without_part(thinking)
        if self._place is _Stretch.BEHIND:
            text = text.lstrip()
            self._place = _Stretch.DONE if text else _Stretch.BEHIND
        return thinking, text


def _without_part(text: str) -> tuple[str, str]:
    """The text up to what may be the begin of the end mark, and that."""
    for length in range(min(len(END) - 1, len(text)), 0, -1):
        if END.startswith(text[-length:]):
            return text[:-length], text[-length:]
    return text, ""
