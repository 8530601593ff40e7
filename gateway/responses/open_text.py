"""An item of a response whose text is still coming: its events, from first to last. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import orjson

from gateway.doors.answers import server_sent
from gateway.responses.shape import Item, message_item, reasoning_item, text_part

Sent = dict[str, object]
"""An event of OpenAI's, without its number."""
_NO_TEXT = b'"delta":""'


class OpenText(ABC):
    """An item with a text that goes on: its events. One part of content, which is its text."""

    kind = ""

    def __init__(self, item_id: str, index: int, attempt: int) -> None:
        self.item_id = item_id
        self._texts: list[str] = []
        self._index = index
        self._attempt = attempt
        self._packed: tuple[bytes, bytes] | None = None

    @property
    def text(self) -> str:
        """What has come of its text."""
        return "".join(self._texts)

    @abstractmethod
    def item(self, status: str) -> Item:
        """The item as it is now."""

    @abstractmethod
    def part(self, text: str) -> dict[str, object]:
        """Its part of content."""

    def begin(self) -> Iterator[Sent]:
        """The events that open it."""
        empty = {**self.item("in_progress"), "content": []}
        if self._attempt > 1:
            empty["griot"] = {"attempt": self._attempt}
        yield about("response.output_item.added", self._index, item=empty)
        yield self._about("response.content_part.added", part=self.part(""))

    def delta(self, text: str) -> Sent:
        """The event of a piece of its text."""
        self._texts.append(text)
        return self._about(f"response.{self.kind}.delta", delta=text, **self._more())

    def packed_delta(self, text: str, number: int) -> bytes:
        """`delta` as it is sent, with its number.

        Nearly all that is sent are these, and only text and number differ: the rest is packed once.
        """
        if self._packed is None:
            kind = f"response.{self.kind}.delta"
            empty = self._about(kind, delta="", **self._more(), sequence_number=0)
            before, after = server_sent(empty, kind).split(_NO_TEXT)
            self._packed = before + b'"delta":', after.removesuffix(b"0}\n\n")
        self._texts.append(text)
        before, after = self._packed
        return b"%b%b%b%d}\n\n" % (before, orjson.dumps(text), after, number)

    def end(self, status: str) -> Iterator[Sent]:
        """The events that close it."""
        yield self._about(f"response.{self.kind}.done", text=self.text, **self._more())
        yield self._about("response.content_part.done", part=self.part(self.text))
        item = self.item(status)
        if status != "completed":
            item["griot"] = {"abandoned": True, "attempt": self._attempt}
        yield about("response.output_item.done", self._index, item=item)

    def _about(self, kind: str, **more: object) -> Sent:
        return about(kind, self._index, item_id=self.item_id, content_index=0, **more)

    def _more(self) -> dict[str, object]:
        return {}


class OpenMessage(OpenText):
    """What the model says."""

    kind = "output_text"

    def item(self, status: str) -> Item:
        """The message as it is now."""
        return message_item(self.item_id, self.text, status)

    def part(self, text: str) -> dict[str, object]:
        """Its text."""
        return text_part(text)

    def _more(self) -> dict[str, object]:
        return {"logprobs": []}


class OpenReasoning(OpenText):
    """What the model thinks before it says it."""

    kind = "reasoning_text"

    def item(self, status: str) -> Item:
        """The thoughts as they are now."""
        return reasoning_item(self.item_id, self.text, status)

    def part(self, text: str) -> dict[str, object]:
        """Its text."""
        return {"type": "reasoning_text", "text": text}


def about(kind: str, index: int, **more: object) -> Sent:
    """An event about the item at a place of the output."""
    return {"type": kind, "output_index": index, **more}
