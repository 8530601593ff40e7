"""The Celery application: all that a producer needs, in any process."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from celery import Celery
from celery.local import PromiseProxy

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
        raise FileNotFoundError(f"Griot's {path.name} is not at {path.parent}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


app = Celery("griot", set_as_current=False)
# Read when it is first needed: importing `tasks` looks at no setting, and a process can check them
# all first (worker/__init__.py).
app.config_from_object(PromiseProxy(_load_config))
