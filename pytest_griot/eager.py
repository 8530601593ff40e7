"""Griot in the process of the tests: no server, no worker, the same results."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

from celery import Celery

from pytest_griot.fake_redis import FakeRedis
from pytest_griot.here import settings_here
from pytest_griot.servers import QUICK
from sandbox.context import Closing
from tasks.process.app import app


class EagerGriot(Closing):
    """Within its `with` block this process answers each job that it sends, before `delay` returns.

    The job goes its whole way, from the mailbox to the result, on fakeredis and with the model at
    `ollama_url`. So a reply, an error, the events and the history are those of a worker, and so are
    refusals: `delay` raises InvalidJob, the result's `get` raises JobFailed. Attempts, tools and
    `aio.send` work likewise. Beat, Flower and callbacks of other apps do not run.
    """

    def __init__(self, redis: FakeRedis, ollama_url: str, settings: Mapping[str, str]) -> None:
        """`settings` come on top of those for quick tests."""
        self.app: Celery = app
        """Griot's own app."""
        self._redis = redis
        self._addresses = {"REDIS_URL": redis.url, "OLLAMA_BASE_URL": ollama_url}
        self._settings = settings
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.enter_context(settings_here({**QUICK, **self._addresses, **self._settings}))
            opening.callback(self._redis.clear)
            # A result is stored as always: Celery warns of reading one that is not.
            app.conf.update(task_always_eager=True, task_store_eager_result=True)
            self._opened = opening.pop_all()
        return self

    def close(self) -> None:
        """Give this process its own settings back, and forget all that was in Redis."""
        self._opened.close()
