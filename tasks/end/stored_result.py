"""A job's result as it is stored: with `CELERY_RESULT_ENCRYPTED`, its reply can be read with the
keys only. Pure.

Who reads it with Celery's AsyncResult sees whose result it is, and no reply.
"""

from collections.abc import Mapping

import orjson
from celery import Celery

from memory import CorruptData, Keyspace, SessionKeys
from memory.ids import shown_id
from tasks.job.result import ChatResult

_RECORD = "encrypted"


def encrypts_results(app: Celery) -> bool:
    """Whether `app` stores replies encrypted."""
    return bool(app.conf.get("griot_result_encrypted"))


def encrypted_result(keys: SessionKeys, result: ChatResult) -> Mapping[str, object]:
    """The result of a job of this session as it is stored; itself where no key encrypts, or
    where another job has the reply."""
    if keys.cipher.keyring.first is None or result.get("merged_into"):
        return result
    job_id = result["job_id"]
    record = keys.cipher.encrypted(orjson.dumps(result), _about(job_id))
    named = {"job_id": job_id, "agent_id": keys.agent_id, "session_id": keys.session_id}
    return {**named, _RECORD: record.decode()}


def decrypted_result(keyspace: Keyspace, found: object) -> object:
    """What was stored as it was before; anything else is itself. Raises memory.CannotRead, and
    CorruptData."""
    if not isinstance(found, Mapping):
        return found
    match [found.get(name) for name in (_RECORD, "job_id", "agent_id", "session_id")]:
        case [str(record), str(job_id), str(agent_id), str(session_id)]:
            cipher = keyspace.session(agent_id, session_id).cipher
            plain = cipher.decrypted(record.encode(errors="surrogatepass"), _about(job_id))
            try:
                return orjson.loads(plain)
            except orjson.JSONDecodeError:
                raise CorruptData(f"the result of job {shown_id(job_id)} is not JSON") from None
    return found


def _about(job_id: str) -> str:
    return "result\0" + job_id
