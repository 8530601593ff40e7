"""Who looks whether model servers are back."""

from celery import Celery

from tasks.beat.sweep import look_once


async def test_a_worker_that_does_maintenance_only_looks_at_no_server() -> None:
    """It asks neither Redis, which is not there, nor a server, to which it may have no way."""
    celery = Celery("upkeep", broker="memory://", set_as_current=False)
    celery.amqp.queues.select(["maintenance"])
    await look_once(celery)
