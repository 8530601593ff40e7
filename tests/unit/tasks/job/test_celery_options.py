"""The options of Celery's that travel with a job, and how large each may be."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from tasks.errors import InvalidJob
from tasks.job.celery_options import (
    MAX_CALLBACK_BYTES,
    MAX_HEADER_BYTES,
    MAX_NAME_BYTES,
    publish_options,
)
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob
from tests.unit.tasks.job.test_job import nested

MB = "x" * 1_000_000
TOO_MUCH: Mapping[str, Mapping[str, object]] = {
    "shadow": {"shadow": MB},
    "headers": {"headers": {"a": MB}},
    "a header's name": {"headers": {MB: 1}},
    "stamps": {"headers": {"stamps": {"a": MB}, "stamped_headers": ["a"]}},
    "stamped_headers": {"stamped_headers": [MB]},
    "root_id": {"root_id": MB},
    "parent_id": {"parent_id": MB},
    "group_id": {"group_id": MB},
    "reply_to": {"reply_to": MB},
    "correlation_id": {"correlation_id": MB},
    "queue": {"queue": MB},
    "routing_key": {"routing_key": MB},
    "link": {"link": {"task": "a", "args": [MB, MB]}},
    "link_error": {"link_error": [{"task": "a", "args": [MB]}, {"task": "b", "args": [MB]}]},
    "link and chain together": {"link": [{"task": MB}], "chain": [{"task": MB}]},
    "an option of no one": {"whatever": MB},
    "an option's name": {MB: 1},
    "many options": {f"o{number}": number for number in range(65)},
    "deep headers": {"headers": nested(5000)},
    "a deep link": {"link": nested(5000)},
    "a deep tuple": {"stamps": ((nested(70),),)},
    "no JSON": {"headers": {"a": object()}},
    "a huge number": {"delivery_mode": 2**70},
    "a surrogate": {"shadow": "\ud800"},
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_what_is_too_much_is_refused_in_a_short_line(kind: str) -> None:
    """Nothing of it is repeated."""
    with pytest.raises(InvalidJob) as refused:
        publish_options(TOO_MUCH[kind])
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("most", "options"),
    [
        (MAX_NAME_BYTES, lambda n: {"shadow": "x" * (n - len('shadow""'))}),
        (MAX_HEADER_BYTES, lambda n: {"headers": {"a": "x" * (n - len('headers{"a":""}'))}}),
        (MAX_HEADER_BYTES, lambda n: {"other": "x" * (n - len('other""'))}),
        (MAX_CALLBACK_BYTES, lambda n: {"link": ["x" * (n - len('link[""]'))]}),
    ],
)
def test_a_limit_holds_to_the_byte(most: int, options: object) -> None:
    """What has exactly the limit is taken, one more is refused."""
    assert callable(options)
    assert publish_options(options(most)) == options(most)
    with pytest.raises(InvalidJob, match=f"{most + 1} bytes; the limit is {most}"):
        publish_options(options(most + 1))


def test_a_time_in_a_header_arrives_as_kombu_writes_it() -> None:
    """Kombu's form stays JSON in the envelope; whoever gets the message reads a time."""
    options = publish_options({"headers": {"at": datetime(2026, 11, 26, tzinfo=UTC)}})
    job = ChatJob(agent_id="energy", session_id="s", message="m")
    assert Envelope.unpack(Envelope(job=job, publish=options).pack()).publish == options
