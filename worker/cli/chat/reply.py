"""One reply as its events make it: which text is new, and which remarks belong between. No I/O."""

from typing import Protocol

from memory import Event, EventType
from worker.cli.chat import sentences


class View(Protocol):
    """Where a reply is seen."""

    def text(self, text: str) -> None:
        """Show a piece of the reply."""

    def end_line(self) -> None:
        """End the line that has begun."""

    def remark(self, text: str) -> None:
        """Say something that is no part of the reply, on a line of its own."""

    def waits(self, why: str) -> None:
        """Say why nothing happens for a while."""

    def status(self, text: str) -> None:
        """Say what is done now, where that can be taken back; empty: it is seen."""


class ShownReply:
    """One reply as it appears: tokens as they come, and whatever its last event adds to them."""

    def __init__(self, view: View, *, max_wait_s: float = 0.0) -> None:
        """`max_wait_s`: how long a message waits for its model's servers."""
        self.attempt = 0
        self.model = ""
        self.is_silent = False
        """Whether the model was asked and has said nothing yet."""
        self._view = view
        self._max_wait_s = max_wait_s
        self._shown = ""
        self._is_in_line = False
        self._wait: Event | None = None

    def take(self, event: Event) -> None:
        """Show what an event brings. A new attempt begins the reply again."""
        self.is_silent = event.type is EventType.STARTED
        match event.type:
            case EventType.SCHEDULED | EventType.QUEUED | EventType.WAITING:
                self._waits(event)
            case EventType.STARTED:
                self._begin(event)
            case EventType.THINKING | EventType.TOOL_PROGRESS:
                self._view.status(sentences.at_work(event, self.model))
            case EventType.TOOL_CALL:
                self._call(event)
            case EventType.TOKEN:
                self._say(event.text)
            case EventType.DONE:
                self._end_with(event)
            case EventType.CANCELLED | EventType.FAILED | EventType.MERGED | EventType.ERASED:
                self._end_without(event)

    def _waits(self, event: Event) -> None:
        said = sentences.why_waiting(event, max_wait_s=self._max_wait_s)
        if event.type is EventType.WAITING:
            self._wait = event
            # In mid-reply it is to be seen in the text, too, why that goes no further.
            if self._shown and event.data.get("reason") in ("servers_away", "retry", "paused"):
                self._end_line()
                self._view.remark(f"({said})")
                self._view.status(said)
                return
        if said:
            self._view.waits(said)
        else:
            self._view.status("waiting for a worker")

    def _begin(self, event: Event) -> None:
        self.model = str(event.data.get("model") or self.model)
        if self._shown or (self._wait is not None and event.attempt > max(1, self.attempt)):
            self._end_line()
            self._view.remark(self._why_again(event))
        self.attempt, self._shown, self._wait = event.attempt, "", None
        self._view.status(f"waiting for {self.model or 'the model'}")

    def _why_again(self, event: Event) -> str:
        if self._wait is None and event.attempt == self.attempt:
            return sentences.gave_back(event)
        return sentences.begins_again(self._wait, event)

    def _call(self, event: Event) -> None:
        self._end_line()
        self._shown = ""
        if "arguments" in event.data:
            self._view.remark(f"[{event.data.get('name')}]")
            self._view.status(f"the tool {event.data.get('name')} runs")
        else:
            self._view.status(f"waiting for {self.model or 'the model'}")

    def _say(self, text: str) -> None:
        self._shown += text
        self._is_in_line = True
        self._view.text(text)
        self._view.status("")

    def _end_with(self, event: Event) -> None:
        # Tokens may have been lost on their way; the last event has the whole reply.
        if not event.text.startswith(self._shown):
            self._end_line()
            self._shown = ""
        self._view.text(event.text.removeprefix(self._shown))
        self._view.end_line()
        self._shown, self._is_in_line = "", False
        if (empty := event.data.get("empty")) in sentences.NO_ANSWERS:
            self._view.remark(sentences.NO_ANSWERS[str(empty)])

    def _end_without(self, event: Event) -> None:
        self._end_line()
        self._shown = ""
        match event.type:
            case EventType.CANCELLED:
                self._view.remark(sentences.CANCELLED)
            case EventType.MERGED:
                self._view.remark(sentences.MERGED)
            case EventType.ERASED:
                self._view.remark("(the session was erased; nothing is left of it)")
            case _:
                self._view.remark(sentences.given_up(event))

    def _end_line(self) -> None:
        if self._is_in_line:
            self._view.end_line()
        self._is_in_line = False
