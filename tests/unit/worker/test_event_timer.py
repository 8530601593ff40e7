"""How often a worker looks whether it has task events to send."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from worker.consumer import EVENTS_EVERY_S, IDLE_EVERY_S, GriotConsumer


def test_an_idle_worker_looks_seldom_and_one_with_events_often() -> None:
    """Each look wakes the process; events go out at each, and the timer outlives an error."""
    pauses_s: list[float] = []
    planned: list[Callable[[], None]] = []

    def call_later(pause_s: float, call: Callable[[], None]) -> None:
        pauses_s.append(pause_s)
        planned.append(call)

    flushed: list[bool] = []
    dispatcher = SimpleNamespace(flush=lambda: flushed.append(True), buffer_limit=0)
    consumer = object.__new__(GriotConsumer)
    consumer._has_events, consumer._flush_pause_s = False, EVENTS_EVERY_S
    consumer.hub, consumer.event_dispatcher = SimpleNamespace(call_later=call_later), dispatcher
    consumer._flush_and_go_on()
    for _ in range(4):
        planned.pop()()
    assert pauses_s[-1] == IDLE_EVERY_S
    consumer.on_send_event_buffered()
    planned.pop()()
    assert pauses_s[-1] == EVENTS_EVERY_S
    assert len(flushed) == len(pauses_s)
    dispatcher.flush = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        planned.pop()()
    assert planned
