"""Celery messages as they lie in a Redis list, written by hand: good ones and broken ones."""

import base64
import json
import uuid


def task_message(name: str, *args: object, **changes: object) -> dict[str, object]:
    """A message of Celery's protocol 2; `changes` replaces fields of the outermost object."""
    task_id = str(uuid.uuid4())
    callbacks = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    message: dict[str, object] = {
        "body": base64.b64encode(json.dumps([args, {}, callbacks]).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": name, "id": task_id, "root_id": task_id},
        "properties": task_properties(task_id),
    }
    return message | changes


def task_properties(task_id: str = "a-task", **changes: object) -> dict[str, object]:
    """The properties of such a message."""
    properties: dict[str, object] = {
        "correlation_id": task_id,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "celery"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    return properties | changes


def headers(name: str, **changes: object) -> dict[str, object]:
    """The headers of such a message."""
    return {"lang": "py", "task": name, "id": str(uuid.uuid4()), **changes}


def element(name: str, *args: object, **changes: object) -> bytes:
    """The same as bytes."""
    return json.dumps(task_message(name, *args, **changes)).encode()


def _body(payload: object) -> str:
    return base64.b64encode(json.dumps(payload).encode()).decode()


def first_protocol_job(job_id: str, *args: object) -> bytes:
    """A raw chat job as a client with Celery's first protocol sends it."""
    body = _body({"task": "tasks.chat_task", "id": job_id, "args": args, "kwargs": {}})
    return element("never", body=body, headers={}, properties=task_properties(job_id))


def unreadable_job(text: str) -> bytes:
    """A raw chat job whose body is that text and no JSON."""
    return element("tasks.chat_task", body=base64.b64encode(text.encode()).decode())


def embedding_job(embedded: object) -> bytes:
    """A raw chat job with something else where its callbacks should be."""
    return element("tasks.chat_task", body=_body([["energy", "s", "never"], {}, embedded]))


def _without(field: str) -> bytes:
    message = task_message("echo", "never")
    del message[field]
    return json.dumps(message).encode()


# Refused before they are handled: none of these is a message.
UNDECODABLE: dict[str, bytes] = {
    "not JSON": b"hello",
    "empty": b"",
    "cut in the middle": element("echo", "never")[:-20],
    "a list": b"[1,2]",
    "null": b"null",
    "not UTF-8": b'{"body": "\xff\xfe"}',
    "an unknown JSON type": b'{"__type__": "wizard", "__value__": 1}',
    "a JSON type with a wrong value": b'{"__type__": "uuid", "__value__": 1}',
    "nested too deeply": b"[" * 100_000,
    "no properties": _without("properties"),
    "properties of a wrong type": element("echo", "never", properties=[1]),
    "no delivery tag": element("echo", "never", properties=task_properties(delivery_tag=None)),
    "a delivery tag of a wrong type": element(
        "echo", "never", properties=task_properties(delivery_tag={"a": 1})
    ),
    "no delivery info": element("echo", "never", properties=task_properties(delivery_info=None)),
    "a routing key of a wrong type": element(
        "echo",
        "never",
        properties=task_properties(delivery_info={"exchange": "", "routing_key": 5}),
    ),
    "a lone surrogate in the delivery tag": element(
        "echo", "never", properties=task_properties(delivery_tag="\ud800")
    ),
    "a lone surrogate in the body": element("echo", "never", body="\ud800"),
    "headers of a wrong type": element("echo", "never", headers="x"),
    "headers without a task id": element("echo", "never", headers={"task": "echo"}),
    "a task id that is too long for one": element(
        "echo", "never", headers={"task": "echo", "id": "x" * 513}
    ),
    "a task name of a wrong type": element("echo", "never", headers={"task": [1], "id": "a"}),
}

# Refused by kombu's message class.
UNACCEPTABLE: dict[str, bytes] = {
    "bad base64": element("echo", "never", body="abc"),
    "a body of a wrong type": element("echo", "never", body=7),
    "an unknown body encoding": element(
        "echo", "never", properties=task_properties(body_encoding="rot13")
    ),
    "an unknown compression": element(
        "echo", "never", headers={"task": "echo", "id": "a", "compression": "magic"}
    ),
    "a wrong compression": element(
        "echo", "never", headers={"task": "echo", "id": "a", "compression": "gzip"}
    ),
}

# Refused by Celery, in code that expects no error.
INDIGESTIBLE: dict[str, bytes] = {
    "a payload that is a number": element("echo", "never", body=_body(7)),
    "a payload that is too short": element("echo", "never", body=_body([[], {}])),
    "wrong time limits": element(
        "echo", "never", headers={"task": "echo", "id": "a", "timelimit": 5}
    ),
}

MALFORMED = UNDECODABLE | UNACCEPTABLE | INDIGESTIBLE
