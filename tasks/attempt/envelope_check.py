"""Whether a worker takes on what it finds in a mailbox. Pure.

It decides: a producer may know other settings, and other programs can write into a mailbox.
"""

from memory import JobToWake, SessionKeys
from tasks.errors import InvalidJob
from tasks.job.envelope import Envelope
from tasks.process.configuration import Settings


def checked_envelope(keys: SessionKeys, found: JobToWake, settings: Settings) -> Envelope:
    """The envelope of a job that was found in the mailbox of `keys`, and may run here.

    Raises InvalidJob for what is none, is another session's or too large, or names a model that no
    job may name; and memory.CannotRead.
    """
    envelope = Envelope.of(keys, found, most_bytes=settings.max_envelope_bytes)
    job = envelope.job
    if (job.agent_id, job.session_id) != (keys.agent_id, keys.session_id):
        raise InvalidJob("the job's envelope belongs to another session")
    job.check_parts()
    if job.model is not None:
        settings.allowed_models.check(job.model)
    return envelope
