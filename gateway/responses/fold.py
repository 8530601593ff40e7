"""From the events of a job to those of OpenAI, each with its number. Pure.

Whoever reads the same events of a job, in any process and at any time, gets the same events with
the same numbers: nothing else goes into them. So a client that lost its stream goes on anywhere.

A job may be begun anew: after a crash, or because a worker stopped. What was said before is then no
part of the reply. Its items end as `incomplete`, with `griot.abandoned`, and new ones begin.
"""

from collections.abc import Iterable, Iterator, Mapping

import orjson

from gateway.doors.answers import server_sent
from gateway.history_items import arguments_text, function_item
from gateway.responses.open_text import OpenMessage, OpenReasoning, OpenText, Sent, about
from gateway.responses.shape import Item, Known, failure_of, message_item, tool_item
from memory import Event, EventType

_BEFORE_IT_RUNS = (
    EventType.SCHEDULED,
    EventType.QUEUED,
    EventType.WAITING,
    EventType.CANCELLED,
    EventType.ERASED,
)
_TEXTS: Mapping[EventType, type[OpenText]] = {
    EventType.TOKEN: OpenMessage,
    EventType.THINKING: OpenReasoning,
}
"""The items that texts are pieces of."""


class ResponseFold:
    """Takes the events of one job in their order. `final` is the response once it is over, `number`
    that of the last event that was told."""

    def __init__(self, known: Known) -> None:
        self.final: dict[str, object] | None = None
        self._known = known
        self.number = -1
        self._attempt = 0
        self._items = 0
        self._messages = 0
        self._last_call = 0
        self._output: list[Item] = []
        self._open: OpenText | None = None
        self._call: tuple[int, Item] | None = None
        self._is_begun = self._is_queued = self._is_running = False

    def take(self, event: Event) -> list[Sent]:
        """What OpenAI's clients are told of one event."""
        return [self._numbered(one) for one in self._taken(event)]

    def packed(self, events: Iterable[Event], after: int) -> bytes:
        """What they are told of several, as it is sent, having all up to a number."""
        return b"".join([one for event in events for one in self._packed(event, after)])

    def _packed(self, event: Event, after: int) -> Iterable[bytes]:
        open_text = self._open
        if open_text is not None and type(open_text) is _TEXTS.get(event.type):
            self.number += 1
            packed = open_text.packed_delta(event.text, self.number)
            return (packed,) if self.number > after else ()
        known = max(0, after - self.number)
        return [server_sent(sent, str(sent["type"])) for sent in self.take(event)[known:]]

    def _numbered(self, sent: Sent) -> Sent:
        self.number += 1
        sent["sequence_number"] = self.number
        return sent

    def _taken(self, event: Event) -> Iterator[Sent]:
        yield from self._begun(event)
        match event.type:
            case EventType.STARTED:
                yield from self._started(event.attempt)
            case EventType.THINKING | EventType.TOKEN:
                yield from self._said(event)
            case EventType.TOOL_CALL:
                yield from self._called(event)
            case EventType.TOOL_PROGRESS:
                yield from self._progressed(event)
            case EventType.DONE:
                yield from self._done(event)
            case EventType.FAILED | EventType.ERASED:
                yield from self._abandoned()
                yield self._ended("failed", event)
            case EventType.CANCELLED:
                yield from self._cancelled(event)

    # ---- its beginning

    def _begun(self, event: Event) -> Iterator[Sent]:
        if not self._is_begun:
            self._is_begun = True
            self._known = self._known.begun_at(event.cursor)
            yield self._lifecycle("created", "queued")
        if event.type is EventType.QUEUED and not self._is_queued:
            self._is_queued = True
            yield self._lifecycle("queued", "queued")
        if event.type not in _BEFORE_IT_RUNS and not self._is_running:
            self._is_running = True
            yield self._lifecycle("in_progress", "in_progress")

    def _lifecycle(self, name: str, status: str) -> Sent:
        response = self._known.response(status)  # type: ignore[arg-type]  # one of them
        return {"type": f"response.{name}", "response": response}

    def _started(self, attempt: int) -> Iterator[Sent]:
        is_anew = attempt > self._attempt or isinstance(self._open, OpenMessage)
        self._attempt = max(attempt, self._attempt)
        if is_anew:
            yield from self._abandoned()
        else:
            # The next round after a tool's, or an empty reply that is asked for once more.
            yield from self._closed("incomplete")

    def _abandoned(self) -> Iterator[Sent]:
        """End what was begun, which is no part of the reply."""
        yield from self._closed("incomplete")
        self._output.clear()
        self._last_call, self._call = 0, None

    # ---- what the model says

    def _said(self, event: Event) -> Iterator[Sent]:
        kind = _TEXTS[event.type]
        going_on = self._open
        if not isinstance(going_on, kind):
            yield from self._closed("completed")
            going_on = self._opened(kind)
            yield from going_on.begin()
        yield going_on.delta(event.text)

    def _opened(self, kind: type[OpenText]) -> OpenText:
        if kind is OpenMessage:
            # The first is called as in the history; one that takes its place has a number too.
            again = f"_{self._messages}" if self._messages else ""
            item_id = f"msg_{self._known.response_id}{again}"
            self._messages += 1
        else:
            item_id = f"rs_{self._known.response_id}_{self._items}"
        self._open = opened = kind(item_id, self._items, self._attempt)
        self._items += 1
        return opened

    def _closed(self, status: str) -> Iterator[Sent]:
        """End the item that is open. A reasoning that is complete is part of the reply."""
        if self._open is None:
            return
        yield from self._open.end(status)
        if status == "completed":
            self._output.append(self._open.item("completed"))
        self._open = None

    # ---- tools, which Griot runs

    def _called(self, event: Event) -> Iterator[Sent]:
        number = event.data.get("call")
        call = number if isinstance(number, int) else self._last_call + 1
        if "arguments" in event.data:
            # What was said before a tool is called is no part of the answer.
            is_message = isinstance(self._open, OpenMessage)
            yield from self._closed("incomplete" if is_message else "completed")
            if call <= self._last_call:
                yield from self._abandoned()
            yield from self._call_begun(call, event.data)
        elif self._call is not None:
            yield from self._call_ended(self._call, event.data)

    def _call_begun(self, call: int, data: Mapping[str, object]) -> Iterator[Sent]:
        arguments = orjson.dumps(data["arguments"]).decode()
        item_id = f"mcp_{self._known.response_id}_{self._items}"
        item = tool_item(item_id, str(data.get("name", "")), arguments, "in_progress")
        index, self._last_call = self._items, call
        self._items += 1
        self._call = index, item
        yield about("response.output_item.added", index, item={**item, "arguments": ""})
        yield about("response.mcp_call.in_progress", index, item_id=item_id)
        facts = {"item_id": item_id, "arguments": arguments}
        yield about("response.mcp_call_arguments.done", index, **facts)

    def _progressed(self, event: Event) -> Iterator[Sent]:
        """How far a call is, as OpenAI's event that it is under way with more in it: clients know
        no other."""
        if self._call is not None and event.data.get("call") == self._last_call:
            index, item = self._call
            said = {name: event.data.get(name) for name in ("fraction", "text")}
            yield about("response.mcp_call.in_progress", index, item_id=item["id"], griot=said)

    def _call_ended(self, call: tuple[int, Item], data: Mapping[str, object]) -> Iterator[Sent]:
        index, item = call
        result, is_error = str(data.get("result", "")), bool(data.get("is_error"))
        status = "failed" if is_error else "completed"
        said = {"error": result} if is_error else {"output": result}
        done = {**item, "status": status, **said}
        self._call = None
        self._output.append(done)
        yield about(f"response.mcp_call.{status}", index, item_id=item["id"])
        yield about("response.output_item.done", index, item=done)

    # ---- its end

    def _done(self, event: Event) -> Iterator[Sent]:
        calls = calls_of(event)
        if event.text or not calls:
            yield from self._whole(event.text)
            yield from self._closed("completed")
        else:
            # A reply that is nothing but calls: what was said meanwhile is no part of it.
            is_message = isinstance(self._open, OpenMessage)
            yield from self._closed("incomplete" if is_message else "completed")
        for call in calls:
            yield from self._function_called(*call)
        if event.data.get("done_reason") == "length":
            yield self._ended("incomplete", event, why="max_output_tokens")
        else:
            yield self._ended("completed", event)

    def _function_called(self, call_id: str, name: str, arguments: str) -> Iterator[Sent]:
        """A call that the client is to run. It is told once it is committed, so that nobody runs
        one of an attempt that is begun anew."""
        item, index = function_item(call_id, name, arguments), self._items
        self._items += 1
        self._output.append(item)
        begun, facts = {**item, "arguments": "", "status": "in_progress"}, {"item_id": item["id"]}
        kind = "response.function_call_arguments"
        yield about("response.output_item.added", index, item=begun)
        yield about(f"{kind}.delta", index, delta=arguments, **facts)
        yield about(f"{kind}.done", index, name=name, arguments=arguments, **facts)
        yield about("response.output_item.done", index, item=item)

    def _whole(self, text: str) -> Iterator[Sent]:
        """Bring the message to what was committed."""
        said = self._open
        if not isinstance(said, OpenMessage) or not text.startswith(said.text):
            # Events were lost, or the reply was put right: docs/http.md.
            yield from self._closed("incomplete" if isinstance(said, OpenMessage) else "completed")
            said = self._opened(OpenMessage)
            yield from said.begin()
        if rest := text[len(said.text) :]:
            yield said.delta(rest)

    def _cancelled(self, event: Event) -> Iterator[Sent]:
        """A turn that was cancelled: what was kept of it is its output."""
        open_text = self._open
        yield from self._closed("incomplete")
        if event.text and isinstance(open_text, OpenMessage):
            self._output.append(message_item(open_text.item_id, event.text, "incomplete"))
        elif event.text:
            kept = self._opened(OpenMessage)
            yield from kept.begin()
            yield kept.delta(event.text)
            self._output.append(kept.item("incomplete"))
            yield from self._closed("incomplete")
        yield self._ended("cancelled", event)

    def _ended(self, status: str, event: Event, *, why: str | None = None) -> Sent:
        error = failure_of(event) if status == "failed" else None
        self.final = self._known.response(
            status,  # type: ignore[arg-type]  # one of them
            self._output,
            event,
            error=error,
            why_incomplete=why,
        )
        # OpenAI has no event for a response that was cancelled; this one says that it is over.
        name = "incomplete" if status == "cancelled" else status
        return {"type": f"response.{name}", "response": self.final}


def calls_of(done: Event) -> list[tuple[str, str, str]]:
    """The calls of the client's functions with which a turn has ended: id, name and arguments."""
    calls = done.data.get("calls")
    found = []
    for call in calls if isinstance(calls, list) else ():
        match call:
            case {"call_id": str(call_id), "name": str(name), "arguments": dict(arguments)}:
                found.append((call_id, name, arguments_text(arguments)))
    return found
