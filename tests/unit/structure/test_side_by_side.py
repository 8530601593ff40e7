"""Runs of these tests at the same time, and the processes of one run, leave each other alone."""

import os
import socket
import subprocess
import sys

import pytest

from tests.conftest import REDIS_PORT
from tests.support.machine import MOST, SLOWNESS

SHOW = "from tests.support.machine import SLOWNESS; print(SLOWNESS)"


def test_no_other_process_of_tests_gets_our_port() -> None:
    """Not while our server is not started yet, either."""
    with socket.socket(type=socket.SOCK_DGRAM) as mark, pytest.raises(OSError, match="in use"):
        mark.bind(("127.0.0.1", REDIS_PORT))


def test_the_machine_is_measured_once() -> None:
    """Processes that start at the same time would measure each other."""
    others = subprocess.run(
        (sys.executable, "-c", SHOW),
        env={**os.environ, "TESTS_MEASURED": "3.5", "PYTEST_XDIST_WORKER_COUNT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(others.stdout) == 3.5
    assert min(MOST, float(os.environ["TESTS_MEASURED"])) <= SLOWNESS
