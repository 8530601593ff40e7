"""The task body runs under any of Celery's pools."""

import pytest

from memory import get_redis_memory
from sandbox.stack import GriotStack
from tasks import chat_task
from tests.support.machine import scaled


# Celery 5.7.0 takes `-P prefork` for nothing said, and then the pool of celeryconfig.py.
@pytest.mark.parametrize(
    ("pool", "shown"), [("threads", "thread"), ("processes", "prefork"), ("solo", "solo")]
)
def test_a_conversation_under_another_pool(stack: GriotStack, pool: str, shown: str) -> None:
    """Order, memory and results are those of our own pool."""
    worker = stack.worker("-P", pool, "-c", "2", name=pool)
    assert f" ({shown})" in worker.log_text()
    sent = [
        chat_task.delay(agent_id, f"on-{pool}", f"message {n}")
        for n in range(3)
        for agent_id in ("energy", "agriculture")
    ]
    results = [job.get(timeout=scaled(30)) for job in sent]
    assert [result["history_messages"] for result in results] == [0, 0, 2, 2, 4, 4]
    history = get_redis_memory().get_conversation_history("energy", f"on-{pool}")
    assert [past["content"] for past in history[::2]] == ["message 0", "message 1", "message 2"]
    assert worker.stop() == 0, worker.log_tail()
