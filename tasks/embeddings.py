"""The Celery task that has a worker make vectors; `tasks.submit.embedding` sends it."""

from tasks.process.app import app
from tasks.process.worker.services import worker_services
from tasks.submit.embedding import EMBED_TASK


@app.task(name=EMBED_TASK, ignore_result=True)
def embed_texts(request_id: str) -> None:
    """Begin with a request for vectors, and do not wait for them: no thread is held meanwhile."""
    services = worker_services()
    services.runtime.run(services.embedder.begin(request_id))
