"""A gateway of several processes that share a port: `griot serve --processes`."""

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from sandbox.process import ServerProcess, Starter, started
from sandbox.stack import GriotStack
from tests.e2e.gateway.conftest import AGENT
from tests.support.waiting import wait_until
from tests.support.warm.python import warm

STARTED = re.compile(r"Started server process \[(\d+)\]")
WAIT_S = 20.0
HELLO = {"model": AGENT, "input": "Hello"}


@pytest.fixture(scope="module", params=[warm, pytest.param(started, marks=pytest.mark.slow)])
def starter(request: pytest.FixtureRequest) -> Starter:
    """Serving processes that are forked, and such as begin from nothing, as users have them."""
    found: Starter = request.param
    return found


def answering(address: str) -> set[str]:
    """The processes that answer a few connections at once, by what their ids of requests begin
    with. Of connections one by one the same process may take all, as long as it has nothing to do.
    """

    def answered_by(_: int) -> str | None:
        try:
            answer = httpx.get(f"{address}/healthz", trust_env=False, timeout=10)
        except httpx.TransportError:  # not there yet, or killed in between
            return None
        return str(answer.headers["x-request-id"].rpartition("_")[0])

    with ThreadPoolExecutor(16) as at_once:
        return {one for one in at_once.map(answered_by, range(16)) if one is not None}


def pids(process: ServerProcess) -> list[int]:
    """Those of all serving processes that were started, in their order."""
    return [int(found) for found in STARTED.findall(process.log_text())]


def is_there(pid: int) -> bool:
    """Whether a process is alive."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_several_processes_share_a_port(stack: GriotStack, starter: Starter) -> None:
    """Any answers for any; one that is killed is started again; at Ctrl-C all end, and none is left
    that holds the port. One test, for each start costs seconds."""
    name = f"several-{starter.__name__}"
    process, address = stack.gateway(name=name, GATEWAY_PROCESSES="2")
    before: set[str] = set()

    def do_both_answer() -> bool:
        before.update(answering(address))
        return len(before) == 2

    wait_until(do_both_answer, timeout_s=WAIT_S, what="both answer")

    made = httpx.post(f"{address}/v1/responses", json=HELLO, trust_env=False, timeout=WAIT_S)
    assert made.status_code == 200, made.text
    where = f"{address}/v1/responses/{made.json()['id']}"
    found = [httpx.get(where, trust_env=False, timeout=WAIT_S) for _ in range(8)]
    assert {one.json()["status"] for one in found} == {"completed"}

    # On a busy machine one may have been started again already.
    started_before = pids(process)
    os.kill(next(filter(is_there, started_before)), signal.SIGKILL)
    wait_until(
        lambda: len(pids(process)) > len(started_before),
        timeout_s=WAIT_S,
        what="another is started",
    )
    wait_until(lambda: answering(address) - before, timeout_s=WAIT_S, what="another answers")

    process.signal(signal.SIGINT)
    assert process.wait(WAIT_S) is not None
    assert not any(map(is_there, pids(process)))
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{address}/healthz", trust_env=False)
