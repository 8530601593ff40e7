"""The process of the tests itself: which settings it works with."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from pydantic_settings import BaseSettings

from llm import reset_llm_service
from memory import reset_redis_memory
from sandbox.stack import OURS

PACKAGES = ("memory", "llm", "agents", "tasks", "worker")
"""Those of Griot that have settings."""

PLACE = Path(__file__).resolve().parents[1]
"""Where Griot's packages lie: a folder of installed packages, or a checkout."""


@contextmanager
def settings_here(settings: Mapping[str, str]) -> Iterator[None]:
    """Have this process work with these settings and no others of Griot's, within the block.

    What it has opened with its own is closed before, and opened again when it is needed after it.
    """
    kept = own_settings(os.environ)
    _exchange(kept, settings)
    try:
        with _without_env_files():
            _read_again()
            yield
    finally:
        _exchange(settings, kept)
        _read_again()


def own_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Those variables that configure Griot."""
    return {name: value for name, value in environment.items() if name.startswith(OURS)}


def worker_path() -> str:
    """PYTHONPATH for a worker: it finds Griot first, then what the tests can import.

    A service with a package `tasks` of its own hides Griot's where it stands, never in the worker.
    """
    return os.pathsep.join(dict.fromkeys([str(PLACE), *filter(None, sys.path)]))


def hidden_tasks() -> Path | None:
    """The module `tasks` that hides Griot's in this process; None where Griot's is found."""
    spec = find_spec("tasks")
    origin = Path(spec.origin) if spec is not None and spec.origin is not None else None
    if origin is None or origin.resolve().is_relative_to(PLACE / "tasks"):
        return None
    return origin


def _exchange(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for name in before:
        os.environ.pop(name, None)
    os.environ.update(after)


@contextmanager
def _without_env_files() -> Iterator[None]:
    """Let the `.env` of the service that is tested say nothing: a worker would not read it."""
    kinds = [kind for kind in _kinds_of(BaseSettings) if kind.model_config.get("env_file")]
    ours = [kind for kind in kinds if kind.__module__.partition(".")[0] in PACKAGES]
    named = [(kind, kind.model_config["env_file"]) for kind in ours]
    for kind in ours:
        kind.model_config["env_file"] = None
    try:
        yield
    finally:
        for kind, name in named:
            kind.model_config["env_file"] = name


def _kinds_of(kind: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds_of(one)


def _read_again() -> None:
    if hidden_tasks() is None:
        import_module("tasks.process.anew").read_settings_again()
        return
    reset_redis_memory()
    reset_llm_service()
