"""One attempt at a job: the lease, the turn, the commit, and what Celery is to do then."""
