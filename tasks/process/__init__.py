"""What all jobs of one process share: the Celery app, settings, connections, the event loop."""
