"""Whether a worker takes on what it finds in a mailbox. Pure.

It decides: a producer may know other settings, and other programs can write into a mailbox.
"""

from tasks.errors import InvalidJob
from tasks.job.envelope import Envelope, JobRef
from tasks.job.envelope_size import check_envelope_size
from tasks.process.configuration import Settings


def admitted(packed: bytes, ref: JobRef, settings: Settings) -> Envelope:
    """The envelope of these bytes, found in the mailbox of `ref`, of a job that may run here.

    Raises InvalidJob for what is none, is another session's or too large, or names a model that no
    job may name.
    """
    check_envelope_size(len(packed), settings.max_envelope_bytes)
    envelope = Envelope.unpack(packed)
    job = envelope.job
    if (job.agent_id, job.session_id) != (ref.agent_id, ref.session_id):
        raise InvalidJob("not a job's envelope: it is of another session")
    job.check_parts()
    if job.model is not None:
        settings.allowed_models.check(job.model)
    return envelope
