"""A worker dies between a tool and the commit of its turn: one turn, and a tool that can tell."""

from pathlib import Path

import pytest

from memory import get_redis_memory
from tasks import chat_task
from tasks.process.crash_points import CrashPoint
from tests.support.faults.rig import LEASE_S, Rig
from tests.support.machine import scaled
from tests.support.waiting import wait_until

PROFILES = """
[agents.booking]
tools = ["tests.support.tool_functions.book_seat"]
"""


@pytest.mark.parametrize(
    "point",
    [CrashPoint.TOOLS_DONE, pytest.param(CrashPoint.BEFORE_COMMIT, marks=pytest.mark.slow)],
)
def test_a_worker_dies_after_it_has_run_a_tool(rig: Rig, tmp_path: Path, point: CrashPoint) -> None:
    """The tool runs again, under the same job and a higher attempt; the history has one turn."""
    profiles, bookings = tmp_path / "profiles.toml", tmp_path / "bookings"
    profiles.write_text(PROFILES, "utf-8")
    settings = {"AGENT_PROFILES": str(profiles), "TEST_BOOKINGS": str(bookings)}
    session_id = f"tools-{point.value}"
    doomed = rig.doomed_worker(point, 1, "-Q", session_id, name=session_id, **settings)
    sent = chat_task.apply_async(
        kwargs={
            "agent_id": "booking",
            "session_id": session_id,
            "message": "a seat",
            "model": "tools",
        },
        queue=session_id,
    )
    wait_until(lambda: not doomed.is_running, what="the worker is dead")
    assert bookings.read_text("utf-8") == f"{sent.id} 1 1\n"
    heir = rig.worker("-Q", session_id, name=f"heir-{session_id}", **settings)
    result = sent.get(timeout=scaled(LEASE_S + 15))
    heir.stop()
    assert result["attempt"] == 2
    assert bookings.read_text("utf-8") == f"{sent.id} 1 1\n{sent.id} 2 1\n"
    kept = get_redis_memory().get_conversation_history("booking", session_id)
    assert [message["role"] for message in kept] == ["user", "assistant", "tool", "assistant"]
    assert kept[2]["content"] == "seat 1 is booked"
