"""How a job ends: its result in Celery, and what follows it there."""
