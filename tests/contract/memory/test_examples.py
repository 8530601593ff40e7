"""The scripts that the documentation names run as they are."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.machine import scaled
from tests.support.memory_fixtures import Backend
from tests.support.warm.python import run_python

ROOT = Path(__file__).parents[3]
RUN = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"


def _run(script: str, url: str, prefix: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"REDIS_URL": url, "REDIS_KEY_PREFIX": prefix}
    return run_python("-c", RUN, script, cwd=ROOT, env=environment, timeout_s=scaled(30))


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("test_redis_connection.py", "wrote and read a message"),
        ("examples/redis_memory_example.py", "Removed 5 keys"),
    ],
)
def test_a_script_succeeds_where_redis_is(
    real_backend: Backend, redis_url: str, script: str, printed: str
) -> None:
    """It exits with 0 and leaves no history behind."""
    done = _run(script, redis_url, real_backend.prefix)

    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout
    left = real_backend.keys()
    assert not [key for key in left if ":history:" in key and "{" not in key]


@pytest.mark.parametrize("script", ["test_redis_connection.py", "examples/redis_memory_example.py"])
def test_a_script_says_what_is_wrong_where_redis_is_not(script: str) -> None:
    """It exits with 1 and names the address, without a traceback and without the password."""
    done = _run(script, "redis://:s3cret@127.0.0.1:1/0", "test")

    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
