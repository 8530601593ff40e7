"""Publishing wake-ups without Celery, as the bytes that Celery would publish."""
