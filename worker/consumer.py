"""Celery's consumer, which here sends its task events in batches."""

from celery.worker.consumer import Consumer

EVENTS_EVERY_S = 0.1
EVENTS_TOGETHER = 500


class GriotConsumer(Consumer):  # type: ignore[misc]  # Celery ships no types
    """Task events wait up to EVENTS_EVERY_S, or until there are EVENTS_TOGETHER, and go together.

    Celery 5.7.0 publishes at the next turn of its loop and so nearly each event by itself, which
    was a tenth of a worker's CPU; in portions of its own limit, 24, they still are a twentieth.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        if self.hub is not None:
            self.hub.call_repeatedly(EVENTS_EVERY_S, self._flush_events)

    def on_send_event_buffered(self) -> None:
        """Nothing: the timer sends it."""
        self.event_dispatcher.buffer_limit = EVENTS_TOGETHER

    def shutdown(self) -> None:
        """Send what still waits, then end."""
        self._flush_events()
        super().shutdown()
