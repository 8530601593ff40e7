"""SCRIPT FLUSH at any point of any pipeline: nobody notices, and nothing is done twice."""

from collections.abc import Iterator, Sequence
from itertools import combinations, count

import pytest

from memory import (
    AsyncConnection,
    Command,
    Connection,
    EnqueueOutcome,
    Keyspace,
    Mailbox,
    MemorySettings,
    index,
)
from memory.mailbox.intake import Intake
from memory.records import history
from sandbox.valkey import HOST, ValkeyServer
from tests.support.machine import scaled
from tests.support.step_proxy import StepProxy

KEYSPACE = Keyspace()
_names = count()


class Forgetful:
    """A server, and a way to it on which the server forgets its scripts at chosen moments."""

    def __init__(self, server: ValkeyServer) -> None:
        self._server = server
        self.moments: Sequence[int] = ()
        self.proxy = StepProxy(server.port, self._before_script)

    def flush(self) -> None:
        """SCRIPT FLUSH."""
        self._server.command("SCRIPT", "FLUSH")

    def _before_script(self, number: int) -> None:
        if number in self.moments:
            self.flush()


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Forgetful]:
    """Shared: each case has a session of its own."""
    with ValkeyServer() as server:
        one = Forgetful(server)
        with one.proxy:
            yield one


def pipeline(session_id: str) -> list[Command[object]]:
    """A producer's and more, with scripts that come once and several times, and others between."""
    keys = KEYSPACE.session("a", session_id)
    box = Mailbox.of(KEYSPACE, "a", session_id)
    append = [
        history.append(keys, [b"{}"], write_id=name, keep=9, ttl_s=60, is_exact=False)
        for name in (b"one", b"two")
    ]
    touches = index.touch(KEYSPACE, "a", session_id)
    return [
        *touches,
        *box.take_in(Intake(f"j-{session_id}", b"{}", 9), grace_ms=1000),
        *append,
        *touches,
    ]


MOMENTS = [
    *[(at,) for at in range(16)],
    *combinations(range(16), 2),
    tuple(range(100)),
    tuple(range(0, 100, 2)),
    tuple(range(1, 100, 2)),
]


def check(results: Sequence[object], moments: Sequence[int]) -> None:
    """Each did its work once; ENQUEUE and APPEND tell a repeat."""
    _, _, enqueued, first, second, _ = results
    assert enqueued.outcome in (EnqueueOutcome.NEW, EnqueueOutcome.PENDING), moments  # type: ignore[attr-defined]
    assert enqueued.position == 0, moments  # type: ignore[attr-defined]
    assert first in (1, 2), moments
    assert second == 2, moments


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
def test_a_thread_goes_on(forgetful: Forgetful, is_known: bool) -> None:
    """Whenever it happens, and however often; `is_known`: the server knew all scripts before."""
    settings = MemorySettings(url=None, host=HOST, port=forgetful.proxy.port, timeout_s=scaled(5))
    connection = Connection(settings)
    for moments in MOMENTS:
        forgetful.moments = ()
        connection.run_each(pipeline(f"warm-{next(_names)}"))
        if not is_known:
            forgetful.flush()
        forgetful.proxy.reset()
        forgetful.moments = moments
        check(connection.run_each(pipeline(f"s-{next(_names)}")), moments)
    connection.close()


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
async def test_a_loop_goes_on(forgetful: Forgetful, is_known: bool) -> None:
    """The same for the executor that sends a script's source once for a pipeline."""
    settings = MemorySettings(url=None, host=HOST, port=forgetful.proxy.port, timeout_s=scaled(5))
    connection = AsyncConnection(settings)
    for moments in MOMENTS:
        forgetful.moments = ()
        await connection.run_each(pipeline(f"warm-{next(_names)}"))
        if not is_known:
            forgetful.flush()
        forgetful.proxy.reset()
        forgetful.moments = moments
        check(await connection.run_each(pipeline(f"s-{next(_names)}")), moments)
    await connection.aclose()
