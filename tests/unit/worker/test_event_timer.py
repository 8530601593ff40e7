"""When a worker sends its task events."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from worker.consumer import EVENTS_EVERY_S, EVENTS_TOGETHER, GriotConsumer


class Hub:
    """Kombu's event loop, driven by hand."""

    def __init__(self) -> None:
        self.pauses_s: list[float] = []
        self.planned: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[..., None], *arguments: object) -> None:
        """At once."""
        call(*arguments)

    def call_later(self, pause_s: float, call: Callable[[], None]) -> None:
        """Noted."""
        self.pauses_s.append(pause_s)
        self.planned.append(call)


def test_a_worker_has_a_timer_only_while_it_has_events() -> None:
    """Each look wakes the process. Events that come together go together, also after an error."""
    hub, flushed = Hub(), list[bool]()
    dispatcher = SimpleNamespace(flush=lambda: flushed.append(True), buffer_limit=0)
    consumer = object.__new__(GriotConsumer)
    consumer._is_flush_due = False
    consumer.hub, consumer.event_dispatcher = hub, dispatcher
    for _ in range(3):
        consumer.on_send_event_buffered()
    assert hub.pauses_s == [EVENTS_EVERY_S]
    assert dispatcher.buffer_limit == EVENTS_TOGETHER
    hub.planned.pop()()
    assert flushed == [True]
    assert not hub.planned
    dispatcher.flush = lambda: 1 / 0
    consumer.on_send_event_buffered()
    with pytest.raises(ZeroDivisionError):
        hub.planned.pop()()
    consumer.on_send_event_buffered()
    assert hub.planned
