"""Whether a worker takes on what it finds in a mailbox. Pure.

It decides: a producer may know other settings, and other programs can write into a mailbox.
"""

from memory import JobToWake, SessionKeys
from tasks.job.envelope import Envelope
from tasks.process.configuration import Settings


def admitted(keys: SessionKeys, job: JobToWake, settings: Settings) -> Envelope:
    """The envelope of a job that may run here.

    Raises InvalidJob for what is none, is too large, or names a model that no job may name; and
    memory.CannotDecrypt.
    """
    envelope = Envelope.of(keys, job, most_bytes=settings.max_envelope_bytes)
    settings.allowed_models.check(envelope.job.model)
    return envelope
