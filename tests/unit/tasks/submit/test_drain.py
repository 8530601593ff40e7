"""Asking a worker to drain, without a broker."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import NoReturn

import pytest
from amqp.exceptions import ConnectionError as Lost
from kombu import Connection
from kombu.exceptions import OperationalError

from tasks.errors import CannotDrain
from tasks.process.app import app
from tasks.submit import drain as draining
from tasks.submit.drain import Draining, drain, look


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


@pytest.mark.parametrize("late", [1, 2])
def test_a_worker_that_answers_late_is_asked_once_more(
    monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    """It is there, as it says when it is asked for that; one that stays silent is not unknown."""
    answers: list[object] = [None] * late + [[{"w@h": {"running": 1, "given_back": 0}}]]
    services = SimpleNamespace(memory=None, keyspace=None)
    monkeypatch.setattr(draining, "producer_services", lambda: services)
    monkeypatch.setattr(draining.audit, "recorded", lambda *_: nullcontext(SimpleNamespace()))
    monkeypatch.setattr(app, "connection_for_write", lambda **_: Connection("memory://"))
    monkeypatch.setattr(app.control, "broadcast", lambda *_, **__: answers.pop(0))
    pinged = SimpleNamespace(ping=lambda: {"w@h": {"ok": "pong"}})
    monkeypatch.setattr(app.control, "inspect", lambda **_: pinged)
    if late == 1:
        assert drain("w@h") == Draining("w@h", running=1, given_back=0)
        return
    with pytest.raises(CannotDrain, match="w@h is there, but answers too late"):
        drain("w@h")
