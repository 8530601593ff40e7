"""A worker process: `griot worker | beat`, `celery -A worker worker | beat | flower`.

Importing it checks every setting before Celery reads any, and puts the hardened transport in the
place of kombu's.
"""

import sys
from pathlib import Path

from worker import heap
from worker.start.unused import left_out

heap.begin()

with left_out():
    from tasks.errors import ConfigurationError
    from tasks.job.envelope_size import BROKER_FACTOR
    from tasks.process.configuration import load_settings
    from worker.broker.amqp_messages import read_any_message
    from worker.broker.transport import register_transport
    from worker.refusal import refuse_to_start
    from worker.settings import check_process_settings
    from worker.standard_streams import install

    if "celery.bin.celery" in sys.modules:  # the command line of Celery, where a worker begins
        install()
        # For the modules of tools. `python -m celery` does so, `celery` itself only while it loads
        # the app; last, so that no module there takes the place of one of ours.
        sys.path.append(str(Path.cwd()))

    try:
        _settings = load_settings()
        check_process_settings()
    except ConfigurationError as exc:
        refuse_to_start(exc)

    register_transport(_settings.max_envelope_bytes * BROKER_FACTOR, _settings.queue.shares)
    read_any_message()

    from tasks import app  # reads celeryconfig, so only after the check
    from worker import process

    process.prepare(app)

__all__ = ["app"]
