"""Other settings for a process that has begun to work, as the tests of a service need."""

from llm import reset_llm_service
from memory import reset_redis_memory
from tasks.process.app import app
from tasks.process.configuration import load_settings
from tasks.process.per_process import forget_all
from tasks.process.publishing.straight import straight
from tasks.process.services import producer_services
from tasks.process.worker.services import worker_services


def read_settings_again() -> None:
    """Close what this process has opened, and take the settings as they are now.

    Nothing else of the process may use Griot meanwhile. Turns that run here are broken off, and
    their leases expire. Raises ConfigurationError for settings that are wrong, where Celery has
    read its own before; otherwise the next use does.
    """
    worker, producer = worker_services.made, producer_services.made
    if worker is not None:
        worker.close()
    if producer is not None:
        producer.close()
    if (publisher := straight.made) is not None:
        publisher.close()
    forget_all()
    load_settings.cache_clear()
    reset_redis_memory()
    reset_llm_service()
    app.read_config_again()
