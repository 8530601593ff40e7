"""Wake-ups of another deployment, whose REDIS_KEY_PREFIX differs, that came into a queue of ours.

Its mailboxes are not ours: whatever our worker found out about such a job would be wrong, and would
be stored as its result.
"""

import logging

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.message import Message

from tasks.process.broker_names import BrokerNames
from worker.broker.republish import republish

logger = logging.getLogger(__name__)


def send_home(app: Celery, message: Message, prefix: str) -> None:
    """Put a wake-up into the queue of the deployment that it belongs to, and acknowledge it.

    Where that fails, or it came out of that queue, it is dropped: its own sweeper publishes it
    again.
    """
    home, taken_from = BrokerNames(prefix).chat, message.delivery_info.get("routing_key")
    logger.warning(
        "a wake-up of another deployment (REDIS_KEY_PREFIX=%s) arrived on %r and %s; each "
"deployment's workers must consume their own queues only",
        prefix, taken_from, "is dropped" if taken_from == home else f"goes on to {home!r}",
    )  # fmt: skip
    if taken_from != home:
        try:
            republish(app, message, home)
        except OperationalError as exc:
            logger.warning(
                "the wake-up of %s is dropped; its own sweeper publishes it again: %s", prefix, exc
            )
    message.ack()
