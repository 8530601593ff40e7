"""A queue that nobody consumes but the test: what is sent to it can be looked at."""

import uuid

import pytest
from celery.canvas import Signature
from kombu import Connection as Broker
from kombu.message import Message

from tasks import app
from tests.support.machine import scaled

WAIT_S = scaled(20)


class Inbox:
    """A queue of the test's own, on a broker."""

    def __init__(self, broker: Broker) -> None:
        self.name = f"inbox-{uuid.uuid4().hex[:8]}"
        self._queue = broker.SimpleQueue(self.name)

    def task(self, name: str = "somebody.elses") -> Signature:
        """A task that lands here."""
        return app.signature(name, queue=self.name)

    def messages(self) -> list[Message]:
        """All that lies here; it is taken out."""
        found = []
        try:
            while True:
                found.append(self._queue.get(block=False))
                found[-1].ack()
        except self._queue.Empty:
            return found

    def received(self, count: int) -> list[tuple[str, str, object]]:
        """Id, name and first argument of the next messages; fails where there are more."""
        found = []
        for _ in range(count):
            message = self._queue.get(timeout=WAIT_S)
            (args, _, _), headers = message.payload, message.headers
            found.append((headers["id"], headers["task"], args[0] if args else None))
            message.ack()
        with pytest.raises(self._queue.Empty):
            self._queue.get(block=False)
        return found
