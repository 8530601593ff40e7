"""The task body runs under any of Celery's pools, and ours has the size that it is given."""

import socket

import pytest

from memory import get_redis_memory
from sandbox.stack import GriotStack
from tasks import app, chat_task
from tests.support.machine import scaled
from tests.support.waiting import wait_until


# Celery 5.7.0 takes `-P prefork` for nothing said (worker/options.py).
@pytest.mark.parametrize(
    ("pool", "shown"),
    [
        ("processes", "prefork"),
        ("solo", "solo"),
        pytest.param("threads", "thread", marks=pytest.mark.slow),
        pytest.param("prefork", "prefork", marks=pytest.mark.slow),
    ],
)
def test_a_conversation_under_another_pool(stack: GriotStack, pool: str, shown: str) -> None:
    """Order, memory and results are those of our own pool."""
    turns = () if pool == "solo" else ("-c", "2")
    worker = stack.worker("-P", pool, *turns, name=pool)
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


@pytest.mark.parametrize(
    "is_autoscaled",
    [pytest.param(True, marks=pytest.mark.slow), False],
    ids=["autoscale", "pool_grow"],
)
def test_a_pool_of_ours_that_changes_its_size(stack: GriotStack, is_autoscaled: bool) -> None:
    """By itself or by remote control; each job is answered, no message is put aside."""
    name = f"resized-{is_autoscaled:d}"
    options = ("--autoscale=10,2",) if is_autoscaled else ("-c", "2")
    worker = stack.worker("-Q", name, *options, name=name)
    if not is_autoscaled:
        node = [f"{name}@{socket.gethostname()}"]
        # It is ready a moment before it hears what is broadcast.
        wait_until(lambda: app.control.ping(node, timeout=1), what="it answers")
        for change, by in (("pool_grow", 8), ("pool_shrink", 4)):
            reply = app.control.broadcast(
                change, arguments={"n": by}, destination=node, reply=True, timeout=scaled(5)
            )
            assert "ok" in reply[0][node[0]]
    sent = [
        chat_task.apply_async(
            ("energy", f"{name}-{n}", "hello"), {"model": "delay:200ms"}, queue=name
        )
        for n in range(30)
    ]
    for job in sent:
        assert job.get(timeout=scaled(30))["response"]
    with app.connection_for_read() as connection:
        assert connection.default_channel.client.llen(f"{name}.quarantine") == 0
    assert "cannot be handled" not in worker.log_text()
    assert worker.stop() == 0, worker.log_tail()
