"""What strangers may send, made up by hypothesis: broker elements, envelopes, jobs, broadcasts."""

import base64
import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import strategies as st

from tests.support.faults.celery_messages import MALFORMED, task_properties
from tests.support.faults.odd_values import (
    anything,
    ids,
    kept_schedules,
    moments,
    nested,
    options,
    rhythms,
    texts,
    values,
    vectors,
)
from tests.support.faults.sender import AGENT_ID

CHAT = "tasks.chat_task"
STORED_SESSION = "fuzz-stored"

HEADERS = (
    "lang", "task", "id", "root_id", "parent_id", "group", "group_index", "shadow", "eta",
    "expires", "retries", "timelimit", "argsrepr", "kwargsrepr", "origin", "ignore_result",
    "replaced_task_nesting", "stamped_headers", "stamps", "compression", "griot_wakeup",
    "griot_due_at", "griot_prefix", "redelivered", "reply_to", "chord", "callbacks",
)  # fmt: skip
header_values = anything | st.sampled_from(
    ["2020-01-01T00:00:00", "2099-01-01T00:00:00", CHAT, "gzip", "bzip2", "lzma", "zstd", "other"]
)
PROPERTIES = (
    "correlation_id", "reply_to", "delivery_mode", "delivery_info", "priority", "body_encoding",
    "delivery_tag",
)  # fmt: skip
OUTER = ("body", "content-encoding", "content-type", "headers", "properties", "more")
TASKS = (CHAT, "tasks.sweep", "tasks.maintenance.cleanup", "tasks.chat_tsk", "celery.accumulate")


@dataclass(frozen=True, slots=True)
class Element:
    """What is pushed onto the list of a queue."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What is published to all workers."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """What lies in the mailbox of STORED_SESSION under a job's id."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What lies among the schedules of a session, and is due."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Made:
    """The arguments of a schedule that is made as a service makes it."""

    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Vectors:
    """What lies in the place of a request for vectors, of which a worker is told."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """The arguments and Celery options of a job that is sent as a service sends it."""

    arguments: Mapping[str, object]
    celery: Mapping[str, object]


Odd: TypeAlias = Element | Broadcast | Stored | Sent | Scheduled | Made | Vectors


def _bytes(value: object) -> bytes:
    return json.dumps(value, default=repr).encode("utf-8", "surrogatepass")


def _element(
    task: str, payload: object, headers: Mapping[str, object], /, **changes: object
) -> dict[str, object]:
    packed = base64.b64encode(_bytes(payload)).decode()
    return {
        "body": packed,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": "fuzz", **headers},
        "properties": task_properties("fuzz"),
        **changes,
    }


@st.composite
def _messages(draw: st.DrawFn) -> bytes:
    """A message of Celery's with one or a few oddities."""
    kwargs = {"agent_id": draw(ids), "session_id": draw(ids), "message": draw(texts)}
    args: object = []
    embed: object = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    kind = draw(
        st.sampled_from(["options", "ids", "embed", "args", "headers", "outer", "property"])
    )
    headers: dict[str, object] = {"id": draw(st.uuids().map(str))}
    changes: dict[str, object] = {}
    if kind == "options":
        kwargs |= draw(options)
    elif kind == "ids":
        headers["id"] = draw(ids)
        kwargs["agent_id"] = draw(anything)
    elif kind == "embed":
        name = draw(st.sampled_from(["callbacks", "errbacks", "chain", "chord"]))
        embed = draw(anything | st.fixed_dictionaries({name: anything}))
    elif kind == "args":
        args = draw(anything)
        kwargs = draw(st.just({}) | anything)  # type: ignore[assignment]  # that is the point
    elif kind == "headers":
        for name in draw(st.lists(st.sampled_from(HEADERS), min_size=1, max_size=3)):
            headers[name] = draw(header_values)
    elif kind == "outer":
        changes[draw(st.sampled_from(OUTER))] = draw(anything)
    else:
        name = draw(st.sampled_from(PROPERTIES))
        changes["properties"] = task_properties("fuzz", **{name: draw(anything)})
    task = draw(st.sampled_from(TASKS)) if kind in ("headers", "args") else CHAT
    return _bytes(_element(task, [args, kwargs, embed], headers, **changes))


@st.composite
def _broken(draw: st.DrawFn) -> bytes:
    """A message that was cut, or of which some bytes are others."""
    data = bytearray(draw(_messages()))
    if draw(st.booleans()):
        return bytes(data[: draw(st.integers(0, len(data)))])
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": zlib.compress,
    "bzip2": bz2.compress,
    "lzma": lzma.compress,
}


@st.composite
def _compressed(draw: st.DrawFn) -> bytes:
    """A body that grows when it is decompressed, or cannot be."""
    name = draw(st.sampled_from(sorted(PACKERS)))
    text, times = draw(st.sampled_from([("x", 20_000_000), ("[", 5000), ("[[],{},{}]", 1)]))
    packed = PACKERS[name](text.encode() * times)[: draw(st.sampled_from([None, -3]))]
    changes = {"body": base64.b64encode(packed).decode()}
    headers = {"id": draw(st.uuids().map(str)), "compression": name}
    return _bytes(_element(CHAT, [], headers, **changes))


_FIXED: Mapping[str, bytes] = {
    **MALFORMED,
    "a long shadow": _bytes(_element(CHAT, [[], {}, {}], {"shadow": "x" * 1_000_000})),
    "long headers": _bytes(_element(CHAT, [[], {}, {}], {"more": "x" * 6_000_000})),
    "a long message": _bytes(_element(CHAT, [["a", "b", "x" * 6_000_000], {}, {}], {})),
    "a body of brackets": _bytes(_element(CHAT, [[], {}, {}], {}, body="[" * 5000)),
    "a deep body": _bytes(_element(CHAT, nested(900, 1), {})),
    "lists in lists": b"[" * 200_000,
    "objects in objects": b'{"a":' * 5000,
}
_fixed = st.sampled_from(sorted(_FIXED)).map(_FIXED.__getitem__)
elements = st.one_of(
    _messages(), _messages(), _messages(), _broken(), st.binary(max_size=64), values.map(_bytes)
)
broadcasts = st.one_of(
    _broken(),
    _fixed,
    st.fixed_dictionaries({"method": texts, "arguments": anything, "destination": anything}).map(
        lambda body: _bytes(_element("", body, {}))
    ),
)
_job = st.builds(
    lambda fixed, more: fixed | more,
    st.fixed_dictionaries(
        {
            "agent_id": st.just(AGENT_ID) | ids,
            "session_id": st.just(STORED_SESSION) | ids,
            "message": texts,
        }
    ),
    options,
)
envelopes = st.one_of(
    st.binary(max_size=64),
    st.fixed_dictionaries({"job": _job, "publish": anything}).map(_bytes),
    st.fixed_dictionaries({"job": anything, "sent_at": anything}).map(_bytes),
    st.sampled_from([b"5:abc", b"999999999999:a,", b"2:{},1:a,2:{},"]),
    _fixed,
)
sent = st.builds(
    Sent,
    st.builds(
        lambda fixed, more: fixed | more,
        st.fixed_dictionaries({"agent_id": ids, "session_id": ids, "message": texts}),
        options,
    ),
    st.dictionaries(
        st.sampled_from(
            ["headers", "shadow", "link", "queue", "priority", "root_id", "reply_to", "eta",
             "countdown"]
        ),
        moments,
        max_size=2,
    ),
)  # fmt: skip
odd_things: st.SearchStrategy[Odd] = st.one_of(
    elements.map(Element),
    elements.map(Element),
    elements.map(Element),
    _compressed().map(Element),
    _fixed.map(Element),
    broadcasts.map(Broadcast),
    envelopes.map(Stored),
    sent,
    (kept_schedules.map(_bytes) | _fixed).map(Scheduled),
    st.builds(lambda one, more: Made({**one, **more}), rhythms, options),
    (vectors.map(_bytes) | _fixed).map(Vectors),
)
