"""What lies in a history and what a model says, from Redis to the receipt, with a real worker."""

from collections.abc import Iterator

import orjson
import pytest
import redis

from memory import Keyspace, get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import JobFailed, chat_task
from tests.support.machine import scaled
from tests.support.odd.histories import PNG, Record, assistant, call, calls, system, tool, user
from tests.support.strict_template import assert_strict

WAIT_S = scaled(20)


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> Iterator[ServerProcess]:
    """One worker for all tests of this module."""
    return stack.worker(CHAT_MAX_ATTEMPTS="3")


@pytest.fixture(autouse=True)
def quiet(ollama: OllamaStandIn) -> None:
    """The calls that a test sees are its own."""
    ollama.reset()


def test_the_receipt_names_what_was_put_in_order(
    session_id: str, ollama: OllamaStandIn, valkey: ValkeyServer
) -> None:
    """By the index in the history, where another program has written what is no message, too."""
    lying: list[Record | int] = [
        7,
        user(),
        assistant(""),
        user("again", images=[f"data:image/png;base64,{PNG}"]),
        calls(call('{"country": "GH"}', id=1)),
        tool(tool_call_id=1),
        assistant(),
        system(),
    ]
    with redis.Redis.from_url(valkey.url()) as client:
        key = Keyspace().session("energy", session_id).history
        client.rpush(key, *map(orjson.dumps, lying))
    result = chat_task.delay("energy", session_id, "and now?").get(WAIT_S)
    assert_strict(ollama.calls[-1].messages)
    assert result["receipt"]["repairs"] == {"merged": [3], "moved": [7], "left_out": [2]}
    stored = get_redis_memory().get_conversation_history("energy", session_id)
    assert stored[-1]["receipt"] == result["receipt"]
    assert [message["content"] for message in stored[:2]] == [user()["content"], ""]


def test_a_turn_that_was_cancelled_before_its_first_word_costs_nothing(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """The next question stands with it in one message."""
    memory = get_redis_memory()
    memory.append_to_history("energy", session_id, user("first", cancelled=True))
    result = chat_task.delay("energy", session_id, "second").get(WAIT_S)
    assert ollama.calls[-1].messages[-1]["content"] == "first\n\nsecond"
    assert result["receipt"]["repairs"] == {"merged": [1]}


def test_an_empty_reply_is_asked_for_again_and_flagged(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """Twice at most; it is not sent to a model again."""
    result = chat_task.delay("energy", session_id, "hello?", model="ok:0").get(WAIT_S)
    assert ollama.stats.requests == 2
    assert (result["response"], result["empty"]) == ("", "blank")
    assert (result["receipt"]["empty"], result["receipt"]["asked_again"]) == ("blank", True)
    again = chat_task.delay("energy", session_id, "anybody?").get(WAIT_S)
    assert_strict(ollama.calls[-1].messages)
    assert "empty" not in again
    assert again["receipt"]["repairs"] == {"merged": [2], "left_out": [1]}


def test_the_second_reply_counts(session_id: str, ollama: OllamaStandIn) -> None:
    """In one attempt; the tokens of both are in the usage."""
    ollama.script("instant", ["instant:0", "instant"])
    result = chat_task.delay("energy", session_id, "hello?", model="instant").get(WAIT_S)
    assert result["response"]
    assert "empty" not in result
    assert (result["attempt"], result["receipt"]["asked_again"]) == (1, True)
    assert result["usage"]["prompt_tokens"] > (result["receipt"]["prompt_tokens"] or 0)


def test_a_format_without_room_is_asked_for_once(session_id: str, ollama: OllamaStandIn) -> None:
    """The same request would be cut again."""
    wanted = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    sent = chat_task.delay("energy", session_id, "judge", format=wanted, model="ok", max_tokens=1)
    with pytest.raises(JobFailed, match="max_tokens or the end of the window"):
        sent.get(WAIT_S)
    assert ollama.stats.requests == 1
