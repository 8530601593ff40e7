"""RedisAgent while Redis is away, full, frozen or restarted, and when it is back."""

import logging
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from agents import RedisAgent
from llm import LLMService, LLMSettings
from memory import MemoryRefused, MemorySettings, RedisMemoryService
from sandbox.ollama import OllamaStandIn
from sandbox.valkey import ValkeyServer
from tests.support.machine import scaled
from tests.support.waiting import wait_until

PASSWORD = "of this test"  # noqa: S105  # of a server that lives a moment


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server that keeps over a kill what it acknowledged."""
    with ValkeyServer(append_only="always", password=PASSWORD) as started:
        yield started


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaStandIn]:
    """A stand-in for Ollama."""
    with OllamaStandIn() as started:
        yield started


@pytest.fixture(scope="module")
def llm(ollama: OllamaStandIn) -> Iterator[LLMService]:
    """The service that asks it."""
    with LLMService(LLMSettings(base_url=ollama.url)) as service:
        yield service


@pytest.fixture
def memory(server: ValkeyServer) -> Iterator[RedisMemoryService]:
    """A service that waits for an answer a fifth of a second only."""
    settings = MemorySettings(url=SecretStr(server.url()), timeout_s=scaled(0.2))
    with RedisMemoryService.from_settings(settings) as service:
        yield service


@pytest.fixture
def agent(memory: RedisMemoryService, llm: LLMService) -> RedisAgent:
    """An agent in a session of the test's own."""
    return another(str(uuid.uuid4()), memory, llm)


def another(session_id: str, memory: RedisMemoryService, llm: LLMService) -> RedisAgent:
    """One more agent of a session."""
    return RedisAgent("energy", session_id, llm=llm, redis_memory=memory, max_history=100)


def stored(agent: RedisAgent, memory: RedisMemoryService) -> list[object]:
    """What was said, as it lies in Redis."""
    assert agent.session_id is not None
    history = memory.get_conversation_history(agent.agent_id, agent.session_id)
    return [message["content"] for message in history]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the agents' package warned of."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "agents.redis_agent" and record.levelno == logging.WARNING
    ]


def test_a_conversation_goes_on_while_redis_is_away_and_is_handed_over_in_order(
    server: ValkeyServer,
    agent: RedisAgent,
    memory: RedisMemoryService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server is killed and comes back with its disk: each turn is there, once, in order."""
    said = ["before", agent.chat("before")]
    server.kill()
    for question in ("missed 1", "missed 2"):
        said += [question, agent.chat(question)]
        assert [message["content"] for message in agent.history] == said
    assert len(warnings(caplog)) == 1
    assert "energy" in warnings(caplog)[0]
    server.start()
    said += ["after", agent.chat("after")]
    assert stored(agent, memory) == said
    assert [message["content"] for message in agent.history] == said


def test_reading_alone_hands_over_too(
    server: ValkeyServer, agent: RedisAgent, memory: RedisMemoryService
) -> None:
    """Nobody has to speak again for a missed turn to reach Redis."""
    server.freeze()
    try:
        reply = agent.chat("missed")
    finally:
        server.thaw()
    assert len(agent.history) == 2
    assert stored(agent, memory) == ["missed", reply]


def test_an_answer_that_was_lost_doubles_nothing(
    server: ValkeyServer, agent: RedisAgent, memory: RedisMemoryService, ollama: OllamaStandIn
) -> None:
    """Frozen while the model speaks, the server takes the turn in and writes it late, unheard."""
    before = ["before", agent.chat("before")]  # Redis knows the scripts now
    ollama.reset()
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(agent.chat, "once", model="delay:0.3s")
        wait_until(lambda: ollama.stats.active, what="the model is asked")
        server.freeze()
        try:
            reply = answer.result()
        finally:
            server.thaw()
    wait_until(lambda: len(stored(agent, memory)) > 2, what="the late write")
    assert len(agent.history) == 4
    assert stored(agent, memory) == [*before, "once", reply]


def test_each_outage_is_told_once(
    server: ValkeyServer, agent: RedisAgent, caplog: pytest.LogCaptureFixture
) -> None:
    """Reading, speaking and reading again in one outage: one line; the next outage: another."""
    for outage in (1, 2):
        server.freeze()
        try:
            _ = agent.history
            agent.chat("missed")
            agent.get_session_info()
        finally:
            server.thaw()
        assert len(agent.history) == 2 * outage
        assert len(warnings(caplog)) == outage


def test_an_agent_may_begin_while_redis_is_away(
    server: ValkeyServer,
    agent: RedisAgent,
    memory: RedisMemoryService,
    llm: LLMService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It finds the earlier conversation as soon as Redis is back, and puts its own behind it."""
    said = ["before", agent.chat("before")]
    assert agent.session_id is not None
    server.freeze()
    try:
        late = another(agent.session_id, memory, llm)
        assert late.history == []
        said += ["missed", late.chat("missed")]
    finally:
        server.thaw()
    assert [message["content"] for message in late.history] == said
    assert stored(agent, memory) == said
    assert len(warnings(caplog)) == 1


def test_a_full_server_is_like_an_absent_one(
    server: ValkeyServer,
    agent: RedisAgent,
    memory: RedisMemoryService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The answer that was paid for is given; the turn is written when there is room again."""
    server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        said = ["missed", agent.chat("missed")]
        assert [message["content"] for message in agent.history] == said
        assert len(warnings(caplog)) == 1
    finally:
        server.command("CONFIG", "SET", "maxmemory", "0")
    said += ["after", agent.chat("after")]
    assert stored(agent, memory) == said


def test_a_wrong_password_is_raised_not_worked_around(
    server: ValkeyServer, llm: LLMService
) -> None:
    """A fault of the configuration would otherwise lose every conversation with one warning."""
    settings = MemorySettings(
        url=SecretStr(f"redis://:wrong@127.0.0.1:{server.port}/0"), timeout_s=scaled(0.2)
    )
    with (
        RedisMemoryService.from_settings(settings) as memory,
        pytest.raises(MemoryRefused) as caught,
    ):
        another("s", memory, llm)
    assert "wrong@" not in str(caught.value)
