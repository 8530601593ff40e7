"""The Celery application: all that a producer needs, in any process."""

import threading
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from celery import Celery
from celery.local import PromiseProxy
from kombu.connection import Connection


class GriotCelery(Celery):  # type: ignore[misc]  # Celery ships no types
    """Celery, with broker and results where our settings have them, checked.

    Celery 5.7.0 reads CELERY_BROKER_URL and CELERY_RESULT_BACKEND from the environment itself, past
    its own configuration: an address without `ssl_cert_reqs` was not completed, and results were
    readable for a Flower that was told to have none.
    """

    amqp_cls = "tasks.process.unshown:UnshownArguments"
    task_cls = "tasks.process.unshown:UnshownTask"

    @property
    def backend_cls(self) -> str:
        """The address of the result backend."""
        return str(self.conf["result_backend"])

    @property
    def is_eager(self) -> bool:
        """Whether `task_always_eager` is on, which only a program says, not celeryconfig.py: a look
        through all that Celery knows takes a twentieth of a job's sending."""
        return bool(self.conf.changes.get("task_always_eager"))

    def connection_for_read(self, url: str | None = None, **options: object) -> Connection:
        """A connection to consume with."""
        made: Connection = super().connection_for_read(url or self.conf["broker_url"], **options)
        return made

    def connection_for_write(self, url: str | None = None, **options: object) -> Connection:
        """A connection to publish with."""
        made: Connection = super().connection_for_write(url or self.conf["broker_url"], **options)
        return made

    def read_config_again(self) -> None:
        """Take the settings as they are now."""
        # What Celery 5.7.0 keeps of its configuration outside of it. Kombu keeps the connections to
        # an earlier broker, for those who come back to it.
        self._pool = None
        self._backend_cache, self._local = None, threading.local()
        self.__dict__.pop("amqp", None)
        self.config_from_object(PromiseProxy(_load_config))


_CONFIG_NAME = "celeryconfig.py"
_TASKS, _ROOT = Path(__file__).resolve().parents[1:3]


def _config_path() -> Path:
    """Where celeryconfig.py is: a wheel has it in `tasks`, a checkout at its root.

    What lies beside an installed `tasks` is another's: that place counts only without the first.
    """
    installed = _TASKS / _CONFIG_NAME
    return installed if installed.is_file() else _ROOT / _CONFIG_NAME


def _load_config() -> ModuleType:
    """Read celeryconfig.py by its path, not by its name.

    A service that sends chat jobs may well have a celeryconfig of its own first on its path.
    """
    path = _config_path()
    spec = spec_from_file_location("griot_celeryconfig", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"Griot's {path.name} is missing in {path.parent}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


app = GriotCelery("griot", set_as_current=False)
# Read when it is first needed: importing `tasks` looks at no setting, and a process can check them
# all first (worker/__init__.py).
app.config_from_object(PromiseProxy(_load_config))
