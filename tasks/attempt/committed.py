"""The result of a turn that was committed earlier, from its reply as it is stored. Pure."""

from memory import decode_messages, is_cancelled
from tasks.job.result import ChatResult, result_from_reply


def committed_result(
    job_id: str, agent_id: str, session_id: str, stored: bytes | None
) -> ChatResult | None:
    """The result of a job that has its turn; None: it was cancelled."""
    reply = decode_messages([stored] if stored else []).messages
    if any(map(is_cancelled, reply)):
        return None
    return result_from_reply(job_id, agent_id, session_id, reply)
