"""A chat job from `delay` to its answer, with a real worker."""

import json
import re
import uuid
from collections.abc import Iterator

import pytest
from celery import Celery

from memory import get_redis_memory, sessions_of_user
from sandbox.ollama import OllamaStandIn, reply_to
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import EventType, InvalidJob, JobFailed, chat_task, follow_job
from tests.support.machine import scaled
from tests.support.results import fetch
from tests.support.waiting import wait_until

WAIT_S = scaled(20)


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> Iterator[ServerProcess]:
    """One worker for all tests of this module."""
    return stack.worker()


def test_a_job_sent_with_delay_is_answered(session_id: str) -> None:
    """`.get()` gives the reply and the facts that `ChatResult` promises."""
    sent = chat_task.delay("energy", session_id, "What is WAPP?")
    result = sent.get(timeout=WAIT_S)
    assert result["job_id"] == sent.id
    assert (result["agent_id"], result["session_id"]) == ("energy", session_id)
    assert "What is WAPP?" in result["response"]
    assert result["model"] == "qwen2.5:0.5b"
    assert result["usage"]["prompt_tokens"] > 0
    assert result["usage"]["completion_tokens"] > 0


def test_the_second_turn_sees_the_first(session_id: str, ollama: OllamaStandIn) -> None:
    """The model is shown the turns before, in order, as they are stored."""
    first = chat_task.delay("energy", session_id, "one").get(timeout=WAIT_S)
    second = chat_task.delay("energy", session_id, "two").get(timeout=WAIT_S)
    shown = ollama.calls[-1].messages
    assert [message["content"] for message in shown[1:]] == ["one", first["response"], "two"]
    assert second["response"] == reply_to(shown)
    history = get_redis_memory().get_conversation_history("energy", session_id)
    assert [(past["role"], past["content"]) for past in history] == [
        ("user", "one"),
        ("assistant", first["response"]),
        ("user", "two"),
        ("assistant", second["response"]),
    ]


def test_jobs_sent_at_once_are_answered_in_their_order(session_id: str) -> None:
    """A burst on one session comes out as one conversation."""
    sent = [chat_task.delay("energy", session_id, f"message {n}") for n in range(12)]
    for job in sent:
        job.get(timeout=WAIT_S)
    history = get_redis_memory().get_conversation_history("energy", session_id)
    assert [past["content"] for past in history[::2]] == [f"message {n}" for n in range(12)]


def test_a_raw_send_task_is_answered(session_id: str, valkey: ValkeyServer) -> None:
    """A service that imports nothing of ours sends to Celery's default queue and is served."""
    foreign = Celery("foreign", broker=valkey.url(1), backend=valkey.url(2), set_as_current=False)
    sent = foreign.send_task(
        "tasks.chat_task",
        kwargs={"agent_id": "energy", "session_id": session_id, "message": "from afar"},
    )
    assert "from afar" in fetch(sent, WAIT_S)["response"]
    history = get_redis_memory().get_conversation_history("energy", session_id)
    assert [past["role"] for past in history] == ["user", "assistant"]
    without = foreign.send_task(
        "tasks.chat_task", kwargs={"agent_id": "energy", "session_id": session_id}
    )
    # As a wake-up is; its sender has to see what is missing.
    with pytest.raises(Exception, match="or it was sent without `message`"):
        fetch(without, WAIT_S)
    foreign.close()


def test_records_of_wrong_types_are_kept_from_the_model(
    session_id: str, valkey: ValkeyServer, ollama: OllamaStandIn
) -> None:
    """One of them would have it refuse each later message of the session."""
    history = get_redis_memory().keyspace.session("energy", session_id).history
    chat_task.delay("energy", session_id, "before").get(timeout=WAIT_S)
    for wrong in (
        {"role": "user", "content": 7},
        {"role": "assistant", "content": "x", "tool_calls": [{"function": 7}]},
        {"role": "assistant", "content": "x", "thinking": 9},
    ):
        valkey.command("RPUSH", history, json.dumps(wrong))
    assert "now" in chat_task.delay("energy", session_id, "now").get(timeout=WAIT_S)["response"]
    shown = ollama.calls[-1].messages
    assert [message["role"] for message in shown] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize("is_raw", [False, True], ids=["delay", "send_task"])
def test_a_users_sessions_are_found(is_raw: bool, session_id: str, valkey: ValkeyServer) -> None:
    """By `metadata.user_id` as text, however the job was sent; whoever joins makes it shared."""
    user = f"user-{uuid.uuid4()}"
    kwargs = {"agent_id": "energy", "session_id": session_id, "message": "hello"}
    for who in (user, 7):
        named = {**kwargs, "metadata": {"user_id": who}}
        if is_raw:
            foreign = Celery(
                "foreign", broker=valkey.url(1), backend=valkey.url(2), set_as_current=False
            )
            fetch(foreign.send_task("tasks.chat_task", kwargs=named), WAIT_S)
            foreign.close()
        else:
            chat_task.apply_async(kwargs=named).get(timeout=WAIT_S)
        memory = get_redis_memory()
        found = sessions_of_user(memory.connection, memory.keyspace, user)
        seen = [(one.agent_id, one.session_id, one.is_shared) for one in found]
        assert seen == [("energy", session_id, who == 7)]
    assert session_id in {
        one.session_id for one in sessions_of_user(memory.connection, memory.keyspace, "7")
    }


def test_the_same_task_id_is_one_job(session_id: str) -> None:
    """Sending again after a lost reply cannot double a turn, and gives the same result."""
    job_id = str(uuid.uuid4())
    kwargs = {"agent_id": "energy", "session_id": session_id, "message": "once"}
    first, second = (chat_task.apply_async(kwargs=kwargs, task_id=job_id) for _ in range(2))
    assert first.get(timeout=WAIT_S) == second.get(timeout=WAIT_S)
    assert len(get_redis_memory().get_conversation_history("energy", session_id)) == 2


def test_an_idempotency_key_is_one_job(session_id: str) -> None:
    """The same key in the same session names the same job."""
    first, second = (
        chat_task.delay("energy", session_id, "once", idempotency_key="k1") for _ in range(2)
    )
    assert first.id == second.id
    first.get(timeout=WAIT_S)
    assert len(get_redis_memory().get_conversation_history("energy", session_id)) == 2


def test_options_reach_the_model(session_id: str, ollama: OllamaStandIn) -> None:
    """Model, temperature, length, window and system prompt are the caller's to set."""
    chat_task.delay("energy", session_id, "before").get(timeout=WAIT_S)
    result = chat_task.delay(
        "energy",
        session_id,
        "now",
        system_prompt="Be brief.",
        model="ok:5",
        temperature=0.1,
        max_tokens=7,
        max_history=0,
        metadata={"user": "u1"},
    ).get(timeout=WAIT_S)
    call = ollama.calls[-1]
    assert call.model == "ok:5"
    assert [m["content"] for m in call.messages] == ["Be brief.", "now"]
    assert call.options == {"temperature": 0.1, "num_predict": 7}
    assert result["metadata"] == {"user": "u1"}


def test_a_failure_that_can_pass_is_tried_again(session_id: str, ollama: OllamaStandIn) -> None:
    """Its runner is lost twice, once it is full: one turn, the job behind it waited for its place,
    and what the job cannot have caused is no attempt."""
    ollama.script("ok", ["gone-500", "busy-503", "gone-500", "ok"])
    first = chat_task.delay("energy", session_id, "first", model="ok")
    second = chat_task.delay("energy", session_id, "second")
    assert first.get(timeout=WAIT_S)["attempt"] == 3
    second.get(timeout=WAIT_S)
    history = get_redis_memory().get_conversation_history("energy", session_id)
    assert [past["content"] for past in history[::2]] == ["first", "second"]


def test_a_refusal_fails_at_once_and_the_next_job_runs(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """A model that is not installed is never asked; the error says what to do."""
    calls_before = len(ollama.calls)
    refused = chat_task.delay("energy", session_id, "anyone?", model="missing")
    after = chat_task.delay("energy", session_id, "next")
    with pytest.raises(JobFailed, match="ollama pull missing"):
        refused.get(timeout=WAIT_S)
    assert "next" in after.get(timeout=WAIT_S)["response"]
    assert len(ollama.calls) == calls_before + 1
    assert len(get_redis_memory().get_conversation_history("energy", session_id)) == 2


def test_tokens_can_be_followed(session_id: str) -> None:
    """Following a job gives its tokens as they come, and ends with its result."""
    sent = chat_task.delay("energy", session_id, "tell me", model="slow-tokens:20x0.02s")
    events = list(follow_job(sent.id))
    assert [event.type for event in events[:2]] == [EventType.QUEUED, EventType.STARTED]
    assert events[-1].type is EventType.DONE
    pieces = [event.text for event in events if event.type is EventType.TOKEN]
    assert len(pieces) > 3
    assert "".join(pieces) == sent.get(timeout=WAIT_S)["response"] == events[-1].text


def test_a_job_with_nothing_in_it_is_refused_by_delay() -> None:
    """What is wrong is told before anything is sent."""
    with pytest.raises(InvalidJob, match="message"):
        chat_task.delay("energy", "s", "")


def test_every_queue_is_empty_in_the_end(valkey: ValkeyServer) -> None:
    """No message is left behind, neither waiting nor unacknowledged."""
    wait_until(
        lambda: valkey_dbsize(valkey, 1) == 0, timeout_s=10, what="the broker's lists are empty"
    )


def valkey_dbsize(valkey: ValkeyServer, db: int) -> int:
    """Messages in the broker: in queues, and taken but not acknowledged."""
    script = (
        "redis.call('SELECT', ARGV[1]) "
        "return redis.call('LLEN', 'chat') + redis.call('LLEN', 'celery') "
        "+ redis.call('HLEN', 'unacked')"
    )
    answer = valkey.command("EVAL", script, 0, db)
    assert isinstance(answer, int)
    return answer


@pytest.mark.parametrize("is_linked", [False, True])
def test_the_log_tells_how_long_a_job_took_as_a_whole(
    session_id: str, worker: ServerProcess, is_linked: bool
) -> None:
    """From its beginning, whether its end is made on the event loop or by Celery's tracer."""
    kwargs = {
        "agent_id": "energy",
        "session_id": session_id,
        "message": "slowly",
        "model": "delay:0.4s",
    }
    linked = {**kwargs, "message": "linked", "model": "instant"}
    link = chat_task.signature(kwargs=linked, immutable=True) if is_linked else None
    sent = chat_task.apply_async(kwargs=kwargs, link=link)
    sent.get(timeout=WAIT_S)
    line = re.compile(rf"\[{sent.id}\] succeeded in (\S+)s")
    wait_until(lambda: line.search(worker.log_text()) is not None, what="the log tells of it")
    found = line.search(worker.log_text())
    assert found is not None
    assert 0.4 <= float(found[1]) < 5
    memory, messages = get_redis_memory(), 4 if is_linked else 2
    wait_until(
        lambda: len(memory.get_conversation_history("energy", session_id)) == messages,
        what="the linked job is answered too",
    )
