"""Asking a worker to drain, without a broker."""

from typing import NoReturn

import pytest
from amqp.exceptions import ConnectionError as Lost
from kombu import Connection
from kombu.exceptions import OperationalError

from tasks.process.app import app
from tasks.submit.drain import look


def test_a_broker_that_goes_away_while_a_worker_is_asked_is_one_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`griot drain --wait` asks for hours: whatever the broker's client raises is kombu's error."""

    def lost(*_: object, **__: object) -> NoReturn:
        raise Lost("the server has closed the connection")

    monkeypatch.setattr(app, "connection_for_write", lambda **_: Connection("memory://"))
    monkeypatch.setattr(app.control, "broadcast", lost)
    with pytest.raises(OperationalError, match="has closed the connection"):
        look("celery@host-1")
