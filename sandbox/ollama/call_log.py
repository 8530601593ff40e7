"""What happened: every call, and the counters. Safe to read from any thread at any time."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Literal

from sandbox.ollama.gojson import JsonObject
from sandbox.ollama.request.bodies import ModelRequest
from sandbox.ollama.request.messages import Messages

Outcome = Literal["running", "answered", "refused", "broken", "disconnected"]


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters since the start or the last reset. A request is a call of chat or generate.

    One that only loads or unloads a model counts in `load_requests` in place of `requests`.
    """

    requests: int = 0
    load_requests: int = 0
    active: int = 0
    """Calls that are being served now, those that only load a model aside."""
    loading: int = 0
    """Requests that only load a model and wait for it now."""
    peak: int = 0
    """The most calls that were served at once."""
    disconnects: int = 0
    """Clients that left before their reply was complete."""
    tokens: int = 0
    tokens_after_disconnect: int = 0
    loads: int = 0
    """How often a model was loaded, reloads included."""
    lookups: int = 0
    """Requests to every other path of the API."""
    pulls: int = 0
    """Requests to download a model."""


@dataclass(slots=True, eq=False)
class RecordedCall:
    """One call as it stands. Times are `time.monotonic()`; None for what has not happened."""

    path: str
    body: bytes
    started_s: float
    number: int = 0
    model: str = ""
    scenario: str = ""
    messages: Messages = ()
    options: JsonObject = field(default_factory=dict)
    stream: bool = True
    finished_s: float | None = None
    disconnected_s: float | None = None
    first_token_s: float | None = None
    outcome: Outcome = "running"
    status: int = 0
    """The HTTP status answered, 0 while there is none."""
    tokens: int = 0
    tokens_after_disconnect: int = 0
    reply: str = ""
    """The text produced so far, thinking excluded."""


@dataclass(slots=True, eq=False)
class OpenCall(RecordedCall):
    """The log's own record of a call, which grows. Only CallLog writes it."""

    epoch: int = 0
    is_listed: bool = False
    texts: list[str] = field(default_factory=list)

    def snapshot(self) -> RecordedCall:
        """The call as it is now; what follows changes nothing in it."""
        members = {one.name: getattr(self, one.name) for one in fields(RecordedCall)}
        return RecordedCall(**{**members, "reply": "".join(self.texts)})


class CallLog:
    """The record of all calls, the newest `keep_calls` of them in full.

    `on_end` is called with each call that ends, in the server's thread.
    """

    def __init__(
        self, keep_calls: int = 10_000, on_end: Callable[[RecordedCall], None] | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._calls: deque[OpenCall] = deque(maxlen=keep_calls)
        self._on_end = on_end
        self._epoch = 0
        self._open: set[OpenCall] = set()
        self._active: set[OpenCall] = set()
        self._counts: Counter[str] = Counter()

    def begin(self, path: str, body: bytes) -> OpenCall:
        """A request has been read. It is listed once it is known what it wants, or has ended."""
        with self._lock:
            call = OpenCall(path, body, time.monotonic(), epoch=self._epoch)
            self._open.add(call)
        return call

    def understood(self, call: OpenCall, asked: ModelRequest, scenario: str) -> None:
        """The body has been decoded and the scenario chosen."""
        with self._lock:
            call.model, call.messages, call.options = asked.model, asked.messages, asked.options
            call.stream, call.scenario = asked.stream, scenario
            self._list(call, is_load=not asked.messages)

    def produced(self, call: OpenCall, text: str, tokens: int = 1) -> None:
        """The model produced `tokens` tokens that say `text`, whether or not anyone reads them."""
        with self._lock:
            if call.first_token_s is None:
                call.first_token_s = time.monotonic()
            call.tokens += tokens
            call.texts.append(text)
            is_counted = call.epoch == self._epoch
            self._counts["tokens"] += tokens * is_counted
            if call.disconnected_s is not None:
                call.tokens_after_disconnect += tokens
                self._counts["tokens_after_disconnect"] += tokens * is_counted

    def end(self, call: OpenCall, outcome: Outcome, status: int) -> None:
        """The call is over. Only the first end of a call counts."""
        with self._lock:
            if call.finished_s is not None:
                return
            call.finished_s, call.status = time.monotonic(), status
            call.outcome = outcome if call.disconnected_s is None else "disconnected"
            self._list(call)
            self._open.discard(call)
            self._active.discard(call)
        if self._on_end is not None:
            self._on_end(call.snapshot())

    def end_all(self) -> None:
        """The server is going down: every call under way is broken, which is no client's doing."""
        with self._lock:
            under_way = list(self._open)
        for call in under_way:
            self.end(call, "broken", 0)

    def disconnected(self, call: OpenCall) -> None:
        """The client left before the end. Nothing if the call is over already."""
        with self._lock:
            if call.finished_s is not None or call.disconnected_s is not None:
                return
            call.disconnected_s, call.outcome = time.monotonic(), "disconnected"
            self._counts["disconnects"] += call.epoch == self._epoch

    def count(self, what: Literal["lookups", "pulls", "loads"]) -> None:
        """Another path of the API was asked, a download began, a model was loaded."""
        with self._lock:
            self._counts[what] += 1

    def reset(self) -> None:
        """Forget all calls and counters. Calls under way stay active and count nowhere else."""
        with self._lock:
            self._epoch += 1
            self._calls.clear()
            self._counts = Counter(peak=len(self._active))

    def _list(self, call: OpenCall, *, is_load: bool = False) -> None:
        """Count the call, and number and list it if it is for more than a load. Only once."""
        if call.is_listed or call.epoch != self._epoch:
            return
        call.is_listed = True
        if is_load:
            self._counts["load_requests"] += 1
            return
        self._counts["requests"] += 1
        call.number = self._counts["requests"]
        self._calls.append(call)
        self._active.add(call)
        self._counts["peak"] = max(self._counts["peak"], len(self._active))

    @property
    def stats(self) -> Stats:
        """The counters now."""
        with self._lock:
            active = len(self._active)
            return Stats(active=active, loading=len(self._open) - active, **self._counts)

    @property
    def calls(self) -> list[RecordedCall]:
        """The calls since the last reset, oldest first, without those that only load a model."""
        with self._lock:
            return [call.snapshot() for call in self._calls]
