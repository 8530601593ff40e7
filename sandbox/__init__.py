"""Real servers run locally, for the demo, the tests and the benchmark.

Nothing here imports another package of this repository, nor a Redis client, nor Celery: what
stands in for the outside world must not share a mistake with what it tests.
"""
