"""Why nothing happens to a message: no worker is there, or its model is being loaded."""

from llm import is_cloud, is_installed
from tasks import app
from tasks.process.configuration import Settings, load_settings
from worker.checks.deployment import START, queues_of_workers
from worker.model_servers import model_servers

PATIENCE_S = 5.0
"""How long nothing may happen to a job before the workers are asked whether they are there."""
NO_WORKER = f"no worker seems to be running: {START}"


def has_worker() -> bool:
    """Whether a worker takes chat jobs; takes a second. Raises kombu's OperationalError."""
    chat_queue = load_settings().names.chat
    return any(chat_queue in queues for queues in queues_of_workers(app).values())


def is_loading(settings: Settings, model: str) -> bool:
    """Whether no server has a model loaded that is asked; False where one does not say. Takes up
    to three seconds."""
    if is_cloud(model):
        return False
    servers = model_servers(settings.llm)
    return all(not one.trouble and not is_installed(model, one.loaded) for one in servers)
