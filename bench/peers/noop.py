"""The yardstick: a Celery task that returns its argument.

Celery's own defaults and transport; pool and concurrency are said on the command line.
"""

from celery import Celery

app = Celery("noop", set_as_current=False)


@app.task(name="bench.noop")  # type: ignore[untyped-decorator]  # Celery ships no types
def noop(value: str) -> str:
    """Give `value` back."""
    return value
