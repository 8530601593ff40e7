"""What a worker asks of broker and results before it takes a job."""

from celery import Celery
from celery.backends.redis import RedisBackend
from kombu.exceptions import OperationalError

from memory.redis.failures import concise
from tasks.errors import ConfigurationError
from tasks.process.configuration import BROKER, RESULTS
from worker.checks.advice import advice_on, is_refusal, raise_it


def celery_start_checks(app: Celery) -> None:
    """Raise ConfigurationError, one line, where a server answers and will never take the address
    as it stands: a wrong password, no such database. One that cannot be reached is waited for."""
    with app.connection_for_read() as connection:
        try:
            connection.ensure_connection(errback=raise_it)
        except OperationalError as exc:
            _refuse(exc, f"the broker {connection.as_uri()}", BROKER)
    backend = app.backend
    if isinstance(backend, RedisBackend):
        try:
            backend.client.ping()
        except (*backend.connection_errors, *backend.channel_errors) as exc:
            _refuse(exc, f"the results {backend.as_uri()}", RESULTS)


def _refuse(error: Exception, whose: str, setting: str) -> None:
    if is_refusal(error):
        raise ConfigurationError(
            f"{whose}: {concise(str(error)).rstrip('.')}; {advice_on(error, setting)}"
        ) from error
