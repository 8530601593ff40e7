"""Beat's schedule, in memory: what an outage of the broker keeps from being sent is one line."""

import logging
import time

from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


class SteadyScheduler(Scheduler):  # type: ignore[misc]  # Celery ships no types
    """Celery's schedule, without a stack and two tracebacks for each task that it cannot send
    (celery 5.7.0): with sweeps every five seconds they were all that an outage left in a log."""

    _away_since_s: float | None = None

    def apply_entry(self, entry: ScheduleEntry, producer: object = None) -> None:
        """Send what is due; what cannot be sent is due again after its interval."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as exc:
            self._not_sent(entry.name, exc.__context__)
        else:
            self._sent(entry.name)

    def _sent(self, name: str) -> None:
        logger.debug("beat sent %s", name)
        if self._away_since_s is not None:
            away_s = time.monotonic() - self._away_since_s
            logger.info("beat sends tasks again, after %.0f s in which it could not", away_s)
        self._away_since_s = None

    def _not_sent(self, name: str, error: BaseException | None) -> None:
        if not isinstance(error, OperationalError):
            logger.error("beat could not send %s; it tries again when due", name, exc_info=error)
        elif self._away_since_s is None:
            self._away_since_s = time.monotonic()
            logger.warning(
                "beat could not send %s (%s); it tries again when due. Start the broker, or "
                "correct CELERY_BROKER_URL or REDIS_URL",
                name,
                error,
            )
