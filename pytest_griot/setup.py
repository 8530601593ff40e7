"""pytest-celery's set-up of a test, made of processes: one Valkey, workers, a model by script."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from celery import Celery
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestSetup,
    CeleryWorkerCluster,
)

from pytest_griot.here import own_settings, settings_here, worker_path
from pytest_griot.nodes import ValkeyBackend, ValkeyBroker, WorkerNode
from pytest_griot.servers import QUICK
from sandbox.ollama import OllamaStandIn
from sandbox.process import Starter, started
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer


class GriotSetup(CeleryTestSetup):  # type: ignore[misc]  # pytest-celery ships no types
    """The servers of some tests, and Griot's processes on them.

    What pytest-celery documents of `CeleryTestSetup` holds, but that nothing of it runs in Docker:
    `broker`, `backend`, `worker`, their clusters, `app`, `ready(docker=False)`. `app` is a Celery
    of its own that knows no task: `app.send_task("tasks.chat_task", kwargs=…)` sends as a service
    does that imports nothing of Griot.
    """

    def __init__(
        self,
        directory: Path,
        redis: ValkeyServer,
        model_server: OllamaStandIn,
        settings: Mapping[str, str],
        *,
        starter: Starter = started,
    ) -> None:
        """`directory` is for the logs; `settings` come on top of those for quick tests; `starter`
        starts each process.
        """
        self._workers: list[WorkerNode] = []
        self.redis = redis
        self.model_server = model_server
        self.processes = GriotStack(
            directory,
            redis_url=redis.url(),
            ollama_url=model_server.url,
            settings={"PYTHONPATH": worker_path(), **QUICK, **settings},
            starter=starter,
        )
        """Starts more of Griot's processes: workers, beat, Flower."""
        broker, backend = (self.processes.env.get(name) for name in _ADDRESSES)
        super().__init__(
            None,
            CeleryBrokerCluster(ValkeyBroker(redis, broker or redis.url(1))),
            CeleryBackendCluster(ValkeyBackend(redis, backend or redis.url(2))),
        )
        self._app = self.create_setup_app(
            {
                "broker_url": self.broker.config()["url"],
                "result_backend": self.backend.config()["url"],
            },
            "griot-tests",
        )

    @classmethod
    def create_setup_app(cls, config: Mapping[str, object], name: str) -> Celery:
        """An app that sends by name and reads results; it does not become Celery's current one."""
        app = Celery(name, set_as_current=False)
        app.config_from_object(dict(config))
        return app

    def add_worker(self, *options: str, name: str = "worker", **settings: str) -> WorkerNode:
        """A started worker more; `options` are those of `celery worker`, `settings` its own."""
        process = self.processes.worker(*options, name=name, **settings)
        node = WorkerNode(self.processes, process, self._app)
        self._workers.append(node)
        return node

    @property
    def worker_cluster(self) -> CeleryWorkerCluster | None:
        """All workers so far; None before the first one."""
        return CeleryWorkerCluster(*self._workers) if self._workers else None

    @property
    def worker(self) -> WorkerNode | None:
        """The first worker; None before it."""
        return self._workers[0] if self._workers else None

    @contextmanager
    def used_here(self) -> Iterator[None]:
        """Have this process use the servers within the block, as a service would."""
        with settings_here(own_settings(self.processes.env)):
            yield

    def teardown(self) -> None:
        """End Griot's processes; the servers end with their fixtures."""
        self._workers.clear()
        self.processes.stop(grace_s=GRACE_S)
        self._app.close()


GRACE_S = 2.0
_ADDRESSES = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
