"""A wrong setting of a process ends it at once, before it looks for a server or starts anything."""

import os
from pathlib import Path

import pytest

from sandbox.ports import free_port
from tests.support.warm.python import run_python

CELERY = ("-m", "celery", "-A", "worker")
GRIOT = ("-c", "import griot; griot.main()")
DOORS = {
    "celery worker": (*CELERY, "worker"),
    "celery beat": (*CELERY, "beat"),
    "griot worker": (*GRIOT, "worker"),
    "griot beat": (*GRIOT, "beat"),
    "griot serve": (*GRIOT, "serve"),
    "griot up": (*GRIOT, "up"),
    "griot up --sandbox": (*GRIOT, "up", "--sandbox"),
}
WRONG = {"METRICS_PORT": "9400x", "LOG_LEVEL": "LOUD"}


@pytest.mark.parametrize(
    ("door", "name"),
    [*((door, "METRICS_PORT") for door in DOORS), ("griot serve", "LOG_LEVEL")],
)
def test_it_is_said_in_one_line_with_status_78(door: str, name: str, tmp_path: Path) -> None:
    """Redis, which is not there, is not in it."""
    kept = {one: os.environ[one] for one in ("PATH", "HOME") if one in os.environ}
    redis = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    env = {**kept, **redis, name: WRONG[name]}
    done = run_python(*DOORS[door], env=env, cwd=tmp_path, timeout_s=60)
    assert done.returncode == 78, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"griot: {name}={WRONG[name]}: ")
