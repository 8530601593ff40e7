"""Whether a worker takes on what it finds in a mailbox. Pure.

It decides: a producer may know other settings, and other programs can write into a mailbox.
"""

from tasks.job.envelope import Envelope
from tasks.job.envelope_size import check_envelope_size
from tasks.process.configuration import Settings


def admitted(packed: bytes, settings: Settings) -> Envelope:
    """The envelope of these bytes, of a job that may run here.

    Raises InvalidJob for what is none, is too large, or names a model that no job may name.
    """
    check_envelope_size(len(packed), settings.max_envelope_bytes)
    envelope = Envelope.unpack(packed)
    if envelope.job.model is not None:
        settings.allowed_models.check(envelope.job.model)
    return envelope
