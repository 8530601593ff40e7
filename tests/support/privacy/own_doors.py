"""Doors of a service that uses ours: `delay` with each option, and what becomes of a job."""

import asyncio
import base64
import json

from celery import chord
from click.testing import CliRunner

from tasks import EventType, aio, app, chat_task, follow_job
from tests.support.privacy.setup import Door, Setup
from tests.support.waiting import wait_until
from worker.cli import main

SCHEMA = {"type": "object", "properties": {}, "required": []}


def option(name: str, *, model: str = "instant") -> Door:
    """The text as one option of a job, whatever that option is."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        setup.send(session, "hello", **{"model": model, name: text})

    return go_in


def value(name: str, shape: object, *, model: str = "instant") -> Door:
    """The same within a value: each `TEXT` of it becomes the text."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        filled = json.loads(json.dumps(shape).replace("TEXT", text))
        setup.send(session, "hello", **{"model": model, name: filled})

    return go_in


def of_celery(name: str, shape: object = "TEXT") -> Door:
    """The text in one of Celery's own options."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        filled = json.loads(json.dumps(shape).replace("TEXT", text))
        setup.send(session, "hello", model="instant", celery={name: filled})

    return go_in


def said_to(model: str, agent: str = "energy", **options: object) -> Door:
    """A message that this model answers; the stand-in's replies repeat it."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        setup.send(session, text, agent=agent, model=model, **options)

    return go_in


def image(setup: Setup, session: str, text: str) -> None:
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + text.encode()).decode()
    setup.send(session, "look", model="vision", images=[picture])


def linked(setup: Setup, session: str, text: str) -> None:
    link = setup.inbox.task().clone(kwargs={"note": text})
    error = setup.inbox.task().clone(kwargs={"note": text})
    setup.send(session, text, model="instant", celery={"link": link, "link_error": error})


def into_chain(setup: Setup, session: str, text: str) -> None:
    """The reply goes on to a task of another service, and from there to one of ours."""
    kwargs = {"agent_id": "energy", "session_id": session, "message": text}
    first = chat_task.signature(kwargs=kwargs, app=app)
    setup.job_ids.append((first | setup.inbox.task()).apply_async().parent.id)


def into_chord(setup: Setup, session: str, text: str) -> None:
    """Both replies are arguments of the chord's body, whose message our worker writes."""
    sessions = [f"{session}-a", f"{session}-b"]
    kwargs = [{"agent_id": "energy", "session_id": one, "message": text} for one in sessions]
    parts = [chat_task.signature(kwargs=one, app=app) for one in kwargs]
    body = setup.inbox.task().clone(kwargs={"note": text})
    setup.job_ids += [one.id for one in chord(parts, app=app)(body).parent.results]


def by_asyncio(setup: Setup, session: str, text: str) -> None:
    async def send() -> str:
        sent = await aio.send("energy", session, text, model="instant")
        await aio.aclose()
        return str(sent.id)

    setup.job_ids.append(asyncio.run(send()))


def behind(on_busy: str) -> Door:
    """A message that meets a session that is busy."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        options = {"metadata": {"user_id": session}, "model": "delay:0.3s"}
        for number in range(3):
            setup.send(session, f"{text} {number}", on_busy=on_busy, **options)

    return go_in


def cancelled(setup: Setup, session: str, text: str) -> None:
    job_id = setup.send(session, text, model="endless")
    assert any(event.type is EventType.TOKEN for event in follow_job(job_id))
    chat_task.cancel(job_id)


def requeued(setup: Setup, session: str, text: str) -> None:
    job_id = setup.send(session, text, model="missing")
    command = CliRunner()
    wait_until(
        lambda: command.invoke(main, ["dead-letters", "show", job_id]).exit_code == 0,
        what="it is a dead letter",
    )
    setup.refusals.append(command.invoke(main, ["dead-letters", "list"]).output)
    command.invoke(main, ["dead-letters", "requeue", job_id])


def imported(setup: Setup, session: str, text: str) -> None:
    """A file that is none: what is said of it is what an operator pastes into a ticket."""
    for line in (text, json.dumps({"kind": text}), json.dumps({text: text})):
        done = CliRunner().invoke(main, ["import", "-"], input=f"{line}\n")
        setup.refusals.append(done.output)


DOORS: dict[str, Door] = {
    "the message": said_to("instant"),
    "a reply that thinks": said_to("think"),
    "the system prompt": option("system_prompt"),
    "words for a model": option("model"),
    "words for an option": lambda setup, session, text: setup.send(session, "hi", **{text: 1}),
    "words for thinking": option("think"),
    "words for a format": option("format"),
    "words for on_busy": option("on_busy"),
    "words for images": value("images", ["TEXT"]),
    "an image": image,
    "words for a tool": value("tools", ["TEXT"]),
    "an idempotency key": option("idempotency_key"),
    "metadata": value("metadata", {"TEXT": "TEXT"}),
    "metadata that are refused": lambda setup, session, text: setup.send(
        session, "hi", metadata={text: object()}
    ),
    "a user": value("metadata", {"user_id": "TEXT"}),
    "a schema": value("format", {**SCHEMA, "description": "TEXT"}),
    "a schema that no reply fits": value("format", {**SCHEMA, "required": ["TEXT"]}),
    "a schema with a wrong keyword": value("format", {"type": "TEXT"}),
    "a schema with a wrong reference": value("format", {"$ref": "#/$defs/TEXT"}),
    "a schema with a wrong pattern": value("format", {"type": "string", "pattern": "(TEXT"}),
    "a schema with a wrong version": value("format", {"$schema": "TEXT"}),
    "words for a property": value("format", {**SCHEMA, "properties": {"TEXT": {"type": "TEXT"}}}),
    "words for a property that no reply has": value(
        "format", {"type": "object", "anyOf": [{"$ref": "#/$defs/TEXT"}], "$defs": {"TEXT": False}}
    ),
    "a name for monitors": of_celery("shadow"),
    "a header": of_celery("headers", {"x-note": "TEXT"}),
    "a serializer": of_celery("serializer"),
    "an exchange": of_celery("exchange"),
    "a time": of_celery("eta"),
    "who replies": of_celery("reply_to"),
    "a link": linked,
    "a chain": into_chain,
    "a chord": into_chord,
    "an event loop": by_asyncio,
    "a busy session: merge": behind("merge"),
    "a busy session: interrupt": behind("interrupt"),
    "a busy session: replace": behind("replace_pending"),
    "a busy session: reject": behind("reject"),
    "a job that is cancelled": cancelled,
    "a dead letter that is sent again": requeued,
    "a model that fails": said_to("error-line"),
    "a reply that is cut": said_to("cut"),
    "a request that is refused": said_to("bad-400"),
    "a prompt that is too long": said_to("overflow-400"),
    "a tool that crashes": said_to("tools", agent="crashing"),
    "a tool that refuses": said_to("tools", agent="refusing"),
    "a tool that says how far it is": said_to("tools", agent="telling"),
    "a tool that is given what it does not take": said_to("tools", agent="counting"),
    "a call that cannot be read": said_to("bad-call"),
    "a file that is imported": imported,
}
"""What a test sends its text through."""
