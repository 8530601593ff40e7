"""Doors of strangers: jobs of a service without our code, and messages written by hand."""

import base64
import json
import uuid

from tasks import InvalidJob, chat_task, follow_job
from tests.support.faults.celery_messages import element, headers, task_message, task_properties
from tests.support.privacy.setup import Door, Setup

CHAT = "tasks.chat_task"


def raw_option(name: str) -> Door:
    """A raw job with the text as one of its arguments."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        given = {"agent_id": "energy", "session_id": session, "message": "hello", name: text}
        setup.raw(kwargs=given)

    return go_in


def header(name: str, task: str = CHAT) -> Door:
    """A raw job with the text in one of its headers, and nothing else that is long."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        setup.push(element(task, "energy", session, text, headers=headers(task, **{name: text})))

    return go_in


def other_task(name: str, *, has_result: bool = True) -> Door:
    """The text as an argument of another task than ours, represented by its sender, too."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        # Each by itself, for Python says of the second only whether the first are too many.
        for given in ({"args": [text, [[text]]]}, {"kwargs": {text: 1}}):
            sent = setup.foreign.send_task(name, **given, queue="chat")
            setup.job_ids += [sent.id] if has_result else []

    return go_in


def of_many(name: str) -> Door:
    """`chat_task.map([...])` and its like."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        task = setup.foreign.signature(CHAT)
        extra = [2] if name == "celery.chunks" else []
        setup.raw(dict(task), [["energy", session, text]] * 2, *extra, name=name, queue="chat")

    return go_in


def body(packed: bytes, kind: str, encoding: str = "binary") -> Door:
    """A body of another serializer; each `TEXT` in it becomes the text."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        filled = base64.b64encode(packed.replace(b"TEXT", text.encode())).decode()
        about = {"content-type": kind.replace("TEXT", text), "content-encoding": encoding}
        setup.push(element(CHAT, body=filled, **about))

    return go_in


def without_a_task(setup: Setup, session: str, text: str) -> None:
    for payload in ([text], {text: text}, {"task": text}):
        packed = base64.b64encode(json.dumps(payload).encode()).decode()
        setup.push(element("never", body=packed, headers={"note": text}))


def first_protocol(name: str) -> Door:
    """A message of Celery's first protocol; each `TEXT` in its name becomes the text."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        task = {"task": name.replace("TEXT", text), "id": str(uuid.uuid4())}
        task |= {"args": ["energy", session, text], "kwargs": {"note": text}}
        packed = base64.b64encode(json.dumps(task).encode()).decode()
        setup.push(element("never", body=packed, headers={}))

    return go_in


def a_place(setup: Setup, session: str, text: str) -> None:
    """A routing key and a priority of somebody's words; it runs until it is cancelled."""
    properties = task_properties(
        delivery_info={"exchange": text, "routing_key": "chat"}, priority=text
    )
    message = task_message(CHAT, "energy", session, text, properties=properties)
    kwargs = {"model": "endless"}
    payload = [["energy", session, text], kwargs, {}]
    message["body"] = base64.b64encode(json.dumps(payload).encode()).decode()
    setup.held.append(message["headers"]["id"])
    setup.push(json.dumps(message).encode())


def scheduled(setup: Setup, session: str, text: str) -> None:
    setup.foreign.send_task(CHAT, args=["energy", session, text], countdown=3600)


def held(setup: Setup, session: str, text: str) -> None:
    """A raw job that runs until it is cancelled."""
    kwargs = {"agent_id": "energy", "session_id": session, "message": text, "model": "endless"}
    setup.held.append(setup.foreign.send_task(CHAT, kwargs=kwargs).id)


def command(method: str, **arguments: object) -> Door:
    """A command of Celery's remote control."""

    def go_in(setup: Setup, session: str, text: str) -> None:
        filled = {name.replace("TEXT", text): text for name in arguments}
        setup.foreign.control.broadcast(method.replace("TEXT", text), arguments=filled)

    return go_in


def as_session(setup: Setup, session: str, text: str) -> None:
    """An id of a session, of an agent, of a job: of jobs that are answered and that fail."""
    setup.send(text, "hello", model="instant")
    setup.send(session, "hello", agent=text, model="missing")
    setup.send(session, "hello", model="missing", celery={"task_id": f"{session}{text}"})
    for kwargs in ({}, {"model": "missing"}, {"temperature": "hot"}):
        given = {"agent_id": "energy", "session_id": text, "message": "hello", **kwargs}
        setup.raw(kwargs=given, task_id=f"{len(setup.job_ids)}{text}")
    setup.raw("energy", name=text, task_id=f"no such task {text}")
    setup.push(element(CHAT, "energy", headers=headers(CHAT, id=text, eta="never", shadow=text)))
    for ask in (chat_task.cancel, lambda job_id: [*follow_job(job_id)]):
        try:
            ask(f"unknown {text}")
        except InvalidJob as refusal:
            setup.refusals.append(str(refusal))
    setup.foreign.control.broadcast(text)


DOORS: dict[str, Door] = {
    "raw: the message": raw_option("message"),
    "raw: by position": lambda setup, session, text: setup.raw("energy", session, text),
    "raw: too many positions": lambda setup, session, text: setup.raw("a", session, "hi", text),
    "raw: too few": lambda setup, session, text: setup.raw(kwargs={"agent_id": text[:1] + "x"}),
    "raw: words for a model": raw_option("model"),
    "raw: words for a temperature": raw_option("temperature"),
    "raw: words for tools": raw_option("tools"),
    "raw: words for a format": raw_option("format"),
    "raw: words for an option": lambda setup, session, text: setup.raw(
        kwargs={"agent_id": "energy", "session_id": session, "message": "hi", text: text}
    ),
    "raw: too long": lambda setup, session, text: setup.raw("energy", session, text * 3000),
    "raw: too long an id": lambda setup, session, text: setup.raw("energy", text * 50, "hi"),
    "raw: an id of another type": lambda setup, session, text: setup.raw([text], session, "hi"),
    "raw: few headers": header("argsrepr"),
    "a message's shadow": header("shadow"),
    "a message's own header": header("x-note"),
    "a message's deployment": header("griot_prefix"),
    "a message's eta": header("eta"),
    "a message's expiry": header("expires"),
    "a message's retries": header("retries"),
    "a message's origin": header("origin"),
    "a message's group": header("group"),
    "a message's stamps": header("stamps"),
    "a message's compression": header("compression"),
    "a message's time limits": header("timelimit"),
    "no such task": other_task("tasks.chat_tsk"),
    "words for a task": lambda setup, session, text: setup.push(
        element(text, text, headers=headers(text, shadow=text))
    ),
    "the sweep": other_task("tasks.sweep", has_result=False),
    "clean-up": other_task("tasks.maintenance.clean_stale_sessions"),
    "celery.map": of_many("celery.map"),
    "celery.starmap": of_many("celery.starmap"),
    "celery.chunks": of_many("celery.chunks"),
    "celery.group": other_task("celery.group"),
    "celery.chain": other_task("celery.chain"),
    "celery.chord": other_task("celery.chord"),
    "celery.accumulate": other_task("celery.accumulate"),
    "celery.chord_unlock": other_task("celery.chord_unlock", has_result=False),
    "pickle": body(b"cposix\nsystem\n(S'TEXT'\ntR.", "application/x-python-serialize"),
    "YAML": body(b"- [energy, s, TEXT]\n- {}\n- {}", "application/x-yaml", "utf-8"),
    "words for a kind": body(b"TEXT", "TEXT", "utf-8"),
    "a body that is no JSON": body(b"TEXT", "application/json", "utf-8"),
    "a body that is a text": body(b'"TEXT"', "application/json", "utf-8"),
    "a body with words for callbacks": body(
        b'[["energy", "s", "TEXT"], {}, {"chord": "TEXT"}]', "application/json", "utf-8"
    ),
    "a body with words for arguments": body(b'["TEXT", "TEXT", {}]', "application/json", "utf-8"),
    "a message of no task": without_a_task,
    "the first protocol": first_protocol(CHAT),
    "the first protocol, of no such task": first_protocol("TEXT"),
    "no message at all": lambda setup, session, text: setup.push(text.encode()),
    "a place": a_place,
    "a job that waits for its time": scheduled,
    "a job that runs": held,
    "a command that is none": command("TEXT"),
    "a command with arguments": command("rate_limit", TEXT=1),
}
"""What a test sends its text through."""
