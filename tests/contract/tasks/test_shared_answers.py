"""Workers tell each other that a model answers, so that none restarts one that is at work."""

from collections.abc import AsyncIterator

import pytest

from memory import AsyncConnection, Command, Keyspace, answers
from tasks.process.shared_answers import AnswersInMemory
from tests.support.memory_fixtures import Backend
from tests.support.waiting import eventually

SERVER = "http://gpu1:11434"
MODEL = "llama3.2:3b"


@pytest.fixture
async def memory(real_backend: Backend) -> AsyncIterator[AsyncConnection]:
    """The connection of one worker."""
    connection = AsyncConnection(real_backend.settings)
    yield connection
    await connection.aclose()


async def test_what_one_worker_notes_every_other_reads(
    memory: AsyncConnection, real_backend: Backend
) -> None:
    """For this server and model alone."""
    keyspace = Keyspace(real_backend.settings.key_prefix)
    one, other = (AnswersInMemory(memory, keyspace) for _ in range(2))
    assert not await other.is_any_within(SERVER, MODEL, 3600)
    one.note(SERVER, MODEL)
    await eventually(real_backend.keys, what="it is noted")
    assert await other.is_any_within(SERVER, MODEL, 3600)
    assert not await other.is_any_within("http://gpu2:11434", MODEL, 3600)
    assert not await other.is_any_within(SERVER, "llama3.2:1b", 3600)


async def test_an_old_note_says_nothing_of_now(
    memory: AsyncConnection, real_backend: Backend
) -> None:
    """Its age is what its TTL has lost."""
    keyspace = Keyspace(real_backend.settings.key_prefix)
    await memory.run(answers.note(keyspace, SERVER, MODEL))
    key = keyspace.answered(SERVER, MODEL)
    left_ms = await memory.run(Command(int, ("PTTL", key)))  # type: ignore[arg-type]  # an integer
    await memory.run(Command(bool, ("PEXPIRE", key, left_ms - 700_000)))
    age_ms = await memory.run(answers.ago_ms(keyspace, SERVER, MODEL))
    assert age_ms is not None
    assert age_ms >= 700_000
    shared = AnswersInMemory(memory, keyspace)
    assert not await shared.is_any_within(SERVER, MODEL, 600)
    assert await shared.is_any_within(SERVER, MODEL, 7200)


async def test_who_cannot_ask_takes_the_model_for_at_work(
    memory: AsyncConnection, real_backend: Backend
) -> None:
    """Without the memory nobody knows what others hear: a restart could cost them their replies."""
    shared = AnswersInMemory(memory, Keyspace(real_backend.settings.key_prefix))
    await memory.aclose()
    assert await shared.is_any_within(SERVER, MODEL, 600)
