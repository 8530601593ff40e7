"""Kombu's notes on messages that are not acknowledged yet, and which messages need none.

What is worked around in kombu 5.7.0 is named at its place, as in `worker.broker.transport`.
"""

# mypy: allow-untyped-calls
# Kombu says it is typed, but its transports are not.

import logging

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from memory.quoting import quoted
from tasks.process.wakeup import is_wakeup

logger = logging.getLogger(__name__)


class QoS(kombu_redis.QoS):
    """Kombu's notes, two transactions per message, but none for a wake-up of ours.

    A wake-up may be lost: the mailbox has the job, and the sweeper wakes it again. So it is
    neither noted when it is taken nor restored, doubled, when the broker's connection drops.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._unnoted: set[str] = set()

    def append(self, message: virtual.Message, delivery_tag: str) -> None:
        """Note a message that has been taken from its list, if that is needed and can be done.

        By then it exists in this process only. Kombu 5.7.0 raises when the note fails (OOM,
        NOPERM, a time-out), and the message is gone (celery/kombu#305). Here it is handled
        without: a note serves only to bring it back should this process die, and a connection
        that is really lost shows at the next read.
        """
        if is_wakeup(message.headers):
            self._unnoted.add(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
            return
        try:
            super().append(message, delivery_tag)
        except redis.RedisError as error:
            logger.warning(
                "message %s could not be recorded as unacknowledged; it is lost if this "
                "worker dies: %s",
                quoted(delivery_tag),
                reason(error),
            )
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Take the note on a message away, and give its place to the next one in any case.

        Kombu 5.7.0 keeps the place when the server refuses or does not answer. Celery logs the
        error and goes on; once that had happened as often as the prefetch count is high, the
        worker took no message any more. The note stays until the visibility time-out.
        """
        if self._forget(delivery_tag):
            return
        try:
            super().ack(delivery_tag)
        except redis.RedisError:
            virtual.QoS.ack(self, delivery_tag)
            raise

    def let_go(self, delivery_tag: str) -> bool:
        """Acknowledge a wake-up, in any thread; False: its consumer's thread is to do it, which
        then takes the next message, or a note has to be taken away."""
        taken = len(self._delivered) - len(self._dirty)
        return taken < self.prefetch_count // 2 and self._forget(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message up; one that was noted goes back to its list if `requeue`."""
        if not self._forget(delivery_tag):
            super().reject(delivery_tag, requeue=requeue)

    def restore_unacked(self, client: redis.Redis | None = None) -> None:
        """Put back what was noted and is not acknowledged, when the channel ends."""
        for tag in tuple(self._unnoted):
            self._delivered.pop(tag, None)
        self._unnoted.clear()
        super().restore_unacked(client)

    def _forget(self, delivery_tag: str) -> bool:
        """Let go of a message that was not noted; False where it was."""
        if delivery_tag not in self._unnoted:
            return False
        self._unnoted.discard(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)
        return True


def reason(error: redis.RedisError) -> str:
    """What the server said. redis-py 8.1 puts the start of the command before the error of a
    pipeline, and with it the start of a message."""
    return str(error).rpartition("of pipeline caused error: ")[2]
