"""What follows a job: links, chains, chords and groups in Celery, and a webhook. Pure.

It lies in the mailbox beside the job, not in its wake-up, so it follows each end of the job,
whoever ends it. A job that is merged into another hands it over: the callbacks of both follow the
job that answers. One line of JSON for each job, the answering one first or last.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence

import orjson
from celery.app.task import Context
from celery.exceptions import CeleryError
from kombu.exceptions import SerializerNotInstalled
from kombu.utils import json
from pydantic import JsonValue

from memory import Backpressure, CorruptData, InvalidInput
from tasks.errors import InvalidJob, SessionBusy
from tasks.job.envelope import CALLBACK_OPTIONS
from telemetry import tracing

UNSENDABLE = (
    Backpressure,
    CeleryError,
    CorruptData,
    InvalidInput,
    InvalidJob,
    RuntimeError,
    SerializerNotInstalled,
    SessionBusy,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What says that a message cannot be sent, however often it is tried: raised by kombu and Celery,
which check options and signatures late, and by a chat task that is called."""
_OF_CHORD = ("chord", "group_id", "group_index")
_NAMESPACE = uuid.UUID("5b3a3f6e-2f0c-5c57-9a0b-6772696f7432")
_LINKS = frozenset({"link", "link_error"})
_PARTS = frozenset({"tasks", "header", "body"})
"""Where Celery's composite signatures hold what they are made of."""


def packed_callbacks(
    job_id: str,
    options: Mapping[str, JsonValue],
    *,
    webhook: str | None,
    trace: Mapping[str, str] | None = None,
    is_requeued: bool = False,
) -> bytes:
    """The line of a job that is published with these options; empty where nothing follows it."""
    kept = {name: options[name] for name in CALLBACK_OPTIONS & options.keys()}
    if is_requeued:
        # The chord has counted the first life of the job, which failed.
        kept = {name: value for name, value in kept.items() if name not in _OF_CHORD}
    hooked = {"webhook": webhook} if webhook else {}
    traced = {"trace": {**trace}} if trace else {}
    line = {"job": job_id, "options": kept, **hooked, **traced}
    return orjson.dumps(line) + b"\n" if kept or hooked else b""


def webhooks_of(lines: bytes) -> Iterator[tuple[str, str, tracing.Carrier]]:
    """The jobs that have a webhook, each with its address and its place in a trace. A line that is
    damaged has none."""
    for line in lines.splitlines():
        match _facts(line):
            case {"job": str(job_id), "webhook": str(url), **others}:
                yield job_id, url, tracing.checked(others.get("trace"))


def place_of(job_id: str, lines: bytes) -> tracing.Carrier:
    """The place in a trace of a job with these lines; empty where it has none."""
    for line in lines.splitlines():
        match _facts(line):
            case {"job": str(named), "trace": place} if named == job_id:
                return tracing.checked(place)
    return {}


def is_followed_in_celery(lines: bytes) -> bool:
    """Whether these lines say more than webhooks."""
    facts = [_facts(line) for line in lines.splitlines()]
    return any(not isinstance(one, dict) or one.get("options") for one in facts)


def _facts(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def requests_of(job_id: str, lines: bytes) -> tuple[Context, list[Context]]:
    """A job's request as Celery's backend takes it, and those of the jobs merged into it.

    A line that is damaged is left out: nothing follows.
    """
    own, merged = Context(id=job_id), []
    for line in lines.splitlines():
        request = _request(line)
        if request is None:
            continue
        if request.id == job_id:
            own = request
        else:
            merged.append(request)
    return own, merged


def _request(line: bytes) -> Context | None:
    try:
        facts = json.loads(line)
        job_id, options = facts["job"], facts["options"]
        return Context(
            id=job_id,
            callbacks=_with_ids(job_id, "link", options.get("link")),
            errbacks=_with_ids(job_id, "link_error", options.get("link_error")),
            chain=options.get("chain"),
            chord=options.get("chord"),
            group=options.get("group_id"),
            group_index=options.get("group_index"),
            root_id=options.get("root_id") or job_id,
            parent_id=options.get("parent_id"),
            ignore_result=bool(options.get("ignore_result")),
            delivery_info={"is_eager": False},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _with_ids(name: str, kind: str, given: object) -> list[dict[str, object]]:
    """The signatures, each with a task id: the same one whenever it is sent."""
    signatures: Sequence[dict[str, object]] = given if isinstance(given, list) else []
    if isinstance(given, dict):
        signatures = [given]
    named = [_with_id(f"{name}:{kind}:{at}", one) for at, one in enumerate(signatures)]
    return [_sent(one) for one in named] if kind == "link_error" else named


def _sent(errback: dict[str, object]) -> dict[str, object]:
    """An errback that celery 5.7.0 sends: a chain it calls with the request, which no message can
    hold, so nothing of it is sent. A group of that chain is sent."""
    if errback.get("subtask_type") != "chain":
        return errback
    one: dict[str, object] = {"task": "celery.group", "args": [], "kwargs": {"tasks": [errback]}}
    return {**one, "options": {}, "subtask_type": "group", "immutable": False}


def _with_id(name: str, signature: dict[str, object]) -> dict[str, object]:
    """A signature with a task id, and so each that it is made of (of a group, a chain, a chord) and
    that follows it."""
    given, kwargs = signature.get("options"), signature.get("kwargs")
    options = given if isinstance(given, dict) else {}
    parts = dict(kwargs) if isinstance(kwargs, dict) else {}
    for part in _PARTS & parts.keys() if signature.get("subtask_type") else ():
        inner = parts[part]
        if isinstance(inner, dict):
            parts[part] = _with_id(f"{name}:{part}", inner)
        elif isinstance(inner, list):
            parts[part] = [_with_id(f"{name}:{part}:{at}", one) for at, one in enumerate(inner)]
    for kind in _LINKS & options.keys():
        options = {**options, kind: _with_ids(name, kind, options[kind])}
    task_id = str(uuid.uuid5(_NAMESPACE, name))
    return {**signature, "kwargs": parts, "options": {"task_id": task_id, **options}}
