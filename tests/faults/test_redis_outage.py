"""Redis goes away while jobs run: the worker lives, and every job is answered once, in order."""

from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import chat_task
from tests.waiting import elapsed, wait_until

WAIT_S = 40


def answered(session_id: str) -> list[object]:
    """The user's messages in the history."""
    history = get_redis_memory().get_conversation_history("energy", session_id)
    return [past["content"] for past in history if past["role"] == "user"]


def test_redis_killed_and_restarted_while_jobs_run(
    valkey: ValkeyServer, ollama: OllamaStandIn, stack: GriotStack
) -> None:
    """Killed with kill -9 in mid-turn and restarted: nothing acknowledged is lost or doubled."""
    worker = stack.worker()
    sessions = [f"s{n}" for n in range(4)]
    for n in range(3):
        for session_id in sessions:
            chat_task.delay("energy", session_id, f"m{n}", model="delay:0.5s")
    wait_until(lambda: ollama.stats.active == len(sessions), what="the first turns run")
    valkey.kill()
    wait_until(lambda: ollama.stats.active == 0, what="the model has answered into the void")
    valkey.start()
    wait_until(
        lambda: all(answered(session_id) == ["m0", "m1", "m2"] for session_id in sessions),
        timeout_s=WAIT_S,
        what="every job is answered, once and in order",
    )
    assert worker.is_running, worker.log_tail()
    late = chat_task.delay("energy", "s0", "after")
    assert late.get(timeout=WAIT_S)["history_messages"] == 6


def test_redis_frozen_for_a_while(valkey: ValkeyServer, stack: GriotStack) -> None:
    """Stopped for longer than the lease, then going on: one turn, the worker lives."""
    worker = stack.worker()
    sent = chat_task.delay("energy", "s0", "m0", model="delay:0.3s")
    wait_until(lambda: "received" in worker.log_text(), what="the job has reached the worker")
    valkey.freeze()
    wait_until(lambda: not valkey.is_ready(), what="Redis answers nothing")
    wait_until(elapsed(3.0), what="longer than the lease has passed")
    valkey.thaw()
    assert sent.get(timeout=WAIT_S)["job_id"] == sent.id
    assert answered("s0") == ["m0"]
    assert worker.is_running, worker.log_tail()
