"""The executor on an event loop: the same answers as the blocking one, for many callers at once."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from memory.errors import (
    CorruptData,
    InvalidInput,
    MemoryBusy,
    MemoryFull,
    MemoryRefused,
    MemoryUnavailable,
)
from memory.keys import Keyspace
from memory.mailbox.intake import ENQUEUE, EnqueueOutcome
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.outcomes import AcquireOutcome, CommitOutcome
from memory.redis.async_client import ServerClient
from memory.redis.async_connection import BATCH_CALLS, AsyncConnection
from memory.redis.command import Command
from memory.settings import MemorySettings
from pytest_griot.fake_redis import FakeRedis
from sandbox.ports import free_port
from sandbox.resp import ReplyError
from sandbox.valkey import ValkeyServer
from tests.support.machine import scaled
from tests.support.mailbox.rig import GRACE_MS, TTL_S, done_event, turn_of
from tests.support.memory_fixtures import Backend
from tests.support.waiting import eventually

pytest_plugins = ["tests.support.mailbox.fixtures"]


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server that the test may freeze, kill and restart."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def connection(server: ValkeyServer) -> AsyncIterator[AsyncConnection]:
    """A connection to that server, with little patience."""
    connection = AsyncConnection(settings_for(server, timeout_s=2.0))
    yield connection
    await connection.aclose()


def settings_for(server: ValkeyServer, *, timeout_s: float = 5.0) -> MemorySettings:
    """Settings for a server of the sandbox."""
    return MemorySettings(_env_file=None, url=server.url(), timeout_s=timeout_s)


def command(*args: str | bytes | int) -> Command[object]:
    """A command with its plain reply."""
    return Command(lambda reply: reply, args)


def number_of(server: ValkeyServer, name: str) -> int:
    """How often the server has run a command."""
    stats = str(server.command("INFO", "commandstats"))
    found = [line for line in stats.splitlines() if line.startswith(f"cmdstat_{name}:")]
    return int(found[0].split("calls=")[1].split(",")[0]) if found else 0


async def live_a_life(connection: AsyncConnection, mailbox: Mailbox, job: str) -> None:
    """A job from its sending to its turn."""
    commands = mailbox.enqueue(job, b"envelope", cap=9, grace_ms=GRACE_MS)
    enqueued = await connection.run_last(*commands)
    assert enqueued.outcome is EnqueueOutcome.NEW
    acquired = await connection.run_last(
        *mailbox.acquire(
            job,
            "t1",
            lease_ms=9000,
            history_n=9,
            max_attempts=3,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
    )
    assert acquired.outcome is AcquireOutcome.RUN
    assert await connection.run(mailbox.renew("t1", lease_ms=9000))
    committed = await connection.run_last(
        *mailbox.commit(
            "t1",
            job,
            turn_of(job),
            event=done_event(job),
            keep=9,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
    )
    assert committed.outcome is CommitOutcome.OK


async def test_a_job_lives_its_life(connection: AsyncConnection) -> None:
    """Every operation, on a server that has never seen the scripts."""
    await live_a_life(connection, Mailbox.of(Keyspace(), "energy", "s"), "j1")


async def test_a_job_lives_its_life_on_a_client_that_stands_in(fake_backend: Backend) -> None:
    """The pure operations are the same; only the client is another."""
    with FakeRedis() as fake:
        client = Redis.from_url(fake.url, protocol=2)
        given = ServerClient(client, timeout_s=5.0)
        connection = AsyncConnection(fake_backend.settings, client=given)
        await live_a_life(connection, Mailbox.of(Keyspace(), "energy", "s"), "j1")
        await connection.aclose()


async def test_calls_of_one_turn_of_the_loop_are_sent_together(
    connection: AsyncConnection, server: ValkeyServer
) -> None:
    """A hundred callers cost one round trip: the server reads them at once."""
    await connection.run(command("PING"))
    reads = int(info(server, "total_reads_processed"))
    replies = await asyncio.gather(
        *(connection.run(command("ECHO", str(number))) for number in range(100))
    )
    assert replies == [str(number).encode() for number in range(100)]
    # The observer's own reads are among them.
    assert int(info(server, "total_reads_processed")) - reads < 10


def info(server: ValkeyServer, field: str) -> str:
    """One field of the server's INFO."""
    lines = str(server.command("INFO", "everything")).splitlines()
    return next(line.partition(":")[2] for line in lines if line.startswith(f"{field}:"))


async def test_only_the_last_answers_decide(
    connection: AsyncConnection, server: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What is refused before them is logged, in the same pipeline; what is refused of them raises.

    A turn that is recorded is not taken for a failure because its last events have no room.
    """
    server.command("CONFIG", "SET", "maxmemory", "1")
    refused, answered = command("SET", "k", "v"), command("ECHO", "done")
    assert await connection.run_last(refused, refused, answered) == b"done"
    assert await connection.run_last_two(refused, answered, answered) == (b"done", b"done")
    assert caplog.text.count("out of memory") == 3
    for deciding in (
        connection.run_last(answered, refused),
        connection.run_last_two(answered, refused, answered),
    ):
        with pytest.raises(MemoryFull):
            await deciding


async def test_everyone_gets_their_own_replies(connection: AsyncConnection) -> None:
    """Thousands of callers, more than one pipeline holds, in groups of different sizes."""

    async def ask(number: int) -> None:
        commands = [command("ECHO", f"{number}/{part}") for part in range(1 + number % 7)]
        expected = [f"{number}/{part}".encode() for part in range(1 + number % 7)]
        assert await connection.run_each(commands) == expected

    await asyncio.gather(*(ask(number) for number in range(3000)))


async def test_more_calls_than_a_pipeline_holds_are_sent_in_parts(
    connection: AsyncConnection,
) -> None:
    """One caller may have any number of calls."""
    commands = [command("ECHO", str(number)) for number in range(BATCH_CALLS * 2 + 1)]
    replies = await connection.run_each(commands)
    assert replies == [str(number).encode() for number in range(len(commands))]
    assert await connection.run_each([]) == []


async def test_the_error_of_one_caller_is_not_anothers(connection: AsyncConnection) -> None:
    """They share a pipeline, and nothing else."""
    await connection.run(command("SET", "string", "x"))
    good, bad, last = await asyncio.gather(
        connection.run(command("GET", "string")),
        connection.run(command("LPUSH", "string", "y")),
        connection.run(command("STRLEN", "string")),
        return_exceptions=True,
    )
    assert (good, last) == (b"x", 1)
    assert isinstance(bad, CorruptData)


async def test_an_error_does_not_keep_the_calls_behind_it_from_running(
    connection: AsyncConnection,
) -> None:
    """The first error is raised, as by the blocking connection."""
    await connection.run(command("SET", "string", "x"))
    with pytest.raises(CorruptData):
        await connection.run_all(command("LPUSH", "string", "y"), command("SET", "after", "z"))
    assert await connection.run(command("GET", "after")) == b"z"


async def test_text_that_cannot_be_sent_is_refused_to_its_caller_alone(
    connection: AsyncConnection,
) -> None:
    """A lone surrogate would spoil the pipeline of all."""
    bad, good = await asyncio.gather(
        connection.run(command("SET", "k", "\ud800")),
        connection.run(command("ECHO", "well")),
        return_exceptions=True,
    )
    assert isinstance(bad, InvalidInput)
    assert good == b"well"


async def test_a_cancelled_caller_does_not_disturb_the_others(
    connection: AsyncConnection, server: ValkeyServer
) -> None:
    """Its calls are under way, their replies arrive, and nobody else is given them."""
    await connection.run(command("PING"))
    server.freeze()
    doomed = [asyncio.create_task(connection.run(command("ECHO", f"doomed {n}"))) for n in range(5)]
    others = [asyncio.create_task(connection.run(command("ECHO", str(n)))) for n in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in doomed:
        task.cancel()
    for task in doomed:
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
    server.thaw()
    assert await asyncio.gather(*others) == [b"0", b"1", b"2", b"3", b"4"]
    assert await connection.run(command("ECHO", "after")) == b"after"


async def test_the_call_of_a_caller_that_gave_up_at_once_is_not_sent(
    connection: AsyncConnection,
) -> None:
    """There was nothing under way yet."""
    task = asyncio.create_task(connection.run(command("SET", "never", "x")))
    await asyncio.sleep(0)
    task.cancel()
    assert await connection.run(command("EXISTS", "never")) == 0


async def test_forgotten_scripts_are_sent_again(
    connection: AsyncConnection, server: ValkeyServer
) -> None:
    """SCRIPT FLUSH under load: nobody notices, and each source goes once per pipeline."""

    async def take_in(number: int) -> EnqueueOutcome:
        mailbox = Mailbox.of(Keyspace(), "energy", f"session-{number}")
        commands = mailbox.enqueue(f"j{number}", b"", cap=9, grace_ms=GRACE_MS)
        return (await connection.run_last(*commands)).outcome

    await take_in(999)
    for start in range(0, 200, 50):
        server.command("SCRIPT", "FLUSH")
        numbers = range(start, start + 50)
        outcomes = await asyncio.gather(*(take_in(number) for number in numbers))
        assert set(outcomes) == {EnqueueOutcome.NEW}
    assert number_of(server, "eval") <= 2 * 5


async def test_the_order_of_a_callers_calls_holds_when_one_script_is_forgotten(
    connection: AsyncConnection, server: ValkeyServer
) -> None:
    """SCHEDULE goes before ENQUEUE, even where the server knows ENQUEUE alone: by its digest that
    would run at once, and SCHEDULE once more with its source behind it."""
    look, enqueue = Mailbox.of(Keyspace(), "a", "s").enqueue("j1", b"", cap=9, grace_ms=1)
    server.command("SCRIPT", "LOAD", ENQUEUE.source)
    with pytest.raises(InvalidInput):
        await connection.run_all(look, command("SET", "k", "\ud800"))  # of which nothing is sent
    at_ms, enqueued = await connection.run_all(look, enqueue)
    assert enqueued.outcome is EnqueueOutcome.NEW, "it ran once"
    assert math.isclose(at_ms, enqueued.seq_us / 1000, abs_tol=60_000)


def _is_busy(server: ValkeyServer) -> bool:
    try:
        server.command("PING")
    except ReplyError:
        return True
    return False


async def test_a_script_that_was_refused_is_not_known(
    connection: AsyncConnection, server: ValkeyServer
) -> None:
    """A server that another's script keeps busy loads none: the source goes once more."""
    look, enqueue = Mailbox.of(Keyspace(), "a", "s").enqueue("j1", b"", cap=9, grace_ms=1)
    server.command("SCRIPT", "LOAD", ENQUEUE.source)
    server.command("CONFIG", "SET", "busy-reply-threshold", 20)
    endless = asyncio.create_task(asyncio.to_thread(server.command, "EVAL", "while true do end", 0))
    await eventually(lambda: _is_busy(server), what="the server is busy")
    with pytest.raises(MemoryBusy):
        await connection.run_all(look, enqueue)
    server.command("SCRIPT", "KILL")
    with pytest.raises(ReplyError, match="killed"):
        await endless
    _, enqueued = await connection.run_all(look, enqueue)
    assert enqueued.outcome is EnqueueOutcome.NEW, "it ran once"


async def test_a_restarted_server_is_found_again(
    connection: AsyncConnection, server: ValkeyServer
) -> None:
    """Its old connections are dead, its scripts gone."""
    mailbox = Mailbox.of(Keyspace(), "energy", "s")
    await live_a_life(connection, mailbox, "j1")
    server.kill()
    server.start()
    await live_a_life(connection, mailbox, "j1")


async def test_calls_made_while_the_server_restarts_are_answered(
    connection: AsyncConnection, server: ValkeyServer
) -> None:
    """They are tried again until it is back."""
    await connection.run(command("PING"))
    server.kill()
    tasks = [asyncio.create_task(connection.run(command("ECHO", str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    await asyncio.to_thread(server.start)
    assert await asyncio.gather(*tasks) == [str(n).encode() for n in range(20)]


async def test_a_server_that_is_not_there_is_unavailable_in_bounded_time() -> None:
    """And each caller gets an error of its own."""
    settings = MemorySettings(
        _env_file=None, url=f"redis://127.0.0.1:{free_port()}/0", timeout_s=scaled(0.5)
    )
    connection = AsyncConnection(settings)
    async with asyncio.timeout(scaled(5)):
        errors = await asyncio.gather(
            *(connection.run(command("PING")) for _ in range(10)), return_exceptions=True
        )
    assert all(isinstance(error, MemoryUnavailable) for error in errors)
    assert len({id(error) for error in errors}) == 10
    await connection.aclose()


async def test_a_frozen_server_is_unavailable_in_bounded_time_and_used_when_it_is_back(
    server: ValkeyServer,
) -> None:
    """A reply that comes late is nobody's."""
    connection = AsyncConnection(settings_for(server, timeout_s=scaled(0.3)))
    await connection.run(command("PING"))
    server.freeze()
    async with asyncio.timeout(scaled(5)):
        with pytest.raises(MemoryUnavailable):
            await connection.run(command("ECHO", "late"))
    server.thaw()
    assert await connection.run(command("ECHO", "well")) == b"well"
    await connection.aclose()


async def test_a_wrong_password_is_refused_at_once() -> None:
    """Trying again would not help."""
    with ValkeyServer(password="right") as server:  # noqa: S106 - of this test alone
        url = server.url().replace("right", "wrong")
        connection = AsyncConnection(MemorySettings(_env_file=None, url=url))
        with pytest.raises(MemoryRefused) as caught:
            await connection.run(command("PING"))
        await connection.aclose()
    assert "wrong" not in str(caught.value).replace("wrong password", "")


async def test_a_server_that_cannot_serve_yet_is_asked_again(
    connection: AsyncConnection, server: ValkeyServer
) -> None:
    """A read-only replica that becomes the primary while a caller waits."""
    server.command("REPLICAOF", "127.0.0.1", free_port())
    task = asyncio.create_task(connection.run(command("SET", "k", "v")))
    await eventually(lambda: rejected_writes(server) > 0, what="the write was refused once")
    server.command("REPLICAOF", "NO", "ONE")
    assert await task == b"OK"


def rejected_writes(server: ValkeyServer) -> int:
    """How often SET was refused."""
    stats = str(server.command("INFO", "commandstats"))
    lines = [line for line in stats.splitlines() if line.startswith("cmdstat_set:")]
    return int(lines[0].split("rejected_calls=")[1].split(",")[0]) if lines else 0


async def test_a_server_that_stays_read_only_is_busy(
    connection: AsyncConnection, server: ValkeyServer
) -> None:
    """It answers, but not yet."""
    server.command("REPLICAOF", "127.0.0.1", free_port())
    with pytest.raises(MemoryBusy):
        await connection.run(command("SET", "k", "v"))


async def test_closing_waits_for_what_is_under_way(server: ValkeyServer) -> None:
    """And refuses what comes afterwards."""
    connection = AsyncConnection(settings_for(server))
    tasks = [asyncio.create_task(connection.run(command("ECHO", str(n)))) for n in range(50)]
    await asyncio.sleep(0)
    await connection.aclose()
    assert await asyncio.gather(*tasks) == [str(n).encode() for n in range(50)]
    with pytest.raises(MemoryUnavailable):
        await connection.run(command("PING"))
    await connection.aclose()


async def test_no_connection_is_left_open(server: ValkeyServer) -> None:
    """However many callers there were, a few connections served them, and none stays."""
    connection = AsyncConnection(settings_for(server))
    for _ in range(5):
        await asyncio.gather(*(connection.run(command("PING")) for _ in range(2000)))
    assert int(info(server, "connected_clients")) <= 6
    await connection.aclose()
    is_alone: Callable[[], bool] = lambda: int(info(server, "connected_clients")) == 1  # noqa: E731
    await eventually(is_alone, what="only the observer is connected")
