"""The model fails in every way it can: faults 19 to 22."""

import pytest

from memory import Outage
from memory.outages.outages import UNWATCHED_MS
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

OUTAGES = {"busy-503", "overloaded-503"}
"""Of these no attempt is counted."""

FINAL = {
    "not installed": ("missing", "ollama pull"),
}


@pytest.fixture(scope="module")
def impatient(rig: Rig) -> ServerProcess:
    """A worker with short deadlines."""
    return rig.worker(name="steady", **IMPATIENT)


ALIKE = {
    "overloaded",
    "unreachable behind a proxy",
    "cut in mid-stream",
    "closed before a response",
}
"""Which the code takes for the same as others of them."""


@pytest.mark.parametrize(
    "fault",
    [pytest.param(one, marks=pytest.mark.slow) if one in ALIKE else one for one in PASSING],
)
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
    counted = [failure for failure in failures if failure not in OUTAGES]
    assert sent.get(timeout=scaled(5))["attempt"] == len(counted) + 1
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


@pytest.mark.slow
def test_an_address_that_cannot_be_resolved(
    rig: Rig, impatient: ServerProcess, sender: Sender
) -> None:
    """A worker that cannot find Ollama parks its jobs; nobody uses that address any more when it is
    gone, and another worker does them then."""
    lost = rig.worker("-Q", "lost", name="lost", OLLAMA_BASE_URL="http://ollama.invalid:11434")
    (session_id,) = sender.sessions(1)
    sent = sender.send(session_id, queue="lost")
    sender.send(session_id)
    outage = Outage(rig.keyspace, "http://ollama.invalid:11434")
    wait_until(lambda: rig.connection.run(outage.waiting()), what="the session waits")
    lost.kill()
    rig.consume("lost")
    rig.check(sender, timeout_s=UNWATCHED_MS / 1000 + 10, max_calls=1)
    assert sent.get(timeout=scaled(5))["attempt"] == 1


def test_a_prompt_that_is_refused_in_every_form(
    rig: Rig, impatient: ServerProcess, sender: Sender
) -> None:
    """It is asked again in plainer forms, in the same attempt; then it is a dead letter."""
    (session_id,) = sender.sessions(1)
    sender.send(session_id)
    refused = sender.send(session_id, model="bad-400")
    sender.send(session_id)
    rig.wait_drained(sender)
    rig.wait_delivered(sender)
    calls = [call for call in rig.ollama.calls if call.model == "bad-400" and call.messages]
    assert 1 < len(calls) <= 3
    (dump,) = rig.dumps(sender)
    assert "400" in dump.dead[refused.id]
    assert impatient.is_running
