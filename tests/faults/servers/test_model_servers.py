"""Several model servers, of which some fail: every job is answered, none twice."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

import pytest

from llm import LLMService, LLMSettings
from memory import Outage
from sandbox.ollama import OllamaStandIn
from tests.support.effort import effort
from tests.support.faults.invariants import Rules, assert_invariants
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

Servers = tuple[OllamaStandIn, OllamaStandIn, OllamaStandIn]

IMPATIENT = {
    "LLM_FIRST_TOKEN_TIMEOUT": str(scaled(1.5)),
    "LLM_TIMEOUT": str(scaled(1)),
    "LLM_CONNECT_TIMEOUT": str(scaled(1)),
    "LLM_TOTAL_TIMEOUT": str(scaled(4)),
}
MODEL = "slow-tokens:10x20ms"
SESSIONS, JOBS = effort(8, long=20), effort(3, long=4)
"""More sessions at once than the bounded servers take calls."""
LIMIT = 2
BUSY = 12
BOUNDED = "bounded"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Three servers of one fleet, with the model loaded."""
    with ExitStack() as started:
        first, second, third = (
            started.enter_context(OllamaStandIn(num_parallel=BUSY)) for _ in range(3)
        )
        for server in (first, second, third):
            with LLMService(LLMSettings(base_url=server.url)) as service:
                service.chat("load the model", model=MODEL)
            server.reset()
        yield first, second, third


@pytest.fixture(scope="module", autouse=True)
def worker(rig: Rig, servers: Servers) -> None:
    """A worker that knows all three."""
    urls = ",".join(server.url for server in servers)
    rig.worker(name="fleet", OLLAMA_BASE_URLS=urls, **IMPATIENT)
    for number in range(2):
        bounds = {"OLLAMA_NUM_PARALLEL": str(LIMIT), **IMPATIENT}
        rig.worker("-Q", BOUNDED, name=f"bounded{number}", OLLAMA_BASE_URLS=urls, **bounds)


@pytest.fixture
def sender() -> Sender:
    """Sends what takes a while to answer."""
    return Sender(model=MODEL)


def check(rig: Rig, sender: Sender, servers: Servers) -> None:
    """All invariants, with the calls of every server as the witness."""
    rig.wait_drained(sender, timeout_s=30)
    calls = list(chain.from_iterable(server.calls for server in servers))
    rig.wait_delivered(sender)
    assert_invariants(rig.dumps(sender), sender.jobs, calls, Rules())


def under_way(servers: Servers, sender: Sender, *, queue: str | None = None) -> None:
    """Send until each server is at work: one may be out of service since the test before."""

    def are_all_at_work() -> bool:
        if all(server.stats.active and server.stats.tokens for server in servers):
            return True
        if sum(server.stats.active for server in servers) < BUSY:
            sender.send(sender.sessions(1)[0], queue=queue)
        return False

    wait_until(are_all_at_work, timeout_s=40, what="each server is at work")


def test_a_server_is_killed_in_mid_stream(rig: Rig, servers: Servers, sender: Sender) -> None:
    """Its calls begin anew elsewhere; when it is back it is used again."""
    sender.send_all(sender.sessions(SESSIONS), JOBS)
    under_way(servers, sender)
    servers[0].stop()
    try:
        check(rig, sender, servers)
    finally:
        servers[0].start()
    assert any(call.outcome == "broken" for call in servers[0].calls)


@pytest.mark.slow
def test_a_server_hangs(rig: Rig, servers: Servers, sender: Sender) -> None:
    """Its calls get no token in all their time: it gets no more, and they are tried elsewhere."""
    servers[1].script(MODEL, ["hang"] * 1000)
    sender.send_all(sender.sessions(SESSIONS), JOBS)
    try:
        check(rig, sender, servers)
    finally:
        servers[1].script(MODEL, [])


def test_a_server_is_full(rig: Rig, servers: Servers, sender: Sender) -> None:
    """It refuses: the others do its work, and no job needs a second attempt."""
    for server in servers:
        server.reset()
    servers[2].script(MODEL, ["busy-503"] * 1000)
    sent = [
        sender.send(session_id) for session_id in sender.sessions(SESSIONS) for _ in range(JOBS)
    ]
    try:
        check(rig, sender, servers)
    finally:
        servers[2].script(MODEL, [])
    assert [result.get(timeout=scaled(10))["attempt"] for result in sent] == [1] * len(sent)
    refused = [call for call in servers[2].calls if call.status == 503]
    assert 0 < len(refused) < len(sent) / 2
    answered = {result.get(timeout=scaled(10))["server"] for result in sent}
    assert answered <= {server.url.removeprefix("http://") for server in servers[:2]}


def send_bounded(sender: Sender) -> None:
    """To workers that know how many calls each server gets at once."""
    for session_id in sender.sessions(SESSIONS):
        for _ in range(JOBS):
            sender.send(session_id, queue=BOUNDED)


def test_no_server_gets_more_calls_than_it_has_slots(
    rig: Rig, servers: Servers, sender: Sender
) -> None:
    """From both workers together; and each server is used."""
    for server in servers:
        server.reset()
    send_bounded(sender)
    check(rig, sender, servers)
    assert [server.stats.peak for server in servers] == [LIMIT] * len(servers)
    assert sum(server.stats.requests for server in servers) == SESSIONS * JOBS


@pytest.mark.slow
def test_a_bounded_server_is_killed_in_mid_stream(
    rig: Rig, servers: Servers, sender: Sender
) -> None:
    """The others do its work, within their bounds; when it is back it is used again."""
    for server in servers:
        server.reset()
    send_bounded(sender)
    under_way(servers, sender, queue=BOUNDED)
    servers[0].stop()
    try:
        check(rig, sender, servers)
    finally:
        servers[0].start()
    assert max(server.stats.peak for server in servers) <= LIMIT


@pytest.mark.slow
def test_a_bounded_server_refuses(rig: Rig, servers: Servers, sender: Sender) -> None:
    """Its calls move to places at the others, or are tried again later."""
    for server in servers:
        server.reset()
    servers[2].script(MODEL, ["busy-503"] * 1000)
    send_bounded(sender)
    try:
        check(rig, sender, servers)
    finally:
        servers[2].script(MODEL, [])
    assert max(server.stats.peak for server in servers) <= LIMIT


@pytest.mark.parametrize("queue", [pytest.param(None, marks=pytest.mark.slow), BOUNDED])
def test_all_servers_are_away_and_one_comes_back(
    rig: Rig, servers: Servers, sender: Sender, queue: str | None
) -> None:
    """Every session waits for all of them; the first that is back answers. No attempt counts."""
    outages = [Outage(rig.keyspace, server.url) for server in servers]
    states = [outage.state() for outage in outages]
    wait_until(
        lambda: rig.connection.run_each(states) == [None] * 3,
        timeout_s=20,
        what="the outages of the tests before are over",
    )
    for server in servers:
        server.reset()
        server.stop()
    try:
        sent = [sender.send(one, queue=queue) for one in sender.sessions(4) for _ in range(2)]
        for outage in outages:
            wait_until(
                lambda outage=outage: rig.connection.run(outage.waiting()) == 4,  # type: ignore[misc]
                timeout_s=30,
                what="every session waits",
            )
        servers[1].start()
        check(rig, sender, servers)
    finally:
        servers[0].start()
        servers[2].start()
    assert {result.get(timeout=scaled(10))["attempt"] for result in sent} == {1}
    where = {result.get(timeout=scaled(10))["server"] for result in sent}
    assert where == {servers[1].url.removeprefix("http://")}
