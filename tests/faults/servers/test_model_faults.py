"""The model fails in every way it can: faults 19 to 22."""

import pytest

from sandbox.process import ServerProcess
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

IMPATIENT = {
    "LLM_FIRST_TOKEN_TIMEOUT": str(scaled(1)),
    "LLM_TIMEOUT": str(scaled(0.5)),
    "LLM_TOTAL_TIMEOUT": str(scaled(1.5)),
    "LLM_CONNECT_TIMEOUT": str(scaled(1)),
}

PASSING = {
    "busy three times": ["busy-503", "busy-503", "busy-503"],
    "overloaded": ["overloaded-503"],
    "its runner is gone": ["gone-500"],
    "unreachable behind a proxy": ["unreachable-502"],
    "an error line in mid-stream": ["error-line"],
    "an end without done": ["no-done"],
    "cut in mid-stream": ["cut"],
    "reset in mid-stream": ["reset"],
    "closed before a response": ["close"],
    "the first token never comes": ["hang"],
    "silent in mid-stream": ["stall"],
    "tokens without end": ["endless"],
    "one of each": ["reset", "no-done", "busy-503", "stall"],
}

FINAL = {
    "not installed": ("missing", "ollama pull"),
    "a bad request": ("bad-400", "400"),
}


@pytest.fixture(scope="module")
def impatient(rig: Rig) -> ServerProcess:
    """A worker with short deadlines."""
    return rig.worker(name="steady", **IMPATIENT)


@pytest.mark.parametrize("fault", PASSING)
def test_a_failure_that_passes(
    rig: Rig, impatient: ServerProcess, sender: Sender, fault: str
) -> None:
    """Nothing partial is kept, the job is tried again, and the jobs behind it wait their turn."""
    failures = PASSING[fault]
    first, other = sender.sessions(2)
    rig.ollama.script("fails", failures)
    sent = sender.send(first, model="fails")
    sender.send(first)
    sender.send(first)
    sender.send(other)
    rig.check(sender, max_calls=len(failures) + 1)
    assert sent.get(timeout=scaled(5))["attempt"] == len(failures) + 1
    assert impatient.is_running


@pytest.mark.parametrize("fault", FINAL)
def test_a_failure_that_stays(
    rig: Rig, impatient: ServerProcess, sender: Sender, fault: str
) -> None:
    """A refusal is a dead letter at once, with the reason, and the next job runs."""
    scenario, reason = FINAL[fault]
    (session_id,) = sender.sessions(1)
    sender.send(session_id)
    refused = sender.send(session_id, model=scenario)
    sender.send(session_id)
    rig.check(sender, max_calls=1, dead=frozenset({refused.id}))
    (dump,) = rig.dumps(sender)
    assert reason in dump.dead[refused.id]
    assert impatient.is_running


def test_a_model_that_fails_for_ever(rig: Rig, impatient: ServerProcess, sender: Sender) -> None:
    """After CHAT_MAX_ATTEMPTS the job is a dead letter and the next one runs."""
    (session_id,) = sender.sessions(1)
    hopeless = sender.send(session_id, model="gone-500")
    sender.send(session_id)
    rig.check(sender, max_calls=5, dead=frozenset({hopeless.id}))
    assert len([call for call in rig.ollama.calls if call.model == "gone-500"]) == 5


def test_ollama_is_stopped_for_a_while(rig: Rig, impatient: ServerProcess, sender: Sender) -> None:
    """Connections are refused: every job waits, in order, and none is given up early."""
    sessions = sender.sessions(3)
    rig.ollama.stop()
    try:
        sender.send_all(sessions, 2)
        for session_id in sessions:
            wait_until(lambda: _attempts(rig, session_id) >= 1, what="a first attempt failed")  # noqa: B023
    finally:
        rig.ollama.start()
    rig.check(sender, max_calls=1)


def test_an_address_that_cannot_be_resolved(
    rig: Rig, impatient: ServerProcess, sender: Sender
) -> None:
    """The attempts of a worker that cannot find Ollama fail; another worker does the job."""
    lost = rig.worker("-Q", "lost", name="lost", OLLAMA_BASE_URL="http://ollama.invalid:11434")
    (session_id,) = sender.sessions(1)
    sender.send(session_id, queue="lost")
    sender.send(session_id)
    wait_until(lambda: _attempts(rig, session_id) >= 2, what="two attempts failed")
    lost.kill()
    rig.consume("lost")
    rig.check(sender, max_calls=1)


def _attempts(rig: Rig, session_id: str) -> int:
    lease = rig.observer.hgetall(rig.keys(session_id).lease)
    return int(lease.get(b"attempt", 0)) if b"token" not in lease else 0
