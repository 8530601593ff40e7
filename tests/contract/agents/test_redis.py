"""RedisAgent against a real server and a real HTTP conversation with a stand-in for Ollama."""

from collections.abc import Callable, Iterator

import pytest

from agents import RedisAgent
from agents.stored_history import StoredHistory
from llm import LLMService, LLMSettings, OllamaBusyError
from memory import InvalidInput, MemoryUnavailable, RedisMemoryService, reset_redis_memory
from sandbox.ollama import OllamaStandIn
from tests.support.memory_fixtures import Backend

NewAgent = Callable[..., RedisAgent]


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaStandIn]:
    """A stand-in for Ollama."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture
def llm(ollama: OllamaStandIn) -> Iterator[LLMService]:
    """The service that asks it."""
    ollama.reset()
    with LLMService(LLMSettings(base_url=ollama.url)) as service:
        yield service


@pytest.fixture
def memory(real_backend: Backend) -> RedisMemoryService:
    """The documented service on a real server, under a prefix of the test's own."""
    return real_backend.service()


@pytest.fixture
def new_agent(llm: LLMService, memory: RedisMemoryService) -> NewAgent:
    """Makes agents of one session on that server; arguments as of RedisAgent."""

    def make(session_id: str = "s", **arguments: object) -> RedisAgent:
        given: dict[str, object] = {"llm": llm, "redis_memory": memory, **arguments}
        return RedisAgent("energy", session_id, **given)  # type: ignore[arg-type]  # a test's own

    return make


def contents(messages: object) -> list[object]:
    """What was said, in order."""
    assert isinstance(messages, list | tuple)
    return [message["content"] for message in messages]


def shown(ollama: OllamaStandIn) -> list[object]:
    """What the model was shown last, the system prompt left out."""
    return contents([m for m in ollama.calls[-1].messages if m["role"] != "system"])


def test_an_agent_of_the_same_session_continues_the_conversation(
    new_agent: NewAgent, ollama: OllamaStandIn
) -> None:
    """Another instance, as in another process, has it from Redis."""
    reply = new_agent().chat("one")
    second = new_agent()
    assert contents(second.history) == ["one", reply]
    second.chat("two")
    assert shown(ollama) == ["one", reply, "two"]


def test_two_agents_of_one_session_see_each_other(
    new_agent: NewAgent, memory: RedisMemoryService
) -> None:
    """Also those that were made before the other spoke; nothing is overwritten."""
    left, right = new_agent(), new_agent()
    said = []
    for number, agent in enumerate([left, right, right, left]):
        said += [f"question {number}", agent.chat(f"question {number}")]
    assert contents(left.history) == contents(right.history) == said
    assert contents(memory.get_conversation_history("energy", "s")) == said


def test_sessions_and_agents_are_apart(new_agent: NewAgent) -> None:
    """One session's history is no other's."""
    new_agent("s").chat("one")
    assert new_agent("t").history == []


def test_max_history_bounds_what_is_shown_and_not_what_is_kept(
    new_agent: NewAgent, memory: RedisMemoryService, ollama: OllamaStandIn
) -> None:
    """Redis keeps HISTORY_MAX_MESSAGES: an agent with a longer window finds the rest."""
    narrow = new_agent(max_history=2)
    replies = [narrow.chat(question) for question in ("one", "two", "three")]
    assert shown(ollama) == ["two", replies[1], "three"]
    assert contents(narrow.history) == ["three", replies[2]]
    assert len(memory.get_conversation_history("energy", "s")) == 6
    assert len(new_agent(max_history=6).history) == 6
    assert new_agent(max_history=0).history == []


def test_an_agent_that_keeps_no_history_leaves_none(
    new_agent: NewAgent, memory: RedisMemoryService, ollama: OllamaStandIn
) -> None:
    """And is shown none, though there is one."""
    new_agent().chat("one")
    forgetful = new_agent(keep_history=False)
    forgetful.chat("two")
    assert shown(ollama) == ["two"]
    assert forgetful.history == []
    assert len(memory.get_conversation_history("energy", "s")) == 2


def test_an_agent_without_redis_touches_no_redis(
    new_agent: NewAgent, real_backend: Backend
) -> None:
    """use_redis=False is a BaseAgent."""
    agent = new_agent(use_redis=False)
    agent.chat("one")
    assert len(agent.history) == 2
    assert agent.get_session_info()["use_redis"] is False
    agent.reset_history()
    assert real_backend.keys() == []


def test_whether_redis_is_used_is_a_setting(
    llm: LLMService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AGENT_USE_REDIS_MEMORY decides where use_redis is not given; then nobody looks for Redis."""
    monkeypatch.setenv("AGENT_USE_REDIS_MEMORY", "false")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    try:
        agent = RedisAgent("energy", "s", llm=llm)
        agent.chat("one")
    finally:
        reset_redis_memory()
    assert agent.use_redis is False
    assert len(agent.history) == 2


def test_reset_clears_the_session_for_everyone(
    new_agent: NewAgent, memory: RedisMemoryService
) -> None:
    """Here, in Redis and for other agents of the session; the index forgets it too."""
    agent, other = new_agent(), new_agent()
    agent.chat("one")
    agent.reset_history()
    assert agent.history == other.history == []
    assert memory.get_all_sessions_for_agent("energy") == []


def test_session_info_counts_what_lies_in_redis(new_agent: NewAgent) -> None:
    """The documented lines: session id and number of messages."""
    agent, other = new_agent(), new_agent()
    other.chat("one")
    info = agent.get_session_info()
    assert (info["agent_id"], info["session_id"]) == ("energy", "s")
    assert (info["history_length"], info["use_redis"]) == (2, True)


def test_a_failed_model_leaves_no_trace(
    new_agent: NewAgent, memory: RedisMemoryService, ollama: OllamaStandIn
) -> None:
    """Neither here nor in Redis."""
    agent = new_agent()
    ollama.script("*", ["busy-503"])
    with pytest.raises(OllamaBusyError):
        agent.chat("lost")
    assert agent.history == []
    assert memory.get_conversation_history("energy", "s") == []


def test_a_turn_is_one_write_with_the_ttl_of_the_service(
    new_agent: NewAgent, real_backend: Backend
) -> None:
    """Question and reply lie there together or not at all, and the session is listed."""
    new_agent().chat("one")
    prefix, look = real_backend.prefix, real_backend.observer
    assert look.zcard(f"{prefix}:write_ids:{{{prefix}:history:energy:s}}") == 1
    assert 86390 <= look.ttl(f"{prefix}:history:energy:s") <= 86400
    assert real_backend.service().get_all_sessions_for_agent("energy") == ["s"]


def test_a_turn_that_is_sent_twice_is_there_once(
    memory: RedisMemoryService, real_backend: Backend
) -> None:
    """What an agent does after an answer of Redis was lost."""
    conversation = StoredHistory(memory, "energy", "s", real_backend.settings)
    turn = conversation.turn([{"role": "user", "content": "one"}])
    conversation.add(turn)
    conversation.add(turn)
    assert contents(conversation.last(10)) == ["one"]


def test_what_cannot_be_kept_is_refused_and_does_not_block_the_agent(
    new_agent: NewAgent, memory: RedisMemoryService
) -> None:
    """A message over MEMORY_MAX_VALUE_BYTES; the next turn is kept as ever."""
    agent = new_agent()
    with pytest.raises(InvalidInput, match="MEMORY_MAX_VALUE_BYTES"):
        agent.chat("x" * 1_048_577, model="ok:ctx400000")
    assert agent.history == []
    agent.chat("one")
    assert contents(memory.get_conversation_history("energy", "s"))[0] == "one"


def test_an_impossible_session_is_refused_at_once(new_agent: NewAgent) -> None:
    """Before a word is said."""
    with pytest.raises(InvalidInput, match="session_id must not be empty"):
        new_agent("")


def test_reset_while_redis_is_away_forgets_nothing(llm: LLMService) -> None:
    """What lies in Redis would come back: the caller is told."""
    nowhere = RedisMemoryService(host="127.0.0.1", port=1)
    agent = RedisAgent("energy", "s", llm=llm, redis_memory=nowhere)
    agent.chat("one")
    with pytest.raises(MemoryUnavailable):
        agent.reset_history()
    assert len(agent.history) == 2


def test_an_agent_continues_a_session_in_which_a_worker_ran_tools(
    new_agent: NewAgent, memory: RedisMemoryService, ollama: OllamaStandIn
) -> None:
    """The turn is shown whole or not at all; the agent itself runs no tools."""
    call = {"id": "call_1", "function": {"name": "capacity_of", "arguments": {"place": "Ghana"}}}
    turn: list[dict[str, object]] = [
        {"role": "user", "content": "Ghana?", "job_id": "j"},
        {"role": "assistant", "content": "", "tool_calls": [call], "job_id": "j"},
        {"role": "tool", "content": "4975", "tool_name": "capacity_of", "job_id": "j"},
        {"role": "assistant", "content": "4975 MW", "job_id": "j"},
    ]
    memory.save_conversation_history("energy", "s", turn)
    new_agent(max_history=4).chat("and?")
    assert shown(ollama) == ["Ghana?", "", "4975", "4975 MW", "and?"]
    assert [call] in [message.get("tool_calls") for message in ollama.calls[-1].messages]
    memory.save_conversation_history("energy", "t", turn)
    new_agent("t", max_history=3).chat("and?")
    assert shown(ollama) == ["and?"]
