"""What a worker shows of a message: nothing that its sender could have put there freely."""

import base64
import json
from types import SimpleNamespace

import pytest
from celery import Celery
from kombu.message import Message

from tasks.attempt.request import NO_LIMITS, ChatTaskRequest, MessageIsOver
from tasks.process.app import GriotCelery
from tasks.process.received import UnshownRequest
from tasks.process.unshown import NOT_SHOWN

WORDS = "what nobody may read"
MEGABYTE = "x" * 1_000_000


@pytest.fixture
def app() -> Celery:
    """An app with one task."""
    made = GriotCelery("received", set_as_current=False, broker="memory://")
    made.task(name="somebody.asks")(asked)
    return made


def asked(question: str) -> str:
    """A task's body."""
    return question


def received(
    app: Celery, kind: type[UnshownRequest] = UnshownRequest, **headers: object
) -> UnshownRequest:
    """A request as a worker makes it of a message with these headers."""
    body = json.dumps([[WORDS], {"more": WORDS}, {}]).encode()
    given = {"task": "somebody.asks", "id": "a-task", "lang": "py", **headers}
    info = {"exchange": WORDS, "routing_key": "chat", "redelivered": False}
    message = Message(
        body=base64.b64encode(body),
        content_type="application/json",
        content_encoding="utf-8",
        headers=given,
        delivery_info=info,
        properties={"body_encoding": "base64"},
        accept={"application/json"},
    )
    message.body = body
    return kind(message, app=app, task=app.tasks["somebody.asks"])


def test_arguments_are_not_shown_however_their_sender_shows_them(app: Celery) -> None:
    """In events, in the log and by `celery inspect`."""
    request = received(app, argsrepr=f"({WORDS!r},)", kwargsrepr=WORDS)
    assert (request.argsrepr, request.kwargsrepr) == ("()", NOT_SHOWN)
    shown = {name: request.request_dict[name] for name in ("argsrepr", "kwargsrepr")}
    assert WORDS not in repr(shown)
    assert WORDS not in repr(request.info()) + repr(request.info(safe=False))
    assert request.args == [WORDS], "the task gets them"


def test_a_name_for_monitors_is_a_name(app: Celery) -> None:
    """Any other is the task's own."""
    assert received(app, shadow="nightly").name == "nightly"
    for shadow in (WORDS, MEGABYTE, 7, ["a"], "a\nb"):
        request = received(app, shadow=shadow)
        assert (request.name, request.request_dict["shadow"]) == ("somebody.asks", None)


@pytest.mark.parametrize("name", ["root_id", "parent_id", "group"])
def test_an_id_is_an_id(app: Celery, name: str) -> None:
    """What cannot be one is taken out: events repeat it."""
    assert received(app, **{name: "4f1c"}).request_dict[name] == "4f1c"
    for given in (MEGABYTE, 7, [WORDS], ""):
        request = received(app, **{name: given})
        assert request.request_dict[name] is None
        assert not request.root_id
        assert not request.parent_id


def test_a_count_of_retries_is_a_number(app: Celery) -> None:
    """Events repeat it too."""
    assert received(app, retries=3).request_dict["retries"] == 3
    assert received(app, retries=WORDS).request_dict["retries"] == 0


def test_what_the_app_sends_shows_no_argument(app: Celery) -> None:
    """Unless who sends it says how to show it."""
    message = app.amqp.as_task_v2("an-id", "somebody.asks", (WORDS,), {"more": WORDS})
    assert WORDS not in repr(message.headers)
    assert message.headers["argsrepr"] == message.headers["kwargsrepr"] == NOT_SHOWN
    shown = app.amqp.as_task_v2("an-id", "somebody.asks", (WORDS,), {}, argsrepr="(one,)")
    assert shown.headers["argsrepr"] == "(one,)"


def test_a_task_with_other_arguments_does_not_name_them(app: Celery) -> None:
    """Python's own error has the name of an argument as its sender gave it."""
    with pytest.raises(TypeError) as refused:
        app.tasks["somebody.asks"]("why", **{WORDS: 1})
    assert str(refused.value) == "somebody.asks was called with wrong arguments"
    assert app.tasks["somebody.asks"]("why") == "why"


def test_time_limits_of_a_chat_job_are_not_celerys(app: Celery) -> None:
    """It would kill a process for them, and all its other turns; the job is told of them."""
    request = received(app, ChatTaskRequest, timelimit=[30, 20])
    assert request.time_limits == NO_LIMITS
    assert request.request_dict["timelimit"] == [30, 20]
    assert received(app, timelimit=[30, 20]).time_limits == [30, 20], "those of other tasks are"


def test_monitors_hear_that_a_message_has_come_for_nothing(app: Celery) -> None:
    """Else they would show its task as running for ever; the broker hears that it is handled."""
    app.tasks["somebody.asks"].acks_late = True
    told, handled = list[object](), list[object]()
    request = received(app, ChatTaskRequest)
    request._eventer = SimpleNamespace(
        enabled=True, send=lambda kind, **fields: told.append((kind, fields))
    )
    request._on_ack = lambda *about: handled.append(about)
    request.on_failure(MessageIsOver("waits for a slot"), return_ok=True)
    expected = {"uuid": "a-task", "exception": "waits for a slot", "traceback": ""}
    assert told == [("task-retried", expected)]
    assert len(handled) == 1
    assert request.acknowledged
