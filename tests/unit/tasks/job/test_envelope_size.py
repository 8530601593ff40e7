"""How large a job may be with all that surrounds its message."""

import orjson
import pytest

from tasks.errors import InvalidJob
from tasks.job.celery_options import MAX_CALLBACK_BYTES, MAX_HEADER_BYTES, publish_options
from tasks.job.envelope import Envelope
from tasks.job.envelope_size import largest_envelope_bytes
from tasks.job.functions import MAX_FUNCTIONS_BYTES
from tasks.job.job import MAX_METADATA_BYTES, MAX_SYSTEM_PROMPT_BYTES, ChatJob
from tasks.job.reply_format import MAX_SCHEMA_BYTES

MESSAGE_BYTES, IMAGE_BYTES = 32_768, 524_288


def test_a_job_whose_parts_are_all_as_large_as_may_be_is_taken() -> None:
    """The default limit refuses nothing that the limits of the parts allow; text of control
    characters is six times as long in JSON."""
    schema = {"title": "x" * (MAX_SCHEMA_BYTES - len('{"title":""}'))}
    metadata = {"a": "x" * (MAX_METADATA_BYTES - len('{"a":""}'))}
    arguments = {
        "agent_id": "\1" * 512,
        "session_id": "\1" * 512,
        "message": "\1" * MESSAGE_BYTES,
        "system_prompt": "\1" * MAX_SYSTEM_PROMPT_BYTES,
        "idempotency_key": "\1" * 256,
        "format": schema,
        "metadata": metadata,
    }
    job = ChatJob.checked(arguments, max_message_bytes=MESSAGE_BYTES)
    # Not both may be given; the size is that of either.
    full = job.model_copy(
        update={
            "tools": ["\1" * 128] * 128,
            "functions": [{"name": "x" * (MAX_FUNCTIONS_BYTES - len('{"name":""}'))}],
            "images": ["x" * (IMAGE_BYTES * 4 // 3)],
        }
    )
    options = publish_options(
        {
            "link": ["x" * (MAX_CALLBACK_BYTES - 10)],
            "headers": {"a": "x" * (MAX_HEADER_BYTES - 20)},
            "other": "x" * (MAX_HEADER_BYTES - 20),
        }
    )
    most = largest_envelope_bytes(MESSAGE_BYTES, IMAGE_BYTES)
    packed = Envelope(job=full, publish=options).pack(most_bytes=most)
    assert len(packed) > most * 0.97, "and little more"


def test_the_limit_holds_to_the_byte_and_names_its_setting() -> None:
    """What has exactly the limit is taken, one more is refused."""
    envelope = Envelope(job=ChatJob(agent_id="energy", session_id="s", message="m" * 2000))
    size_bytes = len(envelope.pack())
    assert orjson.loads(envelope.pack(most_bytes=size_bytes))["job"]["message"]
    with pytest.raises(InvalidJob, match=rf"{size_bytes} bytes .*\(CHAT_MAX_ENVELOPE_BYTES\)"):
        envelope.pack(most_bytes=size_bytes - 1)
