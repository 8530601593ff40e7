"""What holds for the whole suite: an environment of its own, whatever the developer's shell says.

The tests of the queue talk to one address, made up here, at which each test starts the server that
it needs: the producer in this process reads its settings once. With pytest-xdist each process of
tests makes up its own.
"""

import gc
import os
import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.workermanage import WorkerController

from sandbox.ports import FIRST_PORT
from sandbox.stack import OURS
from tests.support.effort import effort
from tests.support.machine import SLOWNESS, scaled
from tests.support.servers.real_ollama import USERS_OLLAMA
from tests.support.servers.redis_users import IN_PROCESS, refusals, users_of_tests
from tests.support.shares import SharedScheduling, are_wanted, is_of_other, share_of
from tests.support.warm.python import start_fork_server

# Nothing that the collection makes is ever garbage: looking through it time and again took more
# than a third of it, in each process of xdist. See pytest_collection_finish.
gc.disable()

_USERS = "TESTS_REDIS_URL"
# The processes of xdist inherit the environment of the first one, which has its own REDIS_URL.
USER_REDIS_URL = os.environ.setdefault(_USERS, os.environ.get("REDIS_URL", ""))
"""A Redis of the user's own: the contract tests of the memory run on it; others kill theirs."""


for _kept, _given in USERS_OLLAMA.items():
    os.environ.setdefault(_kept, os.environ.get(_given, ""))


def _own_port() -> tuple[int, socket.socket]:
    """A port below those that `free_port` gives, so that nobody else's server starts there while
    ours is down; and what keeps it from other processes of tests, of this run and of others: a UDP
    socket of the same number, for as long as this process lives."""
    for port in random.SystemRandom().sample(range(FIRST_PORT - 2000, FIRST_PORT), 2000):
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port, mark
        mark.close()
    raise OSError("no free port for the Redis of the tests")


REDIS_PORT, _PORT_MARK = _own_port()
LEASE_S, SWEEP_S, GRACE_S = 1.5, 0.4, 0.4
"""Short times, so that a fault is recovered from within a test's patience; on an idle machine."""

FAST = {
    "CHAT_LEASE_SECONDS": f"{scaled(LEASE_S):.2f}",
    "CHAT_SWEEP_SECONDS": f"{scaled(SWEEP_S):.2f}",
    "CHAT_GRACE_SECONDS": f"{scaled(GRACE_S):.2f}",
    "CHAT_RETRY_BASE_SECONDS": "0.2",
    "WORKER_DRAIN_SECONDS": f"{scaled(5):.2f}",
}
"""The same as settings, on this machine."""

TIMEOUT_S = 120
"""How long a test may take on an idle machine that does not say so itself."""

_COST = (
    "tests/contract/mailbox/test_simulation",
    "tests/e2e/ends/test_composite_callbacks",
    "tests/e2e/command_line/test_up",
    "tests/e2e/command_line/test_standard_streams",
    "tests/e2e/test_services_document",
    "tests/e2e/gateway/test_access",
    "tests/faults/test_clock",
    "tests/faults/",
    "tests/browser/",
    "tests/e2e/",
    "tests/contract/slots/test_simulation",
    "tests/contract/",
    "tests/",
)
"""What takes long begins first, so that all processes are done at the same time: the files of a
minute and more by their names."""

_SLOW = ("tests/browser/",)
"""Chromium takes as much of a core as twenty workers."""

AUTHORITIES = Path(__file__).parent / "support" / "nobody.pem"
"""One, whose key nobody has. No test asks the outside world: to read all that are trusted there
took each client of httpx a fiftieth of a second of a core."""


def _isolate() -> None:
    certifi.where = lambda: str(AUTHORITIES)
    for name in list(os.environ):
        if name.startswith(OURS):
            del os.environ[name]
    url, users = f"redis://127.0.0.1:{REDIS_PORT}/0", users_of_tests()
    os.environ["REDIS_URL"] = users.logged_in(url, IN_PROCESS) if users else url
    os.environ.update(FAST)
    # A shell has jobs in the background ignore Ctrl-C, and so would what these tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_isolate()

# A slow example is no fault: on a busy machine all are.
settings.register_profile(
    "the machine's",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=effort(25, long=1000),
)
settings.load_profile("the machine's")


def pytest_report_header() -> str:
    """Say what the times of this run are multiplied with."""
    return f"slowness: {SLOWNESS:.1f} (1: an idle machine); times are that much longer"


def pytest_xdist_setupnodes() -> None:
    """Start what the processes of xdist share."""
    start_fork_server()


def pytest_configure_node(node: WorkerController) -> None:
    """Tell a process of xdist what it runs."""
    number = int(node.gateway.id.removeprefix("gw"))
    processes = node.config.option.numprocesses or 0
    node.workerinput["share"] = share_of(number, processes) if are_wanted() else ""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedScheduling | None:
    """What hands out the tests, where the processes have shares; else as `--dist` says."""
    return SharedScheduling(config, log) if are_wanted() else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave to the other processes what they run."""
    share = getattr(config, "workerinput", {}).get("share", "")
    return is_of_other(collection_path, config.rootpath, share) or None


def pytest_collection_finish() -> None:
    """Look for garbage again, in what the tests make: not in the tests themselves."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run as Redis' users in which one of them was refused something."""
    if refused := refusals():
        print(f"\nACL LOG is not empty:\n{refused}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark the tests that try examples, and those in a browser, before some are chosen by their
    marks; have the time that a test may take grow with the rest; put the dear ones first when all
    are in their random order."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("long")
            item.add_marker(pytest.mark.timeout(effort(TIMEOUT_S, long=900)))
        if item.nodeid.startswith(_SLOW):
            item.add_marker("slow")
        limit = item.get_closest_marker("timeout")
        seconds = limit.args[0] if limit else TIMEOUT_S
        item.add_marker(pytest.mark.timeout(scaled(seconds)), append=False)
    yield
    items.sort(key=lambda item: next(n for n, at in enumerate(_COST) if item.nodeid.startswith(at)))
