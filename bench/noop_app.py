"""The yardstick: a Celery task that returns its argument.

Celery's own defaults; only pool, concurrency and transport are those of Griot's worker. It is
started as `celery -A bench.noop_app --broker … --result-backend … worker -I worker`, where `worker`
registers the hardened transport.
"""

from celery import Celery

app = Celery("noop", set_as_current=False)


@app.task(name="bench.noop")  # type: ignore[untyped-decorator]  # Celery ships no types
def noop(value: str) -> str:
    """Give `value` back."""
    return value
