"""A machine on which nothing is set up: the environment of a user's first commands."""

import os
import sys
import uuid
from collections.abc import Iterator

import psutil
import pytest

from sandbox.ports import free_port
from tests.conftest import FAST
from tests.support.waiting import wait_until
from tests.support.warm.programs import programs

MARK = "GRIOT_TEST_MARK"
WARM_GRIOT = ("-m", "worker.cli")
"""For `run_python`: what it starts itself bears the mark, too, or is tied to one that does."""
GRIOT = (sys.executable, *WARM_GRIOT)


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A fresh machine's environment; at the end none of what ran in it is left."""
    mark = uuid.uuid4().hex
    # A try is the administrator's, whoever the tests are.
    ours = ("REDIS_", "SANDBOX_", *FAST)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Not 11434: the developer may have an Ollama.
    address = {"OLLAMA_BASE_URL": f"http://127.0.0.1:{free_port()}"}
    yield {**plain, **programs(tmp_path_factory.mktemp("programs")), MARK: mark, **address}
    wait_until(lambda: not _left(mark), timeout_s=5, what="the end of every process")


def _left(mark: str) -> list[str]:
    """The processes that bear the mark, but for the dead that nobody has buried."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                left.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return left
