"""Between Celery and Redis: kombu's transport, hardened, and what its messages must be."""
