"""What happened: every call, and the counters. Safe to read from any thread at any time."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sandbox.ollama.bodies import Messages, ModelRequest
from sandbox.ollama.gojson import JsonObject

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


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call as it stands. Times are `time.monotonic()`; None for what has not happened."""

    number: int
    path: str
    model: str
    scenario: str
    messages: Messages
    options: JsonObject
    stream: bool
    body: bytes
    started_s: float
    finished_s: float | None
    disconnected_s: float | None
    outcome: Outcome
    status: int
    """The HTTP status answered, 0 while there is none."""
    tokens: int
    tokens_after_disconnect: int
    reply: str
    """The text produced so far, thinking excluded."""
    first_token_s: float | None = None


@dataclass(slots=True, eq=False)
class OpenCall:
    """The log's own record of a call, which grows. Only CallLog writes it."""

    epoch: int
    path: str
    body: bytes
    started_s: float
    number: int = 0
    is_listed: bool = False
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
    tokens: int = 0
    tokens_after_disconnect: int = 0
    texts: list[str] = field(default_factory=list)

    def snapshot(self) -> RecordedCall:
        """The call as an immutable record."""
        return RecordedCall(
            number=self.number,
            path=self.path,
            model=self.model,
            scenario=self.scenario,
            messages=self.messages,
            options=self.options,
            stream=self.stream,
            body=self.body,
            started_s=self.started_s,
            finished_s=self.finished_s,
            disconnected_s=self.disconnected_s,
            outcome=self.outcome,
            status=self.status,
            tokens=self.tokens,
            tokens_after_disconnect=self.tokens_after_disconnect,
            reply="".join(self.texts),
            first_token_s=self.first_token_s,
        )


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
        self._counts = _Counts()

    def begin(self, path: str, body: bytes) -> OpenCall:
        """A request has been read. It is listed once it is known what it wants, or has ended."""
        with self._lock:
            call = OpenCall(self._epoch, path, body, started_s=time.monotonic())
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
            self._counts.tokens += tokens * is_counted
            if call.disconnected_s is not None:
                call.tokens_after_disconnect += tokens
                self._counts.tokens_after_disconnect += tokens * is_counted

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
            self._counts.disconnects += call.epoch == self._epoch

    def looked_up(self) -> None:
        """Another path of the API was asked."""
        with self._lock:
            self._counts.lookups += 1

    def pulled(self) -> None:
        """A model is to be downloaded."""
        with self._lock:
            self._counts.pulls += 1

    def loaded(self) -> None:
        """A model was loaded."""
        with self._lock:
            self._counts.loads += 1

    def reset(self) -> None:
        """Forget all calls and counters. Calls under way stay active and count nowhere else."""
        with self._lock:
            self._epoch += 1
            self._calls.clear()
            self._counts = _Counts(peak=len(self._active))

    def _list(self, call: OpenCall, *, is_load: bool = False) -> None:
        """Count the call, and number and list it if it is for more than a load. Only once."""
        if call.is_listed or call.epoch != self._epoch:
            return
        call.is_listed = True
        if is_load:
            self._counts.load_requests += 1
            return
        self._counts.requests += 1
        call.number = self._counts.requests
        self._calls.append(call)
        self._active.add(call)
        self._counts.peak = max(self._counts.peak, len(self._active))

    @property
    def stats(self) -> Stats:
        """The counters now."""
        with self._lock:
            counts = self._counts
            return Stats(
                requests=counts.requests,
                load_requests=counts.load_requests,
                active=len(self._active),
                loading=len(self._open) - len(self._active),
                peak=counts.peak,
                disconnects=counts.disconnects,
                tokens=counts.tokens,
                tokens_after_disconnect=counts.tokens_after_disconnect,
                loads=counts.loads,
                lookups=counts.lookups,
                pulls=counts.pulls,
            )

    @property
    def calls(self) -> list[RecordedCall]:
        """The calls since the last reset, oldest first, without those that only load a model."""
        with self._lock:
            return [call.snapshot() for call in self._calls]


@dataclass(slots=True)
class _Counts:
    requests: int = 0
    load_requests: int = 0
    peak: int = 0
    disconnects: int = 0
    tokens: int = 0
    tokens_after_disconnect: int = 0
    loads: int = 0
    lookups: int = 0
    pulls: int = 0
