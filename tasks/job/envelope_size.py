"""How large a job may be with all that surrounds its message: CHAT_MAX_ENVELOPE_BYTES. Pure."""

from tasks.errors import InvalidJob
from tasks.job.celery_options import MAX_CALLBACK_BYTES, MAX_HEADER_BYTES
from tasks.job.functions import MAX_FUNCTIONS_BYTES
from tasks.job.job import MAX_METADATA_BYTES, MAX_SYSTEM_PROMPT_BYTES, MAX_TOOL_CHARS, MAX_TOOLS
from tasks.job.reply_format import MAX_SCHEMA_BYTES

_ESCAPED = 6
"""Bytes of JSON for one character that has to be escaped."""
_SMALL_BYTES = 32_768
"""Ids, names and numbers, and the names of all fields."""
BROKER_FACTOR = 2
"""A raw job is larger in the broker: its body is base64, and there are Celery's own headers."""


def check_envelope_size(size_bytes: int, most_bytes: int) -> None:
    """Raise InvalidJob for an envelope that is too large."""
    if size_bytes > most_bytes:
        raise InvalidJob(
            f"the job has {size_bytes} bytes with all its options; the limit is {most_bytes} "
            "(CHAT_MAX_ENVELOPE_BYTES)"
        )


def largest_envelope_bytes(max_message_bytes: int, max_image_bytes: int) -> int:
    """What a job has whose parts are all as large as each of them may be."""
    texts = max_message_bytes + MAX_SYSTEM_PROMPT_BYTES + MAX_TOOLS * MAX_TOOL_CHARS
    schemas = MAX_SCHEMA_BYTES + MAX_FUNCTIONS_BYTES
    own = _ESCAPED * texts + schemas + MAX_METADATA_BYTES + _SMALL_BYTES
    return own + -(-max_image_bytes // 3) * 4 + MAX_CALLBACK_BYTES + 2 * MAX_HEADER_BYTES
