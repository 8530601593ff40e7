"""The rolling summary with real workers: made when nobody waits, and never in the way."""

from pathlib import Path

import pytest

from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.ollama.call_log import RecordedCall
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import chat_task
from tests.support.machine import scaled
from tests.support.waiting import wait_until

WAIT_S = scaled(20)
NOTES = "Summary of the earlier conversation"
PROFILES = """
[agents.energy]
system_prompt = "Be brief."
max_history = 2
summary = true
"""


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack, tmp_path_factory: pytest.TempPathFactory) -> ServerProcess:
    """One worker whose agent `energy` sums up; another serves a queue of its own."""
    profiles: Path = tmp_path_factory.mktemp("profiles") / "profiles.toml"
    profiles.write_text(PROFILES)
    stack.worker("-Q", "far", name="far", AGENT_PROFILES=str(profiles))
    return stack.worker(name="near", AGENT_PROFILES=str(profiles))


@pytest.fixture(autouse=True)
def calm(ollama: OllamaStandIn) -> None:
    """Nothing is under way from the test before."""
    wait_until(lambda: ollama.stats.active == 0, timeout_s=20, what="the model is idle")
    ollama.reset()


def ask(session_id: str, *messages: str, agent: str = "energy", **options: object) -> None:
    """Turns of a session, one after the other."""
    for message in messages:
        said = f"{message} ({session_id})"
        chat_task.delay(agent, session_id, said, **options).get(timeout=WAIT_S)


def summaries(ollama: OllamaStandIn, session_id: str) -> list[RecordedCall]:
    """The calls that ask for a summary of a session; `ask` puts its id into each message."""
    return [
        call
        for call in ollama.calls
        if "You keep the notes" in system_of(call)
        and f"({session_id})" in str(call.messages[1]["content"])
    ]


def system_of(call: RecordedCall) -> str:
    """What the model was told first."""
    return str(call.messages[0]["content"])


def answered(ollama: OllamaStandIn, session_id: str) -> int:
    """How many summaries of a session are written."""
    return sum(call.outcome == "answered" for call in summaries(ollama, session_id))


def kept(valkey: ValkeyServer, session_id: str) -> str | None:
    """The summary as it lies in Redis."""
    key = f"ecowas:summary:{{ecowas:history:energy:{session_id}}}"
    found = valkey.command("HGET", key, "text")
    assert found is None or isinstance(found, str)
    return found


def test_what_is_not_shown_any_more_is_summed_up_and_shown_in_short(
    session_id: str, ollama: OllamaStandIn, valkey: ValkeyServer
) -> None:
    """After the system prompt; the originals stay, and the receipt says so."""
    ask(session_id, "the budget is 40 million", "two", "three")
    wait_until(lambda: kept(valkey, session_id), what="a summary is kept")
    told = str(summaries(ollama, session_id)[0].messages[1]["content"])
    assert "User: the budget is 40 million" in told
    result = chat_task.delay("energy", session_id, "four").get(timeout=WAIT_S)
    (last,) = [call for call in ollama.calls if call.messages[-1]["content"] == "four"]
    assert system_of(last).startswith(f"Be brief.\n\n{NOTES}")
    assert "40 million" in system_of(last)
    receipt = result["receipt"]
    assert (receipt["summary"], receipt["messages_left_out"]) == (True, 4)
    history = get_redis_memory().get_conversation_history("energy", session_id)
    assert [str(past["content"]).partition(" (")[0] for past in history[::2]] == [
        "the budget is 40 million",
        "two",
        "three",
        "four",
    ]


def test_the_next_summary_goes_on_from_the_last(
    session_id: str, ollama: OllamaStandIn, valkey: ValkeyServer
) -> None:
    """It is told what the notes say, and only the turns since."""
    ask(session_id, "first thing", "second thing")
    wait_until(lambda: kept(valkey, session_id), what="a summary is kept")
    before = kept(valkey, session_id)
    ask(session_id, "third thing")
    wait_until(lambda: kept(valkey, session_id) != before, what="a new summary is kept")
    told = str(summaries(ollama, session_id)[-1].messages[1]["content"])
    assert told.startswith("The notes so far:")
    said = told.rpartition("The conversation:\n")[2]
    assert said.startswith("User: second thing")


@pytest.mark.parametrize("queue", ["chat", "far"], ids=["same worker", "another worker"])
def test_a_users_message_goes_first(
    session_id: str, ollama: OllamaStandIn, valkey: ValkeyServer, queue: str
) -> None:
    """The summary's call is closed within a second, and made again when it is quiet."""
    ask(session_id, "one", "two", model="slow-tokens:2x1ms")
    ollama.script("slow-tokens:2x1ms", ["slow-tokens:4000x5ms"])
    wait_until(
        lambda: any(c.tokens for c in summaries(ollama, session_id)), what="a summary is under way"
    )
    kwargs = {"agent_id": "energy", "session_id": f"{session_id}-b", "message": "quick!"}
    sent = chat_task.apply_async(kwargs=kwargs, queue=queue)
    sent.get(timeout=WAIT_S)
    wait_until(
        lambda: summaries(ollama, session_id)[0].disconnected_s is not None, what="it is stopped"
    )
    stopped = summaries(ollama, session_id)[0]
    (asked,) = [call for call in ollama.calls if call.messages[-1]["content"] == "quick!"]
    assert (stopped.disconnected_s or 0) - asked.started_s < scaled(1)
    wait_until(lambda: kept(valkey, session_id), what="the summary is made after all")


def test_a_session_that_is_cleared_has_no_summary(
    session_id: str, ollama: OllamaStandIn, valkey: ValkeyServer
) -> None:
    """Nor gets it one that was under way."""
    ask(session_id, "one", "two", model="slow-tokens:2x1ms")
    ollama.script("slow-tokens:2x1ms", ["slow-tokens:100x10ms"])
    wait_until(
        lambda: any(c.tokens for c in summaries(ollama, session_id)), what="a summary is under way"
    )
    get_redis_memory().clear_conversation_history("energy", session_id)
    wait_until(lambda: answered(ollama, session_id) >= 1, what="the model has written it")
    wait_until(lambda: not valkey.command("EXISTS", "ecowas:summary_lock"), what="it is over")
    assert kept(valkey, session_id) is None


def test_an_agent_that_did_not_ask_for_it_has_none(session_id: str, ollama: OllamaStandIn) -> None:
    """Summaries cost calls of the model: they are for those who opt in."""
    ask(session_id, "one", "two", "three", agent="other", max_history=2)
    ask(f"{session_id}-b", "one", "two")
    wait_until(
        lambda: answered(ollama, f"{session_id}-b") >= 1, what="the other session has its summary"
    )
    assert summaries(ollama, session_id) == []
